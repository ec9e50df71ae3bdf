#include "pool/cli/options.h"

#include <charconv>
#include <climits>
#include <cstdlib>
#include <memory>

#include "pool/cli/common.h"
#include "pool/limits.h"
#include "pool/nearest_name.h"

namespace hatchery::cli {
namespace {

/// "--cpu-time" for "cpu_time".
std::string flag_of(const char* key) {
  std::string flag = std::string("--") + key;
  for (char& letter : flag) {
    if (letter == '_') letter = '-';
  }
  return flag;
}

const char* type_name(LimitKind kind) {
  switch (kind) {
    case LimitKind::kDuration: return "TIME";
    case LimitKind::kBytes: return "SIZE";
    case LimitKind::kCount: return "N";
    case LimitKind::kCpuRate: return "CPUS";
    case LimitKind::kCpuSet: return "LIST";
  }
  HATCHERY_UNREACHABLE();
}

Error wrong_value(std::string detail, std::string remedy) {
  return Error{Step::kValidateJob, {}, 0, std::move(detail), std::move(remedy)};
}

template <typename Number>
Result<Number> parse_number(const std::string& text, const LimitField& field) {
  Number value = {};
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, value);
  if (text.empty() || parsed.ec != std::errc() || parsed.ptr != end) {
    return wrong_value(quote(text) + " is not a number", "give " + limit_range_text(field));
  }
  return value;
}

Result<void> set_field(Limits& limits, const LimitField& field, const std::string& text) {
  switch (field.kind) {
    case LimitKind::kDuration: {
      Result<Nanoseconds> time = parse_duration(text);
      if (!time) return std::move(time).error();
      return set_limit_number(limits, field, static_cast<std::uint64_t>(time->count()));
    }
    case LimitKind::kBytes: {
      Result<std::uint64_t> bytes = parse_bytes(text);
      if (!bytes) return std::move(bytes).error();
      return set_limit_number(limits, field, *bytes);
    }
    case LimitKind::kCount: {
      Result<std::uint64_t> count = parse_number<std::uint64_t>(text, field);
      if (!count) return std::move(count).error();
      return set_limit_number(limits, field, *count);
    }
    case LimitKind::kCpuRate: {
      Result<double> rate = parse_number<double>(text, field);
      if (!rate) return std::move(rate).error();
      limits.cpu_rate = *rate;
      return {};
    }
    case LimitKind::kCpuSet: {
      limits.cpu_set = text;
      return {};
    }
  }
  HATCHERY_UNREACHABLE();
}

void apply_to_profile(const PoolOptions& options, const std::vector<BindMount>& binds,
                      Profile& profile) {
  if (options.slots.has_value()) {
    profile.slots_min = *options.slots;
    profile.slots_max = *options.slots;
  }
  if (!options.root_directory.empty()) {
    profile.root_directory = options.root_directory;
    // The given root is the whole root: the host's /usr over it would be a mixture of two systems.
    profile.binds.clear();
  }
  profile.binds.insert(profile.binds.end(), binds.begin(), binds.end());
  if (!options.network.empty()) {
    profile.network = options.network == "host" ? NetworkMode::kHost : NetworkMode::kNone;
  }
  if (!options.seccomp_policy.empty()) profile.seccomp_policy = options.seccomp_policy;
  if (!options.refused_call.empty()) {
    profile.refused_call =
        options.refused_call == "kill" ? RefusedCall::kKill : RefusedCall::kErrno;
  }
}

Result<std::string> real_path(const std::string& path, const char* remedy) {
  const std::unique_ptr<char, decltype(&std::free)> real(::realpath(path.c_str(), nullptr),
                                                         &std::free);
  if (real == nullptr) return errno_error(Step::kOpenInput, quote(path), errno, remedy);
  return std::string(real.get());
}

/// An error of a value that came from an option names the option: its user has no profile[0].
Error with_option_names(Error error, const PoolOptions& options, const PoolConfig& config) {
  for (std::size_t index = 0; index < config.profiles.size(); ++index) {
    const std::string prefix = "profile[" + std::to_string(index) + "].";
    const std::size_t first = config.profiles[index].binds.size() - options.binds.size();
    for (std::size_t i = 0; i < options.binds.size(); ++i) {
      const std::string bind = prefix + "bind[" + std::to_string(first + i) + "].";
      if (error.object.starts_with(bind)) error.object = "--bind " + quote(options.binds[i]);
    }
    if (!options.root_directory.empty() && error.object == prefix + "root_directory")
      error.object = "--root";
  }
  return error;
}

}  // namespace

