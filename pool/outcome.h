// From what the kernel says about an ended job to its report: figures, outcome. Pure.
#pragma once

#include "pool/submission.h"

namespace hatchery {

/// From one instant of CLOCK_MONOTONIC to another; 0 when they are the wrong way round.
inline Nanoseconds since(std::int64_t from_ns, std::int64_t to_ns) {
  return Nanoseconds(to_ns > from_ns ? to_ns - from_ns : 0);
}

/// Fills the figures and steps of job.report that the zygote's message, job.ended, tells.
void fill_from_end(Job& job);

/// Fills outcome, exit_code, signal and error of job.report from job.ended, job.killed and the
/// figures that are in the report already. `slot_failure` is why the slot was lost, if it was.
void decide_outcome(Job& job, const std::optional<Error>& slot_failure);

}  // namespace hatchery
