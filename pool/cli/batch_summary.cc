#include "pool/cli/batch_summary.h"

#include <fmt/format.h>

#include <optional>

#include "pool/cli/report_text.h"

namespace hatchery::cli {
namespace {

constexpr std::array kStepNames = {"queued", "placed", "handed over", "exec done",
                                   "ended",  "read",   "total",       "reset"};
constexpr std::size_t kTotal = 6;

}  // namespace

void BatchSummary::add(const Report& report) {
  static_assert(kStepNames.size() == kSteps);
  ++jobs_;
  ++outcomes_[static_cast<std::size_t>(report.outcome)];
  const StepTimes& steps = report.steps;
  const std::array<std::optional<Nanoseconds>, kTotal> path = {
      steps.queued, steps.placed, steps.handed_over, steps.exec_done, steps.ended, steps.read};
  Nanoseconds total(0);
  bool complete = true;
  for (std::size_t index = 0; index < path.size(); ++index) {
    complete = complete && path[index].has_value();
    if (!path[index].has_value()) continue;
    steps_[index].add(*path[index]);
    total += *path[index];
  }
  if (complete) steps_[kTotal].add(total);
  // Off the job's path, so no part of the total.
  if (steps.reset.has_value()) steps_[kTotal + 1].add(*steps.reset);
}

std::string BatchSummary::text(Nanoseconds elapsed) const {
  const double seconds = static_cast<double>(elapsed.count()) / 1e9;
  std::string text =
      fmt::format("{} {} in {:.2f} s, {:.1f} jobs/s", jobs_, jobs_ == 1 ? "job" : "jobs", seconds,
                  seconds > 0 ? static_cast<double>(jobs_) / seconds : 0.0);
  if (refused_ > 0) text += fmt::format("; {} refused", refused_);
  text += '\n';
  for (std::size_t index = 0; index < kOutcomes; ++index) {
    if (outcomes_[index] == 0) continue;
    text += fmt::format("  {:<20}{:>12}\n", outcome_name(static_cast<Outcome>(index)),
                        outcomes_[index]);
  }
  if (jobs_ == 0) return text;
  text += fmt::format("  {:<20}{:>12}{:>12}{:>12}\n", "latency", "p50", "p99", "max");
  for (std::size_t index = 0; index < kSteps; ++index) {
    const Histogram& step = steps_[index];
    if (step.count() == 0) continue;
    text += fmt::format("  {:<20}{:>12}{:>12}{:>12}\n", kStepNames[index],
                        readable_time(step.percentile(50)), readable_time(step.percentile(99)),
                        readable_time(step.max()));
  }
  return text;
}

}  // namespace hatchery::cli
