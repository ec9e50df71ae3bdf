#include "pool/cli/judge/judge.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <mutex>

#include "core/files.h"
#include "pool/nearest_name.h"

namespace hatchery::judge {
namespace {

constexpr std::size_t kDiagnosticsKept = 64U << 10U;
/// The answer of a test is read whole to compare with it.
constexpr std::size_t kAnswerBytesMax = 1U << 30U;
constexpr int kProgressMs = 200;

Figures figures_of(const Report& report) {
  return Figures{report.cpu_time, report.wall_time, report.memory_peak_bytes};
}

template <typename Value>
void raise(std::optional<Value>& largest, const std::optional<Value>& value) {
  if (value.has_value() && (!largest.has_value() || *largest < *value)) largest = value;
}

void raise(Figures& largest, const Figures& figures) {
  raise(largest.cpu_time, figures.cpu_time);
  raise(largest.wall_time, figures.wall_time);
  raise(largest.memory_peak_bytes, figures.memory_peak_bytes);
}

std::string diagnostics_of(const Report& report) {
  const Output* output = report.output(kDiagnostics);
  return output == nullptr ? std::string() : output->bytes.substr(0, kDiagnosticsKept);
}

}  // namespace

/// Reports on their way from the pool's thread. The callbacks share it: its mutex outlives the last
/// one.
struct Judge::Mailbox {
  explicit Mailbox(cli::WakeUp wake_up) : wake(std::move(wake_up)) {}
  void put(Event event) {
    {
      const std::lock_guard lock(mutex);
      events.push_back(std::move(event));
    }
    wake.signal();
  }
  std::vector<Event> take() {
    wake.clear();
    const std::lock_guard lock(mutex);
    return std::exchange(events, {});
  }

