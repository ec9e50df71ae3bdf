// TrackedBatch: one program on many tests. Only native_jobs.cc includes it.
#pragma once

#include <algorithm>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "pool/job_json.h"
#include "pool/random_id.h"
#include "pool/server/answers.h"
#include "pool/server/native_jobs.h"
#include "pool/validator.h"

namespace hatchery::server {

/// One test of a batch.
struct BatchTest {
  std::string id;
  JobSpec spec;
  std::optional<std::string> expected;
  std::string input;  ///< For the checker.
  std::string verdict = "not run";
  std::string message;
  std::optional<Report> report;
  JobTicket ticket = 0;
};

class TrackedBatch final : public Tracked, public std::enable_shared_from_this<TrackedBatch> {
 public:
  TrackedBatch(NativeJobs& jobs, std::string client_in)
      : Tracked(random_id().value(), std::move(client_in)), jobs_(jobs) {}

  std::vector<BatchTest> tests;
  std::optional<JobSpec> checker;
  judge::ValidatorOptions validator;
  bool stop_at_first = true;
  bool keep_outputs = false;

  /// As many at once as there are slots, so that an early verdict spares most of the rest.
  std::optional<NativeRefusal> start() {
    const std::lock_guard lock(mutex_);
    in_flight_max_ = jobs_.pool_.config().profiles.front().slots_max;
    std::optional<NativeRefusal> refusal;
    while (!refusal && next_ < tests.size() && in_flight_ < in_flight_max_) refusal = submit_next();
    // What already runs goes on: the batch is accepted if its first test is.
    if (refusal && in_flight_ > 0) refusal.reset();
    return refusal;
  }

  std::string_view kind() const override { return "batch"; }
  std::string json() override {
    const std::lock_guard lock(mutex_);
    std::string text = "{\"id\":\"" + id +
                       "\",\"kind\":\"batch\",\"submitted_ms\":" + std::to_string(submitted_ms) +
                       ",\"state\":\"" + (done_ ? "done" : "active") +
                       "\",\"verdict\":" + (done_ ? json_text(verdict()) : "null") +
                       ",\"results\":[";
    for (const BatchTest& test : tests) {
      if (&test != &tests.front()) text += ',';
      text += "{\"id\":" + json_text(test.id) + ",\"verdict\":" + json_text(test.verdict);
      if (!test.message.empty()) text += ",\"message\":" + json_text(test.message);
      text += ",\"report\":" + (test.report ? report_to_json(*test.report) : "null") + "}";
    }
    return text + "]}\n";
  }

  void cancel() override {
    std::vector<JobTicket> tickets;
    {
      const std::lock_guard lock(mutex_);
      if (done_) return;
      cancelled_ = true;
      tickets = stop(0);
    }
    for (const JobTicket ticket : tickets) static_cast<void>(jobs_.pool_.cancel(ticket));
  }

  std::uint64_t size() override {
    const std::lock_guard lock(mutex_);
    std::uint64_t size = 1024;
    for (const BatchTest& test : tests) size += test.report ? size_of(*test.report) : 256;
    return size;
  }

 private:
  // All with the mutex held.

  std::optional<NativeRefusal> submit_next() {
    BatchTest& test = tests[next_];
    JobSpec spec = test.spec;
    Result<JobTicket> ticket = jobs_.pool_.submit(
        std::move(spec), [self = shared_from_this(), index = next_](Report report) {
          auto shared = std::make_shared<Report>(std::move(report));
          self->jobs_.post_([self, index, shared] { self->ran(index, std::move(*shared)); });
        });
    if (!ticket) return refusal_of(std::move(ticket).error());
    test.ticket = *ticket;
    test.verdict = "running";
    ++next_;
    ++in_flight_;
    return std::nullopt;
  }

  /// The first failed test's, whichever failed first: the same for each run of the batch.
  std::string verdict() const {
    if (first_failed_ < tests.size()) return tests[first_failed_].verdict;
    return cancelled_ ? "cancelled" : "accepted";
  }

  void note_failure(std::size_t index) { first_failed_ = std::min(first_failed_, index); }

  /// No further tests. Returns those from `first` on that still run.
  std::vector<JobTicket> stop(std::size_t first) {
    stopped_ = true;
    next_ = tests.size();
    std::vector<JobTicket> running;
    for (std::size_t i = first; i < tests.size(); ++i)
      if (tests[i].verdict == "running") running.push_back(tests[i].ticket);
    return running;
  }