void add_pool_options(CLI::App& verb, PoolOptions& options) {
  constexpr const char* kGroup = "Sandbox";
  verb.add_option("--profile", options.profile_file,
                  "TOML file with the profile; `hatchery doctor --print-config` prints the default")
      ->type_name("FILE")
      ->group(kGroup);
  verb.add_option("--root", options.root_directory,
                  "Directory that becomes the sandbox's whole root, read-only")
      ->type_name("DIR")
      ->group(kGroup);
  verb.add_option("--bind", options.binds,
                  "Shows a host file or directory in the sandbox, read-only unless :rw; repeatable")
      ->type_name("SRC[:DEST[:rw]]")
      ->expected(1)
      ->take_all()
      ->group(kGroup);
  verb.add_option("--network", options.network,
                  "none: only a loopback of its own (default); host: the host's network")
      ->check(CLI::IsMember({"none", "host"}).description(""))
      ->type_name("none|host")
      ->group(kGroup);
  verb.add_option("--seccomp", options.seccomp_policy,
                  "System call policy, an OCI or Docker seccomp JSON file")
      ->type_name("FILE")
      ->group(kGroup);
  verb.add_option("--refused-call", options.refused_call,
                  "What the built-in policy does to a refused call: it fails (default) or kills;\n"
                  "clone3 and io_uring_* fail with ENOSYS either way: programs probe them")
      ->check(CLI::IsMember({"errno", "kill"}).description(""))
      ->type_name("errno|kill")
      ->group(kGroup);
}

void add_slots_option(CLI::App& verb, PoolOptions& options) {
  verb.add_option("--slots", options.slots, "Jobs that run at once; default: the profile's")
      ->check(CLI::Range(1U, kSlotsMax).description(""))
      ->type_name("N")
      ->group("Sandbox");
}

void add_limit_options(CLI::App& verb, Limits& limits) {
  for (const LimitField& field : limit_fields()) {
    const std::string key = field.key;
    const auto store = [&limits, key](const std::string& text) {
      // The check has accepted the text.
      HATCHERY_CHECK(set_limit(limits, key, text).has_value());
    };
    const auto check = [key](const std::string& text) -> std::string {
      Limits scratch;
      const Result<void> result = set_limit(scratch, key, text);
      if (result) return {};
      return value_error_text(result.error());
    };
    verb.add_option_function<std::string>(flag_of(field.key), store, field.meaning)
        ->check(check)
        ->type_name(type_name(field.kind))
        ->group("Limits");
  }
}

Result<void> set_limit(Limits& limits, std::string_view key, const std::string& text) {
  const LimitField* field = find_limit_field(key);
  HATCHERY_CHECK(field != nullptr);
  HATCHERY_TRY(set_field(limits, *field, text));
  if (field->kind != LimitKind::kCpuRate && field->kind != LimitKind::kCpuSet) return {};
  Limits alone;
  if (field->kind == LimitKind::kCpuRate) alone.cpu_rate = limits.cpu_rate;
  if (field->kind == LimitKind::kCpuSet) alone.cpu_set = limits.cpu_set;
  Result<void> checked = check_limits(alone, Step::kValidateJob, "");
  if (checked) return {};
  Error error = std::move(checked).error();
  error.object.clear();  // The detail has the value; the key is the caller's to say.
  return error;
}

Result<BindMount> parse_bind(const std::string& text) {
  const std::size_t first = text.find(':');
  std::string target = first == std::string::npos ? "" : text.substr(first + 1);
  BindMount bind;
  const std::size_t second = target.rfind(':');
  const std::string access = second == std::string::npos ? "" : target.substr(second + 1);
  if (second != std::string::npos) target.resize(second);
  if (!access.empty() && access != "rw" && access != "ro") {
    return Error{Step::kValidateConfig, "--bind", 0, quote(access) + " is not an access mode",
                 "give SRC, SRC:DEST, or SRC:DEST:rw"};
  }
  bind.writable = access == "rw";
  Result<std::string> source =
      real_path(text.substr(0, first), "--bind takes an existing file or directory of the host");
  if (!source) return std::move(source).error();
  bind.source = *std::move(source);
  bind.target = target.empty() ? bind.source : target;
  return bind;
}

Result<PoolConfig> pool_config(const PoolOptions& options) {
  PoolConfig config;
  if (!options.profile_file.empty()) {
    Result<PoolConfig> read = config_from_file(options.profile_file);
    if (!read) return std::move(read).error();
    config = *std::move(read);
  }
  PoolOptions resolved = options;
  if (!options.root_directory.empty()) {
    Result<std::string> root =
        real_path(options.root_directory, "--root takes an existing directory");
    if (!root) return std::move(root).error();
    resolved.root_directory = *std::move(root);
  }
  if (!options.seccomp_policy.empty()) {
    Result<std::string> policy =
        real_path(options.seccomp_policy, "--seccomp takes an OCI seccomp JSON file");
    if (!policy) return std::move(policy).error();
    resolved.seccomp_policy = *std::move(policy);
  }
  std::vector<BindMount> binds;
  for (const std::string& text : options.binds) {
    Result<BindMount> bind = parse_bind(text);
    if (!bind) return std::move(bind).error();
    binds.push_back(*std::move(bind));
  }
  for (Profile& profile : config.profiles) apply_to_profile(resolved, binds, profile);
  Result<void> valid = config.validate();
  if (valid) valid = config.check_files();
  if (!valid) return with_option_names(std::move(valid).error(), resolved, config);
  return config;
}

Result<const Profile*> find_profile(const PoolConfig& config, const std::string& name) {
  std::vector<std::string_view> known;
  for (const Profile& profile : config.profiles) {
    if (name.empty() || profile.name == name) return &profile;
    known.emplace_back(profile.name);
  }
  return Error{Step::kValidateJob, "profile", 0, "there is no " + quote(name),
               suggest_name(name, known)};
}

}  // namespace hatchery::cli
