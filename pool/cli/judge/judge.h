// The engine: compiles submissions, runs them on the tests and finds their verdicts, with a bounded
// number of jobs in flight on a pool. Runs in: pool. Thread: the caller's; reports come in through
// a mailbox.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "core/result.h"
#include "pool/cli/common.h"
#include "pool/cli/judge/judge_jobs.h"
#include "pool/cli/judge/language.h"
#include "pool/cli/judge/package.h"
#include "pool/cli/judge/result.h"
#include "pool/cli/judge/run_verdict.h"
#include "pool/cli/judge/test_schedule.h"
#include "pool/pool.h"

namespace hatchery::judge {

struct Progress {
  std::size_t submissions_done = 0;
  std::size_t submissions = 0;
  std::uint64_t jobs = 0;
  std::size_t in_flight = 0;
};

struct JudgeOptions {
  /// Run every test even when the verdict is known.
  bool all = false;
  /// Jobs submitted at once; at least 2 for an interactive problem. The slots bound what runs.
  std::uint32_t in_flight_max = 4;
  /// Ctrl-C and the like stop it, with what is known until then. Null: nothing does.
  const cli::Interrupts* interrupts = nullptr;
  /// Called for each submission in the order of the package, when it and all before it are
  /// finished.
  std::function<void(const SubmissionResult&)> on_submission = {};
  /// Called now and then.
  std::function<void(const Progress&)> on_progress = {};
};

class Judge {
 public:
  /// Everything is borrowed and outlives run(). Precondition: the package has a time limit.
  Judge(Pool& pool, const Package& package, const LanguageList& languages, JudgeOptions options);
  ~Judge();
  Judge(const Judge&) = delete;
  Judge& operator=(const Judge&) = delete;

  /// Once. Errors: the validator doesn't compile, or the pool refuses a job. Nothing is in flight
  /// any more when it returns.
  Result<Summary> run();

 private:
  enum class JobKind : std::uint8_t { kCompile, kRun, kValidate, kInteract };
  enum class State : std::uint8_t { kWaiting, kCompiling, kTesting, kFinished };

  /// One submission on its way.
  struct Run {
    const Submission* submission = nullptr;
    State state = State::kWaiting;
    Program program = {};
    Runnable runnable = {};
    std::optional<TestSchedule> schedule = {};
    SubmissionResult result = {};
  };
  /// What a report is about. The index one past the last submission is the validator.
  struct JobKey {
    JobKind kind;
    std::size_t run;
    std::size_t test;
  };
  struct Flight {
    JobTicket ticket;
    bool cancelled;
  };
  struct Event {
    JobKey key;
    std::vector<Report> reports;
  };
  struct Mailbox;

  bool stopping() const noexcept { return interrupted_ != 0 || fatal_.has_value(); }
  bool has_room() const noexcept;
  void pump();
  bool start_next(Run& run, std::size_t index);
  void start_validator();
  void start_submission(Run& run, std::size_t index);
  bool start_test(Run& run, std::size_t index);
  bool launch(const JobKey& key, std::vector<JobSpec> specs);
  void wait();
  void take_events();
  void handle(Event event);
  void on_validator_compiled(const Report& report);
  void on_compiled(Run& run, const Report& report);
  void on_ran(Run& run, const JobKey& key, Report report);
  void record(Run& run, std::size_t test, Finding finding);
  void begin_tests(Run& run, const Report* compile_report);
  void compare(Run& run, std::size_t test, const Report& report);
  void finish_if_done(Run& run, std::size_t index);
  void finish(Run& run, Finding finding);
  void cancel_superfluous(const Run& run, std::size_t index);
  void cancel_all();
  void fail(Error error);
  void show_finished();
  Stream input_of(std::size_t test);
  void drop(Runnable& runnable);
  Summary summary();

  Pool& pool_;
  const Package& package_;
  const LanguageList& languages_;
  const JudgeOptions options_;
  const std::size_t group_size_;
  std::shared_ptr<Mailbox> mailbox_;

  std::vector<Run> runs_;
  bool validator_ready_ = false;
  bool validator_started_ = false;
  Program validator_program_;
  Runnable validator_;
  /// The tests' inputs in the store, once they were needed.
  std::vector<FileId> inputs_;
  std::uint64_t inputs_bytes_ = 0;

  std::map<std::pair<std::size_t, std::size_t>, Flight> flights_;
  std::size_t in_flight_ = 0;
  std::size_t first_unfinished_ = 0;
  std::uint64_t jobs_ = 0;
  int interrupted_ = 0;
  std::optional<Error> fatal_;
};

}  // namespace hatchery::judge
