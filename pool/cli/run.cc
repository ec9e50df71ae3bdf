// `hatchery run`: one job in the foreground, its streams passed through live, its status ours.
#include <fcntl.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <memory>
#include <mutex>
#include <optional>

#include "core/user_namespace.h"
#include "pool/cli/common.h"
#include "pool/cli/exit_status.h"
#include "pool/cli/options.h"
#include "pool/cli/report_text.h"
#include "pool/cli/run_files.h"
#include "pool/cli/stream_pump.h"
#include "pool/cli/verbs.h"
#include "pool/job_json.h"
#include "pool/nearest_name.h"
#include "pool/pool.h"

namespace hatchery::cli {
namespace {

struct RunOptions {
  PoolOptions pool = {};
  Limits limits = {};
  std::vector<std::string> command = {};
  std::string profile_name = {};
  std::string stdin_path = {};
  std::string stdout_path = {};
  std::string stderr_path = {};
  std::vector<int> lent_fds = {};
  bool direct = false;
  std::vector<std::string> files_in = {};
  std::vector<std::string> files_out = {};
  std::uint64_t file_out_bytes_max = FileOut{}.bytes_max;
  std::vector<std::string> env = {};
  bool clear_env = false;
  std::string working_directory = "/w";
  std::string json_path = {};
  bool print_report = false;
  bool quiet = false;
};

/// Where the pool's loop leaves the report for the main thread.
class ReportBox {
 public:
  explicit ReportBox(WakeUp arrived) : arrived_(std::move(arrived)) {}
  void put(Report report) {
    const std::lock_guard lock(mutex_);
    report_ = std::move(report);
    arrived_.signal();
  }
  Report take() {
    const std::lock_guard lock(mutex_);
    HATCHERY_CHECK(report_.has_value());
    return *std::move(report_);
  }
  int arrived_fd() const noexcept { return arrived_.fd(); }

