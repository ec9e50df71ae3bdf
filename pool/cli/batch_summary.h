// What a batch amounts to: counts by outcome and the latency of each step. Constant memory.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "pool/cli/histogram.h"
#include "pool/job.h"

namespace hatchery::cli {

/// Thread: one at a time.
class BatchSummary {
 public:
  void add(const Report& report);
  /// A line that was no valid job.
  void add_refused() { ++refused_; }
  std::uint64_t jobs() const noexcept { return jobs_; }
  std::uint64_t refused() const noexcept { return refused_; }
  std::uint64_t count(Outcome outcome) const {
    return outcomes_[static_cast<std::size_t>(outcome)];
  }
  /// For people: totals, then a line for each outcome that occurred, then a table of latencies.
  std::string text(Nanoseconds elapsed) const;

 private:
  static constexpr std::size_t kOutcomes = static_cast<std::size_t>(Outcome::kInternalError) + 1;
  static constexpr std::size_t kSteps = 8;  // Those of StepTimes, and their sum.

  std::uint64_t jobs_ = 0;
  std::uint64_t refused_ = 0;
  std::array<std::uint64_t, kOutcomes> outcomes_ = {};
  std::array<Histogram, kSteps> steps_ = {};
};

}  // namespace hatchery::cli
