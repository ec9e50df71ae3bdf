// `hatchery batch`: JSON lines in, JSON lines out, with a bounded number of jobs in flight.
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>

#include "core/user_namespace.h"
#include "pool/cli/batch_writer.h"
#include "pool/cli/common.h"
#include "pool/cli/exit_status.h"
#include "pool/cli/line_reader.h"
#include "pool/cli/options.h"
#include "pool/cli/run_files.h"
#include "pool/cli/verbs.h"
#include "pool/job_json.h"
#include "pool/limits.h"
#include "pool/nearest_name.h"
#include "pool/pool.h"

namespace hatchery::cli {
namespace {

using Clock = std::chrono::steady_clock;

/// A job's line carries its inputs; beyond this they belong into files.
constexpr std::size_t kLineBytesMax = 64U << 20;
constexpr std::uint32_t kInFlightPerSlot = 4;
constexpr std::uint32_t kInFlightMax = 1'000'000;
constexpr std::uint64_t kRepeatMax = 1'000'000'000;
constexpr std::chrono::milliseconds kProgressPeriod(200);
/// When the queue is full although nothing of ours is in flight.
constexpr int kRetryMs = 10;

struct BatchOptions {
  PoolOptions pool = {};
  Limits limits = {};
  std::string input_path = "-";
  std::string output_path = {};
  bool ordered = false;
  bool quiet = false;
  std::uint32_t in_flight = 0;  ///< 0: four a slot.
  std::uint64_t repeat = 1;
};

/// Tickets of the jobs in flight, to cancel them. Thread: any.
class TicketTable {
 public:
  /// Before submit(): the report may come before submit() returns.
  void expect(std::uint64_t sequence) {
    const std::lock_guard lock(mutex_);
    tickets_.emplace(sequence, std::nullopt);
  }
  void set(std::uint64_t sequence, JobTicket ticket) {
    const std::lock_guard lock(mutex_);
    const auto found = tickets_.find(sequence);
    if (found != tickets_.end()) found->second = ticket;
  }
  void erase(std::uint64_t sequence) {
    const std::lock_guard lock(mutex_);
    tickets_.erase(sequence);
  }
  void cancel_all(Pool& pool) {
    std::vector<JobTicket> tickets;
    {
      const std::lock_guard lock(mutex_);
      for (const auto& [sequence, ticket] : tickets_) {
        if (ticket.has_value()) tickets.push_back(*ticket);
      }
    }
    for (const JobTicket ticket : tickets) pool.cancel(ticket);
  }

 private:
  std::mutex mutex_ = {};
  std::unordered_map<std::uint64_t, std::optional<JobTicket>> tickets_ = {};
};

/// One line on a terminal, overwritten as the batch goes on; nothing elsewhere.
class Progress {
 public:
  Progress(bool shown, std::uint64_t input_bytes)
      : shown_(shown), input_bytes_(input_bytes), start_(Clock::now()) {}
  bool shown() const noexcept { return shown_; }
  Nanoseconds elapsed() const { return Clock::now() - start_; }

  void update(std::uint64_t done, std::uint64_t in_flight, std::uint64_t bytes_read) {
    const Clock::time_point now = Clock::now();
    if (!shown_ || now - printed_ < kProgressPeriod) return;
    const double seconds = std::chrono::duration<double>(now - printed_).count();
    const double rate = static_cast<double>(done - printed_done_) / seconds;
    std::string line = fmt::format("\r\x1b[K{} done, {} in flight", done, in_flight);
    if (printed_ != Clock::time_point()) line += fmt::format(", {:.0f} jobs/s", rate);
    if (input_bytes_ > 0) line += fmt::format(", {}% read", bytes_read * 100 / input_bytes_);
    write_all(STDERR_FILENO, line);
    printed_ = now;
    printed_done_ = done;
  }
  void clear() {
    if (shown_ && printed_ != Clock::time_point()) write_all(STDERR_FILENO, "\r\x1b[K");
  }

 private:
  const bool shown_;
  const std::uint64_t input_bytes_;
  const Clock::time_point start_;
  Clock::time_point printed_ = {};
  std::uint64_t printed_done_ = 0;
};

/// Reads, submits and waits, on the main thread.
class Batch {
 public:
  struct Parts {
    const BatchOptions& options;
    const Interrupts& interrupts;
    const WakeUp& wake;
    int input_fd;
    std::string input_name;
    std::uint32_t in_flight_max;
    Pool& pool;
    BatchWriter& writer;
    TicketTable& tickets;
    Progress& progress;
  };
  explicit Batch(Parts parts) : parts_(std::move(parts)), reader_(parts_.input_fd, kLineBytesMax) {}