 private:
  WakeUp arrived_;
  std::mutex mutex_ = {};
  std::optional<Report> report_ = {};
};

/// Everything that is opened before the job starts and used after it.
struct RunFiles {
  UniqueFd stdout_file = {};
  UniqueFd stderr_file = {};
  UniqueFd json_file = {};
  std::vector<HostFileOut> files_out = {};
};

// --- Building the job -------------------------------------------------------------------------

std::string env_name(const std::string& variable) { return variable.substr(0, variable.find('=')); }

Result<std::vector<std::string>> make_env(const RunOptions& options, const Profile& profile) {
  std::vector<std::string> env;
  if (!options.clear_env) env = profile.env;
  for (const std::string& asked : options.env) {
    const std::string name = env_name(asked);
    if (name.empty()) {
      return Error{Step::kValidateJob, "--env " + quote(asked), 0, "has no name",
                   "give NAME=VALUE, or NAME to pass on your own"};
    }
    std::string variable = asked;
    if (name.size() == asked.size()) {
      const char* own = ::getenv(name.c_str());  // NOLINT(concurrency-mt-unsafe): before threads.
      if (own == nullptr) continue;              // As env(1) would: not set here, not set there.
      variable += std::string("=") + own;
    }
    std::erase_if(env, [&](const std::string& other) { return env_name(other) == name; });
    env.push_back(std::move(variable));
  }
  return env;
}

/// A directory of the host in the hands of a job is a way out of its mount namespace.
Result<Stream> lend_descriptor(int fd) {
  struct stat status = {};
  if (::fstat(fd, &status) < 0) {
    return errno_error(Step::kOpenInput, "descriptor " + std::to_string(fd), errno,
                       "open it before you start hatchery");
  }
  if (S_ISDIR(status.st_mode)) {
    return Error{Step::kOpenInput, "descriptor " + std::to_string(fd), 0,
                 "is a directory, and would let the job out of its sandbox",
                 "use --in to copy a directory, or --bind to show it"};
  }
  return Stream(CallerFdStream{fd});
}

Result<Stream> make_stdin(const RunOptions& options) {
  if (options.stdin_path == "none") return Stream(NullStream{});
  if (!options.stdin_path.empty()) return Stream(HostFileStream{options.stdin_path});
  return lend_descriptor(STDIN_FILENO);
}

Result<JobSpec> make_spec(const RunOptions& options, const Profile& profile, RunFiles& files) {
  JobSpec spec;
  spec.profile = profile.name;
  spec.args = options.command;
  spec.limits = options.limits;
  spec.working_directory = options.working_directory;
  Result<std::vector<std::string>> env = make_env(options, profile);
  if (!env) return std::move(env).error();
  spec.env = *std::move(env);
  Result<Stream> input = make_stdin(options);
  if (!input) return std::move(input).error();
  spec.fds[STDIN_FILENO] = *std::move(input);
  for (const int fd : options.lent_fds) {
    Result<Stream> lent = lend_descriptor(fd);
    if (!lent) return std::move(lent).error();
    spec.fds[fd] = *std::move(lent);
  }
  for (const std::string& text : options.files_in) {
    Result<FileIn> file = parse_file_in(text);
    if (!file) return std::move(file).error();
    spec.files_in.push_back(*std::move(file));
  }
  for (const std::string& text : options.files_out) {
    Result<FileOutOption> option = parse_file_out(text);
    if (!option) return std::move(option).error();
    Result<HostFileOut> file = HostFileOut::prepare(*std::move(option));
    if (!file) return std::move(file).error();
    spec.files_out.push_back(
        FileOut{.path = file->path(), .bytes_max = options.file_out_bytes_max});
    files.files_out.push_back(*std::move(file));
  }
  return spec;
}

/// Connects the job's fd 1 or 2 to `path`, or to the descriptor of the same number of ours.
Result<void> connect_output(int fd, const std::string& path, const RunOptions& options,
                            UniqueFd& file, StreamPump& pump, JobSpec& spec) {
  int target = fd;
  const std::string name = !path.empty()         ? quote(path)
                           : fd == STDOUT_FILENO ? "standard output"
                                                 : "standard error";
  if (!path.empty()) {
    Result<UniqueFd> created = create_host_file(path);
    if (!created) return std::move(created).error();
    file = *std::move(created);
    target = file.get();
  } else if (options.direct) {
    Result<Stream> lent = lend_descriptor(fd);
    if (!lent) return std::move(lent).error();
    spec.fds[fd] = *std::move(lent);
    return {};
  }
  Result<int> lent = pump.add(target, name);
  if (!lent) return std::move(lent).error();
  spec.fds[fd] = CallerFdStream{*lent};
  return {};
}

Result<RunFiles> open_json(const RunOptions& options) {
  RunFiles files;
  if (options.json_path.empty() || options.json_path == "-") return files;
  Result<UniqueFd> created = create_host_file(options.json_path);
  if (!created) return std::move(created).error();
  files.json_file = *std::move(created);
  return files;
}

// --- Running it -------------------------------------------------------------------------------

/// Waits until `fd` is readable or a signal has come; returns the signal's number or 0.
int wait_or_interrupt(int fd, const Interrupts& interrupts) {
  while (true) {
    pollfd waiting[] = {{.fd = fd, .events = POLLIN, .revents = 0},
                        {.fd = interrupts.fd(), .events = POLLIN, .revents = 0}};
    if (::poll(waiting, 2, -1) < 0) continue;
    if (waiting[1].revents != 0) {
      const int number = interrupts.take();
      if (number != 0) return number;
    }
    if (waiting[0].revents != 0) return 0;
  }
}

/// The job's end; the first signal cancels the job, a second one ends us at once (and the kernel
/// ends the job with us).
int wait_for_end(const ReportBox& box, const Interrupts& interrupts, Pool& pool, JobTicket ticket,
                 StreamPump& pump) {
  int interrupted = 0;
  for (const int fd : {box.arrived_fd(), pump.done_fd()}) {
    if (fd == pump.done_fd()) pump.finish();
    while (const int number = wait_or_interrupt(fd, interrupts)) {
      if (interrupted != 0) ::_exit(kExitSignalBase + number);
      interrupted = number;
      pool.cancel(ticket);
      if (fd == pump.done_fd()) pump.abandon();
    }
  }
  pump.join();
  return interrupted;
}

/// What the pump saw is part of the outcome: the pool only knows that the job was cancelled, or
/// that it ended by itself, of SIGPIPE perhaps, with too much in the pipe or with nobody to take
/// it.
void apply_pump(const StreamPump& pump, Report& report) {
  const Outcome outcome = report.outcome;
  const bool by_itself = outcome == Outcome::kAccepted || outcome == Outcome::kNonzeroExit ||
                         outcome == Outcome::kSignalled;
  if (pump.error().has_value()) {
    if (!report.error.has_value()) report.error = pump.error();
    if (by_itself) report.outcome = Outcome::kFileError;
  } else if (pump.overflowed() && (by_itself || outcome == Outcome::kCancelled)) {
    report.outcome = Outcome::kOutputLimit;
  }
}

/// Writes the files out; the first error, but tries them all.
Result<void> write_files_out(const RunFiles& files, const Report& report) {
  Result<void> result;
  for (const HostFileOut& file : files.files_out) {
    const Output* output = report.output(file.path());
    if (output == nullptr || output->error.has_value()) continue;  // The report's error says it.
    Result<void> written = file.write(*output);
    if (!written && result) result = std::move(written);
  }
  return result;
}

Result<void> write_json(const RunOptions& options, const RunFiles& files, const Report& report) {
  if (options.json_path.empty()) return {};
  const int fd = files.json_file.valid() ? files.json_file.get() : STDERR_FILENO;
  const int errnum = write_all(fd, report_to_json(report) + "\n");
  if (errnum != 0) return write_error(quote(options.json_path), errnum);
  return {};
}

void print_end(const RunOptions& options, const Report& report, const Limits& limits,
               const StreamPump& pump) {
  if (options.print_report) {
    const std::string text = report_text(report);
    write_all(STDERR_FILENO, text);
  }
  if (options.quiet || report.outcome == Outcome::kAccepted) return;
  // `hatchery run -- yes | head` ends as `yes | head` does: in silence.
  if (pump.reader_gone() && report.signal == SIGPIPE) return;
  print_error(outcome_line(report, limits));
}

Result<int> finish_run(const RunOptions& options, const RunFiles& files, const Limits& limits,
                       const StreamPump& pump, Report report, int interrupted) {
  apply_pump(pump, report);
  print_end(options, report, limits, pump);
  HATCHERY_TRY(write_files_out(files, report));
  HATCHERY_TRY(write_json(options, files, report));
  if (interrupted != 0) return kExitSignalBase + interrupted;
  return exit_status_of(report);
}

/// Only the profile that the job uses, with one slot: nothing else is to be made ready.
Result<PoolConfig> run_config(const RunOptions& options) {
  Result<PoolConfig> config = pool_config(options.pool);
  if (!config) return std::move(config).error();
  Result<const Profile*> used = find_profile(*config, options.profile_name);
  if (!used) return std::move(used).error();
  Profile profile = **used;
  profile.slots_min = 1;
  profile.slots_max = 1;
  config->profiles = {std::move(profile)};
  return config;
}

Result<int> run_job(const RunOptions& options) {
  Result<Interrupts> interrupts = Interrupts::create();
  if (!interrupts) return std::move(interrupts).error();
  Result<PoolConfig> config = run_config(options);
  if (!config) return std::move(config).error();
  const Profile profile = config->profiles.front();
  Result<Limits> limits = effective_limits(options.limits, profile);
  if (!limits) return std::move(limits).error();
  Result<RunFiles> files = open_json(options);
  if (!files) return std::move(files).error();
  Result<JobSpec> spec = make_spec(options, profile, *files);
  if (!spec) return std::move(spec).error();
  // Before the first thread.
  HATCHERY_TRY(enter_user_namespace());
  Result<std::unique_ptr<StreamPump>> pump = StreamPump::create(limits->output_bytes);
  if (!pump) return std::move(pump).error();
  HATCHERY_TRY(connect_output(STDOUT_FILENO, options.stdout_path, options, files->stdout_file,
                              **pump, *spec));
  HATCHERY_TRY(connect_output(STDERR_FILENO, options.stderr_path, options, files->stderr_file,
                              **pump, *spec));
  Result<WakeUp> arrived = WakeUp::create();
  if (!arrived) return std::move(arrived).error();
  ReportBox box(*std::move(arrived));

  // After all that its callbacks use, so that it goes first.
  Result<std::unique_ptr<Pool>> pool = Pool::create(*std::move(config));
  if (!pool) return std::move(pool).error();
  Result<JobTicket> ticket =
      (*pool)->submit(*std::move(spec), [&box](Report report) { box.put(std::move(report)); });
  if (!ticket) return std::move(ticket).error();
  (*pump)->start([&pool, &ticket] { (*pool)->cancel(*ticket); });
  const int interrupted = wait_for_end(box, *interrupts, **pool, *ticket, **pump);
  return finish_run(options, *files, *limits, **pump, box.take(), interrupted);
}

// --- The command line -------------------------------------------------------------------------

constexpr const char* kRunExamples =
    "Examples:\n"
    "  hatchery run -- python3 -c 'print(6 * 7)'\n"
    "  hatchery run --cpu-time 1s --memory 64MiB --in main.c --out main -- gcc -O2 -o main main.c\n"
    "  hatchery run --report --network none < input.txt -- ./solution\n"
    "\n"
    "Exit status: the command's; 128+n when signal n killed it; 126 or 127 when it can't be\n"
    "executed or isn't there; 240 time limit, 241 wall limit, 242 memory limit, 243 output limit,\n"
    "244 forbidden system call, 245 file error, 246 cancelled, 247 internal error, 248 wrong "
    "usage\n"
    "or a refused job, 249 this host can't run jobs (see `hatchery doctor`); 130 after Ctrl-C.";

Result<std::uint64_t> parse_out_max(const std::string& text) {
  Result<std::uint64_t> bytes = parse_bytes(text);
  if (!bytes || *bytes <= kOutputBytesMax) return bytes;
  return Error{Step::kValidateJob, quote(text), 0, "is out of range", "give at most 1GiB"};
}

void add_stream_options(CLI::App& verb, RunOptions& options) {
  constexpr const char* kGroup = "Streams and files";
  verb.add_option("--stdin", options.stdin_path,
                  "File for the job's standard input, or \"none\"; default: ours, passed through")
      ->type_name("FILE")
      ->group(kGroup);
  verb.add_option("--stdout", options.stdout_path, "File for standard output; default: ours")
      ->type_name("FILE")
      ->group(kGroup);
  verb.add_option("--stderr", options.stderr_path, "File for standard error; default: ours")
      ->type_name("FILE")
      ->group(kGroup);
  verb.add_flag("--direct", options.direct,
                "Lends our own stdout and stderr to the job, for programs that want a terminal;\n"
                "--output can't be enforced then");
  verb.get_option("--direct")->group(kGroup);
  verb.add_option("--fd", options.lent_fds,
                  "Lends descriptor N of ours to the job as its N (3 to 1023); not counted by\n"
                  "--output; repeatable")
      ->check(CLI::Range(3, 1023).description(""))
      ->expected(1)
      ->take_all()
      ->type_name("N")
      ->group(kGroup);
  verb.add_option("--in", options.files_in,
                  "Copies a host file or directory into /w, or to DEST; repeatable")
      ->type_name("SRC[:DEST]")
      ->expected(1)
      ->take_all()
      ->group(kGroup);
  verb.add_option("--out", options.files_out,
                  "Copies a file of the job to the host after it ended; repeatable")
      ->type_name("PATH[=HOSTFILE]")
      ->expected(1)
      ->take_all()
      ->group(kGroup);
  verb.add_option_function<std::string>(
          "--out-max",
          [&options](const std::string& text) {
            const Result<std::uint64_t> bytes = parse_out_max(text);
            if (bytes) options.file_out_bytes_max = *bytes;
          },
          "Largest file that --out takes; default 64MiB, at most 1GiB")
      ->check([](const std::string& text) {
        const Result<std::uint64_t> bytes = parse_out_max(text);
        return bytes ? std::string() : value_error_text(bytes.error());
      })
      ->type_name("SIZE")
      ->group(kGroup);
}

void add_run_options(CLI::App& verb, RunOptions& options) {
  verb.add_option("--env", options.env,
                  "Sets a variable over the profile's environment; NAME alone passes ours on")
      ->type_name("NAME[=VALUE]")
      ->expected(1)
      ->take_all();
  verb.add_flag("--clear-env", options.clear_env, "Starts from an empty environment");
  verb.add_option("--cwd", options.working_directory, "Working directory in the sandbox")
      ->type_name("DIR")
      ->default_str("/w");
  verb.add_flag("--report", options.print_report, "Prints the report on stderr");
  verb.add_option("--json", options.json_path, "Writes the report as JSON; \"-\" is stderr")
      ->type_name("FILE");
  verb.add_flag("-q,--quiet", options.quiet, "No line about a job that wasn't accepted");
  add_stream_options(verb, options);
  add_limit_options(verb, options.limits);
  add_pool_options(verb, options.pool);
  verb.add_option("--profile-name", options.profile_name,
                  "Which profile of the file; default: the first")
      ->type_name("NAME")
      ->group("Sandbox");
}

/// The command: after "--", or else from the first argument that is no option on.
Result<std::vector<std::string>> find_command(const CLI::App& verb,
                                              const std::vector<std::string>& after_dashes) {
  const std::vector<std::string> rest = verb.remaining();
  if (!rest.empty() && (!after_dashes.empty() || rest.front().rfind('-', 0) == 0)) {
    return Error{Step::kNone, {}, 0, unknown_argument_text(verb, rest.front()), ""};
  }
  if (!after_dashes.empty()) return after_dashes;
  if (!rest.empty()) return rest;
  return Error{Step::kNone, {}, 0, "no command; try: hatchery run -- true", ""};
}

int run_verb(const CLI::App& verb, RunOptions& options,
             const std::vector<std::string>& after_dashes) {
  Result<std::vector<std::string>> command = find_command(verb, after_dashes);
  if (!command) {
    print_error(command.error().detail);
    return kExitUsage;
  }
  options.command = *std::move(command);
  if (options.direct && options.limits.output_bytes.has_value()) {
    print_error("--direct and --output exclude each other; leave out one");
    return kExitUsage;
  }
  const Result<int> status = run_job(options);
  if (status) return *status;
  print_error(status.error());
  return exit_status_of(status.error());
}

}  // namespace

void add_run_verb(CLI::App& app, Invocation& invocation) {
  CLI::App* verb = app.add_subcommand("run", "Runs one job in the foreground");
  const auto options = std::make_shared<RunOptions>();
  verb->footer(kRunExamples);
  verb->prefix_command();
  add_run_options(*verb, *options);
  verb->callback([verb, options, &invocation] {
    invocation.exit_status = run_verb(*verb, *options, invocation.command);
  });
}

}  // namespace hatchery::cli