  void settle(BatchTest& test, std::string verdict, std::string message) {
    test.verdict = std::move(verdict);
    test.message = std::move(message);
    if (!keep_outputs) test.report->outputs.clear();
    test.spec = {};
    --in_flight_;
  }

 public:
  /// A test's program ended. On the server's threads.
  void ran(std::size_t index, Report report) {
    BatchTest& test = tests[index];
    jobs_.settle(report);
    const Outcome outcome = report.outcome;
    const std::string output =
        report.output("stdout") == nullptr ? std::string() : report.output("stdout")->bytes;
    bool stopped = false;
    {
      const std::lock_guard lock(mutex_);
      test.report = std::move(report);
      stopped = outcome == Outcome::kCancelled && stopped_;
      if (stopped) settle(test, "not run", "");
    }
    if (stopped) return go_on({});
    if (outcome != Outcome::kAccepted) return decide(index, outcome_name(outcome), "");
    if (checker) return check(index, output);
    if (!test.expected) return decide(index, "accepted", "");
    const judge::Comparison comparison = judge::compare_outputs(*test.expected, output, validator);
    decide(index, comparison.equal ? "accepted" : "wrong answer", comparison.message);
  }

 private:
  /// /w/input, /w/expected and /w/output; its exit status is the verdict.
  void check(std::size_t index, const std::string& output) {
    BatchTest& test = tests[index];
    JobSpec spec = *checker;
    for (const auto& [name, bytes] : {std::pair<const char*, std::string>{"input", test.input},
                                      {"expected", test.expected.value_or("")},
                                      {"output", output}})
      spec.files_in.push_back({.path = name, .source = FileIn::Bytes{bytes}});
    Result<JobTicket> ticket =
        jobs_.pool_.submit(std::move(spec), [self = shared_from_this(), index](Report report) {
          auto shared = std::make_shared<Report>(std::move(report));
          self->jobs_.post_([self, index, shared] { self->checked(index, *shared); });
        });
    if (!ticket) decide(index, "judge error", ticket.error().message());
  }

  void checked(std::size_t index, Report& report) {
    jobs_.settle(report);
    const Output* said = report.output("stdout");
    const std::string message = said == nullptr ? "" : said->bytes.substr(0, 4096);
    if (report.exit_code == 0) return decide(index, "accepted", message);
    if (report.exit_code == 1) return decide(index, "wrong answer", message);
    decide(index, "judge error",
           std::string("the checker's outcome: ") + outcome_name(report.outcome));
  }

  void decide(std::size_t index, const std::string& verdict, const std::string& message) {
    std::vector<JobTicket> stopped;
    {
      const std::lock_guard lock(mutex_);
      settle(tests[index], verdict, message);
      if (verdict != "accepted") note_failure(index);
      // What comes before it may still fail, and then is the verdict.
      if (stop_at_first && verdict != "accepted") stopped = stop(first_failed_ + 1);
    }
    go_on(stopped);
  }

  void go_on(const std::vector<JobTicket>& stopped) {
    for (const JobTicket ticket : stopped) static_cast<void>(jobs_.pool_.cancel(ticket));
    bool over = false;
    {
      const std::lock_guard lock(mutex_);
      while (next_ < tests.size() && in_flight_ < in_flight_max_) {
        const std::optional<NativeRefusal> refusal = submit_next();
        if (!refusal) continue;
        if (refusal->status == 503 && in_flight_ > 0) break;  // Again when the next one ends.
        tests[next_].verdict = "judge error";
        tests[next_].message = refusal->error.message();
        note_failure(next_++);
      }
      over = in_flight_ == 0 && next_ == tests.size() && !done_;
      if (over) done_ = true;
    }
    if (over) finish();
  }

  NativeJobs& jobs_;
  std::mutex mutex_;
  std::size_t next_ = 0;
  std::size_t in_flight_ = 0;
  std::size_t in_flight_max_ = 1;
  std::size_t first_failed_ = std::numeric_limits<std::size_t>::max();
  bool cancelled_ = false;
  bool stopped_ = false;  ///< Nothing further is started.
  bool done_ = false;
};

}  // namespace hatchery::server