  /// Until the input has ended or a signal or an error has come, and nothing is in flight.
  Result<void> run();
  int interrupted() const noexcept { return interrupted_; }
  std::uint64_t lines() const noexcept { return line_number_; }

 private:
  bool stopping() const noexcept { return interrupted_ != 0 || parts_.writer.failed(); }
  Result<void> read_all();
  Result<void> read_more();
  void take_line();
  std::string line_name() const { return parts_.input_name + ":" + std::to_string(line_number_); }
  void refuse(const Error& error);
  void submit_next();
  bool wait(int fd, int timeout_ms);
  void wait_until_in_flight(std::uint64_t count);
  void on_signal();

  const Parts parts_;
  LineReader reader_;
  std::string line_ = {};
  std::uint64_t line_number_ = 0;
  /// The job of the line, while there are copies of it to be submitted.
  JobSpec spec_ = {};
  std::uint64_t repeats_left_ = 0;
  int interrupted_ = 0;
};

Result<void> Batch::run() {
  Result<void> result = read_all();
  if (stopping() || !result) parts_.tickets.cancel_all(parts_.pool);
  while (parts_.writer.in_flight() > 0) wait_until_in_flight(0);
  return result;
}

Result<void> Batch::read_all() {
  while (!stopping()) {
    // Half of them at once: a wake-up for each job would cost more than most jobs' own work.
    if (parts_.writer.in_flight() >= parts_.in_flight_max) {
      wait_until_in_flight(parts_.in_flight_max / 2);
      continue;
    }
    if (repeats_left_ > 0) {
      submit_next();
      continue;
    }
    switch (reader_.next(line_)) {
      case LineReader::Next::kEnd: return {};
      case LineReader::Next::kNeedInput: HATCHERY_TRY(read_more()); break;
      case LineReader::Next::kTooLong:
        ++line_number_;
        refuse(Error{Step::kValidateJob, line_name(), 0, "is longer than 64 MiB",
                     "put large inputs into files"});
        break;
      case LineReader::Next::kLine:
        ++line_number_;
        take_line();
        break;
    }
  }
  return {};
}

Result<void> Batch::read_more() {
  if (!wait(parts_.input_fd, -1)) return {};
  return reader_.fill();
}

void Batch::take_line() {
  if (line_.find_first_not_of(" \t\r") == std::string::npos) return;
  Result<JobSpec> spec = job_from_json(line_, line_name());
  if (!spec) {
    refuse(spec.error());
    return;
  }
  spec_ = *std::move(spec);
  // So that every report can be traced to its line.
  if (spec_.id.empty()) spec_.id = std::to_string(line_number_);
  repeats_left_ = parts_.options.repeat;
}

void Batch::refuse(const Error& error) {
  parts_.writer.put(parts_.writer.begin(), RefusedLine{line_number_, {}, error.message()});
}

void Batch::submit_next() {
  const std::uint64_t sequence = parts_.writer.begin();
  parts_.tickets.expect(sequence);
  const auto on_report = [this, sequence](Report report) {
    parts_.tickets.erase(sequence);
    parts_.writer.put(sequence, std::move(report));
  };
  while (true) {
    // A copy: there may be more to come, or the queue may be full.
    Result<JobTicket> ticket = parts_.pool.submit(spec_, on_report);
    if (ticket) {
      parts_.tickets.set(sequence, *ticket);
      --repeats_left_;
      return;
    }
    const Error& error = ticket.error();
    if (error.step == Step::kQueueJob && error.errnum == EAGAIN && !stopping()) {
      wait(-1, kRetryMs);
      continue;
    }
    parts_.tickets.erase(sequence);
    parts_.writer.put(sequence, RefusedLine{line_number_, spec_.id, error.message()});
    repeats_left_ = 0;  // All copies would be refused alike.
    return;
  }
}

/// Until `fd` has input (true), or the writer or a signal says something, or the time is over. `fd`
/// may be -1.
bool Batch::wait(int fd, int timeout_ms) {
  parts_.progress.update(parts_.writer.written(), parts_.writer.in_flight(), reader_.bytes_read());
  if (timeout_ms < 0 && parts_.progress.shown()) {
    timeout_ms = static_cast<int>(kProgressPeriod.count());
  }
  pollfd waiting[] = {{.fd = fd, .events = POLLIN, .revents = 0},
                      {.fd = parts_.interrupts.fd(), .events = POLLIN, .revents = 0},
                      {.fd = parts_.wake.fd(), .events = POLLIN, .revents = 0}};
  if (::poll(waiting, 3, timeout_ms) <= 0) return false;
  if (waiting[1].revents != 0) on_signal();
  if (waiting[2].revents != 0) parts_.wake.clear();
  return waiting[0].revents != 0;
}

void Batch::wait_until_in_flight(std::uint64_t count) {
  const bool was_stopping = stopping();
  parts_.writer.wake_at(count);
  while (parts_.writer.in_flight() > count && stopping() == was_stopping) wait(-1, -1);
}

void Batch::on_signal() {
  const int number = parts_.interrupts.take();
  if (number == 0) return;
  // The second one ends us at once, and the kernel ends the jobs with us.
  if (interrupted_ != 0) ::_exit(kExitSignalBase + number);
  interrupted_ = number;
  parts_.tickets.cancel_all(parts_.pool);
}

// --- Around it --------------------------------------------------------------------------------

struct BatchFiles {
  UniqueFd opened_input = {};
  UniqueFd opened_output = {};
  int input_fd = STDIN_FILENO;
  int output_fd = STDOUT_FILENO;
  std::string input_name = "standard input";
  std::uint64_t input_bytes = 0;  ///< 0 when unknown.
};

Result<BatchFiles> open_files(const BatchOptions& options) {
  BatchFiles files;
  if (options.input_path != "-") {
    files.opened_input = UniqueFd(::open(options.input_path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!files.opened_input.valid()) {
      return errno_error(Step::kReadFile, quote(options.input_path), errno,
                         "give a file of JSON lines, or - for standard input");
    }
    files.input_fd = files.opened_input.get();
    files.input_name = options.input_path;
  }
  struct stat status = {};
  if (::fstat(files.input_fd, &status) < 0 || S_ISDIR(status.st_mode)) {
    return errno_error(Step::kReadFile, quote(files.input_name),
                       S_ISDIR(status.st_mode) ? EISDIR : EBADF,
                       "give a file of JSON lines, or - for standard input");
  }
  if (S_ISREG(status.st_mode)) files.input_bytes = static_cast<std::uint64_t>(status.st_size);
  if (!options.output_path.empty()) {
    Result<UniqueFd> created = create_host_file(options.output_path);
    if (!created) return std::move(created).error();
    files.opened_output = *std::move(created);
    files.output_fd = files.opened_output.get();
  }
  return files;
}

/// The command line's limits are what a job gets that names none.
void apply_limits(const Limits& limits, Profile& profile) {
  for (const LimitField& field : limit_fields()) {
    std::visit(
        [&](auto member) {
          if ((limits.*member).has_value()) profile.defaults.*member = limits.*member;
        },
        field.member);
  }
}

struct BatchConfig {
  PoolConfig pool;
  std::uint32_t in_flight_max;
};

Result<BatchConfig> batch_config(const BatchOptions& options) {
  Result<PoolConfig> config = pool_config(options.pool);
  if (!config) return std::move(config).error();
  std::uint32_t slots = 0;
  for (Profile& profile : config->profiles) {
    apply_limits(options.limits, profile);
    slots += profile.slots_max;
  }
  const std::uint32_t in_flight =
      options.in_flight != 0 ? options.in_flight : std::min(slots * kInFlightPerSlot, kInFlightMax);
  config->queue_max = std::max(config->queue_max, in_flight);
  HATCHERY_TRY(config->validate());
  return BatchConfig{*std::move(config), in_flight};
}

void print_summary(const BatchSummary& summary, const Batch& batch, Nanoseconds elapsed) {
  std::string text = summary.text(elapsed);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  if (batch.interrupted() != 0) {
    print_note(fmt::format("interrupted after line {}; what ran:", batch.lines()));
  }
  print_note(text);
}

Result<int> run_batch(const BatchOptions& options) {
  Result<Interrupts> interrupts = Interrupts::create();
  if (!interrupts) return std::move(interrupts).error();
  Result<BatchConfig> config = batch_config(options);
  if (!config) return std::move(config).error();
  Result<BatchFiles> files = open_files(options);
  if (!files) return std::move(files).error();
  // Before the first thread.
  HATCHERY_TRY(enter_user_namespace());
  Result<WakeUp> wake = WakeUp::create();
  if (!wake) return std::move(wake).error();
  // Before the pool, whose callbacks use them.
  TicketTable tickets;
  BatchWriter writer(files->output_fd, options.ordered, *wake);
  Result<std::unique_ptr<Pool>> pool = Pool::create(std::move(config->pool));
  if (!pool) return std::move(pool).error();

  const bool lines_on_terminal = ::isatty(files->output_fd) == 1;
  Progress progress(!options.quiet && stderr_is_terminal() && !lines_on_terminal,
                    files->input_bytes);
  Batch batch({.options = options,
               .interrupts = *interrupts,
               .wake = *wake,
               .input_fd = files->input_fd,
               .input_name = files->input_name,
               .in_flight_max = config->in_flight_max,
               .pool = **pool,
               .writer = writer,
               .tickets = tickets,
               .progress = progress});
  const Result<void> result = batch.run();
  const Nanoseconds elapsed = progress.elapsed();
  writer.close();
  progress.clear();
  const BatchSummary& summary = writer.summary();
  if (!options.quiet) print_summary(summary, batch, elapsed);
  if (batch.interrupted() != 0) return kExitSignalBase + batch.interrupted();
  if (!result) return result.error();
  if (writer.error().has_value()) return *writer.error();
  const bool good = summary.refused() == 0 && summary.count(Outcome::kInternalError) == 0;
  return good ? kExitSuccess : kExitFailure;
}

// --- The command line -------------------------------------------------------------------------

constexpr const char* kBatchExamples =
    "Each line of FILE is a job, such as\n"
    "  {\"id\": \"1\", \"args\": [\"/bin/echo\", \"hello\"],\n"
    "   \"stdout\": {\"collect\": \"out\"}, \"limits\": {\"cpu_time\": \"1s\"}}\n"
    "(on one line; README, \"Job JSON\"). Each line of the output is its report. A line that is no "
    "job\n"
    "gives {\"line\", \"error\"}, and the others go on. A job without an id gets its line's "
    "number.\n"
    "\n"
    "Examples:\n"
    "  hatchery batch jobs.jsonl > reports.jsonl\n"
    "  generate-jobs | hatchery batch --ordered --cpu-time 2s - | jq .outcome\n"
    "  echo '{\"args\":[\"/bin/true\"]}' | hatchery batch --repeat 100000 -o /dev/null -\n"
    "\n"
    "Exit status: 0 when every line was a job and none ended in an internal error, else 1; 130 "
    "after\n"
    "Ctrl-C, which cancels what is in flight and reports what ran (a second one ends at once);\n"
    "245 when the output can't be written, 248 wrong usage, 249 this host can't run jobs.";

void add_batch_options(CLI::App& verb, BatchOptions& options) {
  verb.add_option("FILE", options.input_path, "JSON lines; - is standard input")->required();
  verb.add_option("-o,--reports", options.output_path, "File for the reports; default: stdout")
      ->type_name("FILE");
  verb.add_flag("--ordered", options.ordered, "Reports in the order of the lines");
  verb.add_option("--in-flight", options.in_flight, "Jobs submitted at once; default: four a slot")
      ->check(CLI::Range(1U, kInFlightMax).description(""))
      ->type_name("N");
  verb.add_option("--repeat", options.repeat, "Runs the job of each line N times, for load tests")
      ->check(CLI::Range(std::uint64_t{1}, kRepeatMax).description(""))
      ->type_name("N");
  verb.add_flag("-q,--quiet", options.quiet, "No progress and no summary");
  add_limit_options(verb, options.limits);
  add_pool_options(verb, options.pool);
  add_slots_option(verb, options.pool);
}

int batch_verb(const BatchOptions& options) {
  const Result<int> status = run_batch(options);
  if (status) return *status;
  print_error(status.error());
  return exit_status_of(status.error());
}

}  // namespace

void add_batch_verb(CLI::App& app, Invocation& invocation) {
  CLI::App* verb = app.add_subcommand("batch", "Runs many jobs: JSON lines in, JSON lines out");
  const auto options = std::make_shared<BatchOptions>();
  verb->footer(kBatchExamples);
  add_batch_options(*verb, *options);
  verb->callback([options, &invocation] { invocation.exit_status = batch_verb(*options); });
}

}  // namespace hatchery::cli
