// `hatchery serve`: the pool behind HTTP and WebSocket. Options that go-judge has too have its
// names and defaults, so that its start line works; main() turns its "-name" into "--name".
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/user_namespace.h"
#include "pool/cli/activation.h"
#include "pool/cli/common.h"
#include "pool/cli/exit_status.h"
#include "pool/cli/options.h"
#include "pool/cli/verbs.h"
#include "pool/limits.h"
#include "pool/server/server.h"

namespace hatchery::cli {
namespace {

/// Commands of one request that can be wired together, above the number of requests that run.
constexpr std::uint32_t kSlotsForGroups = 16;

struct ServeOptions {
  std::vector<std::string> http_addresses = {};
  std::string monitor_address = "localhost:5052";
  bool metrics = false;
  std::string token = {};
  std::vector<std::string> origins = {};
  std::vector<std::string> hosts = {};
  std::uint32_t parallelism = 0;
  std::uint32_t pre_fork = 0;
  std::vector<std::string> cpu_sets = {};
  bool cpu_rate = false;
  bool named_collectors = false;
  std::string extra_memory = {};
  std::string output_limit = {};
  std::string copy_out_limit = {};
  std::optional<std::uint32_t> open_files = {};
  std::string file_timeout = {};
  std::string directory = {};
  std::string client_timeout = {};
  std::vector<std::string> src_prefixes = {};
  std::string tmp_fs = {};
  bool net_share = false;
  std::string name = {};
  std::uint32_t uid_base = 0;
  bool silent = false;
  std::string log_format = {};
  std::string ignored = {};
  std::string config_file = {};
  PoolOptions pool = {};
};

/// An error about a value, which it names, as one about its option.
Error option_error(const char* option, Error error) {
  error.step = Step::kValidateConfig;
  error.detail = error.object.empty() ? error.detail : error.object + " " + error.detail;
  error.object = option;
  return error;
}

/// "16k", "256m" and "1g", as go-judge's users write them, beside our own forms.
Result<std::uint64_t> size_of(const char* option, const std::string& text) {
  std::string upper = text;
  std::transform(upper.begin(), upper.end(), upper.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  Result<std::uint64_t> size = parse_bytes(upper);
  if (!size) size = parse_bytes(text);
  if (size) return size;
  return option_error(option, std::move(size).error());
}

/// "size=128m,nr_inodes=4k", as mount(8) takes them for a tmpfs.
Result<void> apply_tmp_fs(const std::string& text, Profile& profile) {
  for (std::size_t start = 0; start < text.size();) {
    const std::size_t end = std::min(text.find(',', start), text.size());
    const std::string part = text.substr(start, end - start);
    start = end + 1;
    const std::size_t equals = part.find('=');
    const std::string key = part.substr(0, equals);
    if (equals == std::string::npos || (key != "size" && key != "nr_inodes"))
      return Error{Step::kValidateConfig, "--tmp-fs-param", 0, "\"" + part + "\" is not known",
                   "give size=SIZE,nr_inodes=N"};
    const Result<std::uint64_t> value = size_of("--tmp-fs-param", part.substr(equals + 1));
    if (!value) return value.error();
    if (key == "size")
      profile.work_bytes = profile.tmp_bytes = *value;
    else
      profile.tmpfs_inodes = *value;
  }
  return {};
}

Result<PoolConfig> pool_config_of(const ServeOptions& options) {
  PoolOptions pool = options.pool;
  if (pool.profile_file.empty()) pool.profile_file = options.config_file;
  Result<PoolConfig> read = pool_config(pool);
  if (!read) return read;
  PoolConfig config = *std::move(read);
  Profile& profile = config.profiles.front();
  const bool own_profile = !pool.profile_file.empty();
  std::uint32_t parallelism = options.parallelism;
  if (!options.cpu_sets.empty()) {
    profile.pin_slots = true;
    std::string all;
    for (const std::string& set : options.cpu_sets) all += (all.empty() ? "" : ",") + set;
    profile.maximums.cpu_set = all;
    parallelism = static_cast<std::uint32_t>(options.cpu_sets.size());
  }
  // What the profile says of slots, if it was given, is the operator's word.
  if (parallelism == 0 && !own_profile) parallelism = profile.slots_max;
  if (parallelism > 0) {
    profile.running_max = parallelism;
    profile.slots_max = std::min(parallelism + kSlotsForGroups, kSlotsMax);
    profile.slots_min = std::clamp(options.pre_fork, 1U, profile.slots_max);
    if (options.pre_fork == 0) profile.slots_min = parallelism;
  }
  if (options.net_share) profile.network = NetworkMode::kHost;
  HATCHERY_TRY(apply_tmp_fs(options.tmp_fs, profile));
  if (!options.name.empty()) config.name = options.name;
  if (options.uid_base > 0) config.uid_base = options.uid_base;
  HATCHERY_TRY(config.validate());
  return config;
}

/// Leaves `out` alone when the option was not given.
Result<void> set_milliseconds(const char* option, const std::string& text, std::uint32_t& out) {
  if (text.empty()) return {};
  const Result<Nanoseconds> time = parse_duration(text);
  if (!time) return option_error(option, time.error());
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(*time).count();
  out = static_cast<std::uint32_t>(std::clamp<std::int64_t>(ms, 1, UINT32_MAX));
  return {};
}

Result<std::vector<std::string>> real_prefixes(const std::vector<std::string>& prefixes) {
  std::vector<std::string> real;
  for (const std::string& prefix : prefixes) {
    const std::unique_ptr<char, decltype(&::free)> path(::realpath(prefix.c_str(), nullptr),
                                                        &::free);
    if (path == nullptr)
      return errno_error(Step::kValidateConfig, "--src-prefix " + prefix, errno,
                         "give directories that exist");
    real.emplace_back(path.get());
  }
  return real;
}

/// The file's, then what the command line says of it. `inherited` are for when neither says where.
Result<server::ServerConfig> server_config_of(const ServeOptions& options,
                                              const std::vector<std::string>& inherited) {
  server::ServerConfig config;
  if (!options.config_file.empty()) {
    Result<server::ServerConfig> read = server::server_config_from_file(options.config_file);
    if (!read) return read;
    config = *std::move(read);
  }
  if (!options.http_addresses.empty()) config.http.listen = options.http_addresses;
  if (config.http.listen.empty()) config.http.listen = inherited;
  if (config.http.listen.empty())
    config.http.listen = {::getpid() == 1 ? ":5050" : "localhost:5050"};
  if (!options.log_format.empty()) config.log_json = options.log_format == "json";
  if (options.metrics) config.monitor = options.monitor_address;
  if (!options.token.empty()) config.clients.push_back({.token = options.token});
  for (const std::string& origin : options.origins) config.origins.push_back(origin);
  for (const std::string& host : options.hosts) config.hosts.push_back(host);
  if (!options.directory.empty()) config.files.directory = options.directory;
  if (options.open_files) config.go_judge.open_file_limit = *options.open_files;
  config.go_judge.cpu_rate |= options.cpu_rate;
  config.go_judge.named_collectors |= options.named_collectors;
  HATCHERY_TRY(set_milliseconds("--file-timeout", options.file_timeout, config.files.unused_ms));
  HATCHERY_TRY(set_milliseconds("--client-timeout", options.client_timeout, config.http.header_ms));
  HATCHERY_TRY(
      set_milliseconds("--client-timeout", options.client_timeout, config.http.progress_ms));
  const struct {
    const char* option;
    const std::string& text;
    std::uint64_t& out;
  } sizes[] = {{"--extra-memory-limit", options.extra_memory, config.go_judge.extra_memory_limit},
               {"--output-limit", options.output_limit, config.go_judge.output_limit},
               {"--copy-out-limit", options.copy_out_limit, config.go_judge.copy_out_limit}};
  for (const auto& size : sizes) {
    if (size.text.empty()) continue;
    const Result<std::uint64_t> value = size_of(size.option, size.text);
    if (!value) return value.error();
    size.out = *value;
  }
  std::vector<std::string>& prefixes = config.go_judge.src_prefixes;
  if (!options.src_prefixes.empty()) prefixes = options.src_prefixes;
  Result<std::vector<std::string>> real = real_prefixes(prefixes);
  if (!real) return std::move(real).error();
  prefixes = *std::move(real);
  return config;
}

/// Any thread.
void print_event(const server::Event& event) {
  if (event.level == server::EventLevel::kError)
    print_error(event.message, event.fields);
  else
    print_note(event.message, event.fields);
}

/// Not fatal: what is served is served. But who waits for the word must know why it never comes.
void tell(const ServiceManager& manager, std::string_view state) {
  if (const Result<void> told = manager.tell(state); !told) print_error(told.error());
}

/// Waits for a signal, then for what is under way; another signal ends that.
int serve_until_signal(server::Server& server, const Interrupts& interrupts,
                       const ServiceManager& manager, bool silent,
                       std::chrono::milliseconds grace) {
  pollfd signals{interrupts.fd(), POLLIN, 0};
  while (::poll(&signals, 1, -1) < 0 && errno == EINTR) {
  }
  static_cast<void>(interrupts.take());
  tell(manager, "STOPPING=1");
  if (!silent) print_note("stopping: requests that run are finished; a second signal ends at once");
  const bool all = server.drain(grace);
  if (!all && !silent)
    print_note("some requests were not finished within " + std::to_string(grace.count()) + " ms");
  return kExitSuccess;
}

Result<int> run_serve(const ServeOptions& options) {
  const Result<ServiceManager> manager = ServiceManager::take();
  if (!manager) return manager.error();
  Result<PoolConfig> pool = pool_config_of(options);
  if (!pool) return std::move(pool).error();
  Result<server::ServerConfig> config = server_config_of(options, manager->listen());
  if (!config) return std::move(config).error();
  HATCHERY_TRY(enter_user_namespace());
  Result<Interrupts> interrupts = Interrupts::create();
  if (!interrupts) return std::move(interrupts).error();
  if (config->log_json) print_messages_as_json();
  config->log.tell = print_event;
  if (config->log_json && !options.silent) config->log.level = server::EventLevel::kInfo;
  const std::chrono::milliseconds grace(pool->shutdown_ms);
  const std::uint32_t slots = pool->profiles.front().slots_min;
  Result<std::unique_ptr<server::Server>> server =
      server::Server::create(*std::move(config), *std::move(pool));
  if (!server) return std::move(server).error();
  if (!options.silent)
    for (const std::string& address : (*server)->addresses())
      print_note("serving " + (address.starts_with("unix") ? address : "http://" + address) + " (" +
                 (*server)->host() + ", " + std::to_string(slots) + " slots)");
  tell(*manager, "READY=1");
  return serve_until_signal(**server, *interrupts, *manager, options.silent, grace);
}

constexpr const char* kServeExamples =
    "The interface of go-judge is at its usual place, so that judges made for it work: README,\n"
    "\"A server\". Options that it has too have its names; each can be set by its environment\n"
    "variable, such as ES_HTTP_ADDR, too, and be written with one dash.\n"
    "\n"
    "Examples:\n"
    "  hatchery serve\n"
    "  hatchery serve --http-addr unix:/run/hatchery.sock --auth-token \"$TOKEN\" --parallelism 8\n"
    "  curl -d "
    "'{\"cmd\":[{\"args\":[\"echo\",\"hello\"],\"env\":[\"PATH=/usr/"
    "bin\"],\"cpuLimit\":1000000000,\n"
    "    "
    "\"memoryLimit\":67108864,\"procLimit\":8,\"files\":[{\"content\":\"\"},{\"name\":\"stdout\","
    "\"max\":999}]}]}'\n"
    "    localhost:5050/run\n"
    "\n"
    "Exit status: 0 after SIGTERM or SIGINT; 248 wrong usage, 249 this host can't run jobs or the\n"
    "address is taken.";

/// "--http-addr", with go-judge's environment variable ES_HTTP_ADDR.
template <typename Value>
CLI::Option* add(CLI::App& verb, const std::string& name, Value& value, const char* help) {
  std::string variable = "ES_";
  for (const char letter : name)
    variable += letter == '-' ? '_' : static_cast<char>(std::toupper(letter));
  CLI::Option* option = nullptr;
  if constexpr (std::is_same_v<Value, bool>)
    option = verb.add_flag("--" + name, value, help);
  else
    option = verb.add_option("--" + name, value, help);
  return option->envname(variable);
}

void add_server_options(CLI::App& verb, ServeOptions& options) {
  verb.add_option("--config", options.config_file,
                  "One TOML file for server ([server]) and pool; see `hatchery config check`")
      ->type_name("FILE");
  add(verb, "http-addr", options.http_addresses,
      "Where to listen: host:port, :port, unix:/path, fd:N; default: the sockets of systemd's\n"
      "socket unit, else localhost:5050")
      ->delimiter(',')
      ->type_name("ADDRESS");
  add(verb, "monitor-addr", options.monitor_address, "Where metrics are, if enabled")
      ->type_name("ADDRESS");
  add(verb, "enable-metrics", options.metrics, "Serves /metrics at monitor-addr, without a token");
  add(verb, "auth-token", options.token, "Clients must send it: \"Authorization: Bearer TOKEN\"")
      ->type_name("TOKEN");
  verb.add_option("--origin", options.origins, "Web pages of this origin may use the server")
      ->type_name("URL");
  verb.add_option("--host-name", options.hosts, "A name that the server may be called by")
      ->type_name("NAME");
  verb.add_option("--client-timeout", options.client_timeout,
                  "A client that sends or takes nothing for so long, in a request, is dropped;\n"
                  "default: 10s for the head, 30s for the rest")
      ->type_name("TIME");
  add(verb, "silent", options.silent, "No messages but errors");
  verb.add_option(
          "--log-format", options.log_format,
          "json: each message, request and job is a line of JSON on stderr; default: text,\n"
          "messages only")
      ->check(CLI::IsMember({"text", "json"}).description(""))
      ->type_name("text|json");
}

void add_pool_flags(CLI::App& verb, ServeOptions& options) {
  add(verb, "parallelism", options.parallelism, "Requests that run at once; default: CPUs")
      ->check(CLI::Range(1U, kSlotsMax).description(""))
      ->type_name("N");
  add(verb, "pre-fork", options.pre_fork, "Slots ready at all times; default: parallelism")
      ->check(CLI::Range(1U, kSlotsMax).description(""))
      ->type_name("N");
  add(verb, "cpuset", options.cpu_sets, "CPUs: one request at a time on each, slots pinned to them")
      ->delimiter(',')
      ->type_name("CPU");
  add(verb, "enable-cpu-rate", options.cpu_rate, "Obeys cpuRateLimit");
  verb.add_flag("--named-collectors", options.named_collectors,
                "Collected files have their names in /w, too; slower");
  add(verb, "extra-memory-limit", options.extra_memory, "Room above memoryLimit; default: 16k")
      ->type_name("SIZE");
  add(verb, "output-limit", options.output_limit, "Largest file of a job; default: 256m")
      ->type_name("SIZE");
  add(verb, "copy-out-limit", options.copy_out_limit, "Largest file copied out; default: 256m")
      ->type_name("SIZE");
  add(verb, "open-file-limit", options.open_files, "Open files of each process; default: 256")
      ->type_name("N");
  add(verb, "file-timeout", options.file_timeout, "Removes stored files unused for so long")
      ->type_name("TIME");
  add(verb, "dir", options.directory,
      "Keeps stored files here, also over a restart; default: memory")
      ->type_name("DIR");
  add(verb, "src-prefix", options.src_prefixes, "Host directories that \"src\" may name")
      ->delimiter(',')
      ->type_name("DIR");
  add(verb, "tmp-fs-param", options.tmp_fs, "Of /w and /tmp: size=SIZE,nr_inodes=N")
      ->type_name("LIST");
  add(verb, "net-share", options.net_share, "Jobs share the host's network");
  add(verb, "cgroup-prefix", options.name, "Name of the pool's cgroups")->type_name("NAME");
  add(verb, "container-cred-start", options.uid_base, "First host uid of slots, two each")
      ->type_name("UID");
}

/// What go-judge needs and this server does not, so that a start line with it works.
void add_ignored_options(CLI::App& verb, ServeOptions& options) {
  static bool flag = false;
  for (const char* name : {"cpu-cfs-period", "time-limit-checker-interval", "force-gc-target",
                           "force-gc-interval", "grpc-addr", "grpc-msg-size"})
    add(verb, name, options.ignored, "")->group("");
  for (const char* name : {"release", "no-fallback", "enable-debug"})
    add(verb, name, flag, "")->group("");
}

int serve_verb(const ServeOptions& options) {
  const Result<int> status = run_serve(options);
  if (status) return *status;
  print_error(status.error());
  return exit_status_of(status.error());
}

constexpr const char* kConfigExamples =
    "Examples:\n"
    "  hatchery config check /etc/hatchery/hatchery.toml\n"
    "\n"
    "Exit status: 0 when `hatchery serve --config FILE` would take it, else 248.";

int check_config(const std::string& path) {
  ServeOptions options;
  options.config_file = path;
  const Result<PoolConfig> pool = pool_config_of(options);
  const Result<server::ServerConfig> server = server_config_of(options, {});
  if (!pool || !server) {
    const Error& error = pool ? server.error() : pool.error();
    print_error(error);
    return exit_status_of(error);
  }
  std::string listens;
  for (const std::string& address : server->http.listen) listens += " " + address;
  return print_result(path + ": well; profiles: " + std::to_string(pool->profiles.size()) +
                          ", clients: " + std::to_string(server->clients.size()) + ", listens on" +
                          listens + "\n",
                      kExitSuccess);
}

}  // namespace

void add_config_verb(CLI::App& app, Invocation& invocation) {
  CLI::App* verb = app.add_subcommand("config", kConfigSummary);
  verb->require_subcommand(1);
  verb->footer(kConfigExamples);
  CLI::App* check = verb->add_subcommand("check", "Says what is wrong with a file, and where");
  const auto path = std::make_shared<std::string>();
  check->add_option("FILE", *path, "TOML")->required();
  check->footer(kConfigExamples);
  check->callback([path, &invocation] { invocation.exit_status = check_config(*path); });
}

void add_serve_verb(CLI::App& app, Invocation& invocation) {
  CLI::App* verb = app.add_subcommand("serve", kServeSummary);
  const auto options = std::make_shared<ServeOptions>();
  verb->footer(kServeExamples);
  add_server_options(*verb, *options);
  add_pool_flags(*verb, *options);
  add_ignored_options(*verb, *options);
  add_pool_options(*verb, options->pool);
  verb->callback([options, &invocation] { invocation.exit_status = serve_verb(*options); });
}

}  // namespace hatchery::cli
