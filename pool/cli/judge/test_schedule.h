// Which tests of one submission to start, which of those in flight no longer matter, and when its
// verdict is known: the verdict is that of the first test, in order, that is not accepted. Runs in:
// pool. Thread: one at a time; no IO, no clock.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "pool/cli/judge/verdict.h"

namespace hatchery::judge {

class TestSchedule {
 public:
  /// `all`: run every test even when the verdict is known.
  TestSchedule(std::size_t tests_count, bool all) : states_(tests_count), all_(all) {}

  /// The test that next() would start, or nothing.
  std::optional<std::size_t> peek() const;
  /// Marks it as in flight. Precondition: test == *peek().
  void start(std::size_t test);
  /// Precondition: in flight.
  void done(std::size_t test, Verdict verdict);
  /// A test in flight that ended without a verdict. Precondition: in flight.
  void cancelled(std::size_t test);

  /// Tests in flight that can't change the verdict any more: to be cancelled. Empty with `all`.
  std::vector<std::size_t> superfluous() const;
  /// Nothing is in flight and nothing is to be started.
  bool finished() const;
  /// The first test that is not accepted, among those with a verdict.
  std::optional<std::size_t> deciding() const noexcept { return deciding_; }
  /// Precondition: finished().
  Verdict verdict() const;
  std::size_t done_count() const noexcept { return done_count_; }

 private:
  enum class State : std::uint8_t { kNotStarted, kInFlight, kDone, kCancelled };

  struct Test {
    State state = State::kNotStarted;
    Verdict verdict = Verdict::kAccepted;
  };
  std::vector<Test> states_;
  bool all_;
  std::size_t next_ = 0;
  std::size_t in_flight_ = 0;
  std::size_t done_count_ = 0;
  std::optional<std::size_t> deciding_;
};

}  // namespace hatchery::judge
