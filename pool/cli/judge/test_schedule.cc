#include "pool/cli/judge/test_schedule.h"

#include "core/check.h"

namespace hatchery::judge {

std::optional<std::size_t> TestSchedule::peek() const {
  if (next_ == states_.size()) return std::nullopt;
  if (!all_ && deciding_.has_value()) return std::nullopt;
  return next_;
}

void TestSchedule::start(std::size_t test) {
  HATCHERY_CHECK(peek() == test);
  states_[test].state = State::kInFlight;
  ++next_;
  ++in_flight_;
}

void TestSchedule::done(std::size_t test, Verdict verdict) {
  HATCHERY_CHECK(test < states_.size());
  HATCHERY_CHECK(states_[test].state == State::kInFlight);
  states_[test] = Test{State::kDone, verdict};
  --in_flight_;
  ++done_count_;
  if (verdict == Verdict::kAccepted) return;
  if (!deciding_.has_value() || test < *deciding_) deciding_ = test;
}

void TestSchedule::cancelled(std::size_t test) {
  HATCHERY_CHECK(test < states_.size());
  HATCHERY_CHECK(states_[test].state == State::kInFlight);
  states_[test].state = State::kCancelled;
  --in_flight_;
}

std::vector<std::size_t> TestSchedule::superfluous() const {
  std::vector<std::size_t> tests;
  if (all_ || !deciding_.has_value()) return tests;
  for (std::size_t test = *deciding_ + 1; test < next_; ++test) {
    if (states_[test].state == State::kInFlight) tests.push_back(test);
  }
  return tests;
}

bool TestSchedule::finished() const { return in_flight_ == 0 && !peek().has_value(); }

Verdict TestSchedule::verdict() const {
  HATCHERY_CHECK(finished());
  return deciding_.has_value() ? states_[*deciding_].verdict : Verdict::kAccepted;
}

}  // namespace hatchery::judge