  std::mutex mutex;
  std::vector<Event> events;
  cli::WakeUp wake;
};

Judge::Judge(Pool& pool, const Package& package, const LanguageList& languages,
             JudgeOptions options)
    : pool_(pool),
      package_(package),
      languages_(languages),
      options_(std::move(options)),
      group_size_(package.validation == Validation::kInteractive ? 2 : 1),
      runs_(package.submissions.size()),
      inputs_(package.tests.size()) {
  HATCHERY_CHECK(package.limits.time.has_value());
  HATCHERY_CHECK(options_.in_flight_max >= group_size_);
  for (std::size_t index = 0; index < runs_.size(); ++index) {
    Run& run = runs_[index];
    run.submission = &package.submissions[index];
    run.result.name = run.submission->name;
    run.result.expectation = run.submission->expectation;
    const Language* language = languages.of_files(run.submission->files);
    if (language != nullptr) run.result.language = language->name;
  }
}

Judge::~Judge() {
  for (Run& run : runs_) drop(run.runnable);
  drop(validator_);
  for (const FileId& id : inputs_) {
    if (!id.empty()) pool_.files().remove(id);
  }
}

Result<Summary> Judge::run() {
  HATCHERY_CHECK(mailbox_ == nullptr);
  Result<cli::WakeUp> wake = cli::WakeUp::create();
  if (!wake) return std::move(wake).error();
  mailbox_ = std::make_shared<Mailbox>(*std::move(wake));
  const auto start = std::chrono::steady_clock::now();
  while (true) {
    pump();
    show_finished();
    if (in_flight_ == 0 && (stopping() || first_unfinished_ == runs_.size())) break;
    wait();
    take_events();
  }
  if (fatal_.has_value()) return *fatal_;
  Summary result = summary();
  result.elapsed = std::chrono::steady_clock::now() - start;
  return result;
}

// --- Starting jobs ----------------------------------------------------------------------------

bool Judge::has_room() const noexcept {
  return in_flight_ == 0 || in_flight_ + group_size_ <= options_.in_flight_max;
}

void Judge::pump() {
  if (stopping()) return;
  if (package_.validation != Validation::kDefault && !validator_ready_) {
    if (!validator_started_) start_validator();
    return;
  }
  for (std::size_t index = first_unfinished_; index < runs_.size(); ++index) {
    while (has_room() && !stopping() && start_next(runs_[index], index)) {
    }
    if (!has_room() || stopping()) return;
  }
}

bool Judge::start_next(Run& run, std::size_t index) {
  switch (run.state) {
    case State::kWaiting: start_submission(run, index); return true;
    case State::kTesting: return start_test(run, index);
    case State::kCompiling:
    case State::kFinished: return false;
  }
  HATCHERY_UNREACHABLE();
}

void Judge::start_validator() {
  validator_started_ = true;
  const Language* language = languages_.of_files(package_.validator_files);
  if (language == nullptr) {
    return fail(Error{Step::kCompileSubmission, package_.directory + ": validator", 0,
                      "is in no known language", "write it in a known one, or give --languages"});
  }
  validator_program_ = make_program(*language, package_.validator_files);
  if (language->compile.empty()) return on_validator_compiled(Report{});
  std::vector<JobSpec> specs;
  specs.push_back(
      compile_job(validator_program_, package_.limits, pool_.config().profiles.front()));
  launch({JobKind::kCompile, runs_.size(), 0}, std::move(specs));
}

void Judge::start_submission(Run& run, std::size_t index) {
  const Language* language = languages_.of_files(run.submission->files);
  if (language == nullptr) {
    return finish(run,
                  {Verdict::kJudgeError, run.submission->files.empty()
                                             ? "has no source file"
                                             : "no language is known for it; see --languages"});
  }
  run.program = make_program(*language, run.submission->files);
  if (language->compile.empty()) return begin_tests(run, nullptr);
  run.state = State::kCompiling;
  std::vector<JobSpec> specs;
  specs.push_back(compile_job(run.program, package_.limits, pool_.config().profiles.front()));
  launch({JobKind::kCompile, index, 0}, std::move(specs));
}

bool Judge::start_test(Run& run, std::size_t index) {
  const std::optional<std::size_t> test = run.schedule->peek();
  if (!test.has_value()) return false;
  std::vector<JobSpec> specs;
  JobKind kind = JobKind::kRun;
  if (package_.validation == Validation::kInteractive) {
    kind = JobKind::kInteract;
    specs = interaction_jobs(run.runnable, validator_, package_.limits, package_.tests[*test]);
  } else {
    specs.push_back(run_job(run.runnable, package_.limits, input_of(*test)));
  }
  if (!launch({kind, index, *test}, std::move(specs))) return false;
  run.schedule->start(*test);
  return true;
}

/// False when the pool refuses it, which would be so for every other one: judging stops.
bool Judge::launch(const JobKey& key, std::vector<JobSpec> specs) {
  const std::size_t size = specs.size();
  Result<JobTicket> ticket = Error{};
  const std::shared_ptr<Mailbox> mailbox = mailbox_;
  if (size == 1) {
    ticket = pool_.submit(std::move(specs.front()), [mailbox, key](Report report) {
      Event event{key, {}};
      event.reports.push_back(std::move(report));
      mailbox->put(std::move(event));
    });
  } else {
    ticket = pool_.submit_group(std::move(specs), [mailbox, key](std::vector<Report> reports) {
      mailbox->put(Event{key, std::move(reports)});
    });
  }
  if (!ticket) {
    fail(std::move(ticket).error());
    return false;
  }
  flights_[{key.run, key.test}] = Flight{*ticket, false};
  in_flight_ += size;
  return true;
}

Stream Judge::input_of(std::size_t test) {
  const TestCase& data = package_.tests[test];
  FileId& id = inputs_[test];
  // Half of the store is left to programs; larger inputs are read from where they are.
  const std::uint64_t room = pool_.config().store_bytes_max / 2;
  if (id.empty() && inputs_bytes_ + data.input_bytes <= room) {
    const Result<std::string> bytes = read_whole_file(data.input_path, room);
    if (bytes) {
      if (Result<FileId> put = pool_.files().put(*bytes); put.has_value()) {
        id = *std::move(put);
        inputs_bytes_ += bytes->size();
      }
    }
  }
  if (!id.empty()) return StoredFileStream{id};
  return HostFileStream{data.input_path};
}

// --- Taking reports ---------------------------------------------------------------------------

void Judge::wait() {
  const int interrupts_fd = options_.interrupts == nullptr ? -1 : options_.interrupts->fd();
  pollfd waiting[] = {{.fd = interrupts_fd, .events = POLLIN, .revents = 0},
                      {.fd = mailbox_->wake.fd(), .events = POLLIN, .revents = 0}};
  if (options_.on_progress) {
    options_.on_progress(Progress{first_unfinished_, runs_.size(), jobs_, in_flight_});
  }
  ::poll(waiting, 2, options_.on_progress ? kProgressMs : -1);
  if (waiting[0].revents == 0) return;
  const int number = options_.interrupts->take();
  if (number == 0) return;
  interrupted_ = number;
  cancel_all();
}

void Judge::take_events() {
  for (Event& event : mailbox_->take()) handle(std::move(event));
}

void Judge::handle(Event event) {
  const JobKey key = event.key;
  const auto flight = flights_.find({key.run, key.test});
  HATCHERY_CHECK(flight != flights_.end());
  const bool cancelled = flight->second.cancelled;
  flights_.erase(flight);
  in_flight_ -= event.reports.size();
  jobs_ += event.reports.size();
  Report& first = event.reports.front();
  const bool ended_by_us = cancelled && first.outcome == Outcome::kCancelled;
  if (key.run == runs_.size()) {
    if (!ended_by_us) on_validator_compiled(first);
    return;
  }
  Run& run = runs_[key.run];
  if (key.kind == JobKind::kCompile) {
    if (!ended_by_us) on_compiled(run, first);
    return;
  }
  if (cancelled) {
    run.schedule->cancelled(key.test);
  } else {
    switch (key.kind) {
      case JobKind::kCompile: HATCHERY_UNREACHABLE();
      case JobKind::kRun: on_ran(run, key, std::move(first)); break;
      case JobKind::kValidate: record(run, key.test, finding_of_validator(first)); break;
      case JobKind::kInteract:
        run.result.tests[key.test].figures = figures_of(first);
        record(run, key.test,
               finding_of_interaction(first, event.reports.back(), *run.runnable.language));
        break;
    }
  }
  finish_if_done(run, key.run);
}

void Judge::on_validator_compiled(const Report& report) {
  const Language& language = *validator_program_.language;
  const bool compiled = !language.compile.empty();
  const Finding finding = compiled ? finding_of_compile(report, !language.binary.empty())
                                   : Finding{Verdict::kAccepted, ""};
  if (finding.verdict != Verdict::kAccepted) {
    const std::string diagnostics = diagnostics_of(report);
    return fail(Error{Step::kCompileSubmission, package_.directory + ": validator", 0,
                      finding.message + (diagnostics.empty() ? "" : "\n" + diagnostics),
                      "correct the validator"});
  }
  Result<Runnable> runnable = make_runnable(validator_program_, compiled ? &report : nullptr,
                                            package_.limits.validation_memory_bytes,
                                            pool_.config().profiles.front(), pool_.files());
  if (!runnable) return fail(std::move(runnable).error());
  validator_ = *std::move(runnable);
  validator_ready_ = true;
}

void Judge::on_compiled(Run& run, const Report& report) {
  run.result.compile = figures_of(report);
  run.result.diagnostics = diagnostics_of(report);
  Finding finding = finding_of_compile(report, !run.program.language->binary.empty());
  if (finding.verdict == Verdict::kAccepted) return begin_tests(run, &report);
  finish(run, std::move(finding));
}

void Judge::begin_tests(Run& run, const Report* compile_report) {
  Result<Runnable> runnable =
      make_runnable(run.program, compile_report, package_.limits.memory_bytes,
                    pool_.config().profiles.front(), pool_.files());
  if (!runnable) return finish(run, {Verdict::kJudgeError, runnable.error().message()});
  run.runnable = *std::move(runnable);
  run.result.tests.resize(package_.tests.size());
  run.schedule.emplace(package_.tests.size(), options_.all);
  run.state = State::kTesting;
}

void Judge::on_ran(Run& run, const JobKey& key, Report report) {
  run.result.tests[key.test].figures = figures_of(report);
  Finding finding = finding_of_run(report, *run.runnable.language);
  if (finding.verdict != Verdict::kAccepted) return record(run, key.test, std::move(finding));
  if (package_.validation == Validation::kDefault) return compare(run, key.test, report);
  // Interrupted: what ran is no verdict yet.
  if (stopping()) return run.schedule->cancelled(key.test);
  std::string output;
  for (Output& candidate : report.outputs) {
    if (candidate.name == kStdout) output = std::move(candidate.bytes);
  }
  std::vector<JobSpec> specs;
  specs.push_back(
      validator_job(validator_, package_.limits, package_.tests[key.test], std::move(output)));
  if (!launch({JobKind::kValidate, key.run, key.test}, std::move(specs))) {
    run.schedule->cancelled(key.test);
  }
}

void Judge::compare(Run& run, std::size_t test, const Report& report) {
  const TestCase& data = package_.tests[test];
  const Result<std::string> answer = read_whole_file(data.answer_path, kAnswerBytesMax);
  if (!answer) return record(run, test, {Verdict::kJudgeError, answer.error().message()});
  const Output* output = report.output(kStdout);
  Comparison comparison = compare_outputs(
      *answer, output == nullptr ? std::string_view() : output->bytes, data.options);
  const Verdict verdict = comparison.equal ? Verdict::kAccepted : Verdict::kWrongAnswer;
  record(run, test, {verdict, std::move(comparison.message)});
}

void Judge::record(Run& run, std::size_t test, Finding finding) {
  TestResult& result = run.result.tests[test];
  result.verdict = finding.verdict;
  result.message = std::move(finding.message);
  raise(run.result.largest, result.figures);
  run.schedule->done(test, finding.verdict);
}

// --- Ends -------------------------------------------------------------------------------------

void Judge::finish_if_done(Run& run, std::size_t index) {
  cancel_superfluous(run, index);
  // Stopped in the middle, it has a verdict only if that was known before.
  if (!run.schedule->finished()) return;
  run.result.tests_run = run.schedule->done_count();
  run.result.deciding_test = run.schedule->deciding();
  Finding finding{run.schedule->verdict(), ""};
  if (run.result.deciding_test.has_value()) {
    finding.message = run.result.tests[*run.result.deciding_test].message;
  } else if (run.schedule->done_count() < package_.tests.size()) {
    return;
  }
  finish(run, std::move(finding));
}

void Judge::finish(Run& run, Finding finding) {
  run.state = State::kFinished;
  run.result.verdict = finding.verdict;
  run.result.message = std::move(finding.message);
  drop(run.runnable);
  run.program = {};
}

void Judge::cancel_superfluous(const Run& run, std::size_t index) {
  for (const std::size_t test : run.schedule->superfluous()) {
    Flight& flight = flights_.at({index, test});
    if (flight.cancelled) continue;
    flight.cancelled = true;
    pool_.cancel(flight.ticket);
  }
}

void Judge::cancel_all() {
  for (auto& [key, flight] : flights_) {
    if (flight.cancelled) continue;
    flight.cancelled = true;
    pool_.cancel(flight.ticket);
  }
}

void Judge::fail(Error error) {
  if (!fatal_.has_value()) fatal_ = std::move(error);
  cancel_all();
}

void Judge::show_finished() {
  while (first_unfinished_ < runs_.size() && runs_[first_unfinished_].state == State::kFinished) {
    if (options_.on_submission) options_.on_submission(runs_[first_unfinished_].result);
    ++first_unfinished_;
  }
}

void Judge::drop(Runnable& runnable) {
  for (const FileId& id : runnable.stored) pool_.files().remove(id);
  runnable = Runnable{};
}

Summary Judge::summary() {
  Summary result;
  result.jobs = jobs_;
  result.interrupted = interrupted_;
  // Rows come in order: those that ended behind an unfinished one have none yet.
  for (std::size_t index = first_unfinished_; index < runs_.size(); ++index)
    if (options_.on_submission && runs_[index].result.verdict.has_value())
      options_.on_submission(runs_[index].result);
  for (Run& run : runs_) {
    if (run.result.as_expected()) ++result.as_expected;
    result.submissions.push_back(std::move(run.result));
  }
  return result;
}

}  // namespace hatchery::judge
