// From what the kernel says about an ended job to its outcome. Pure.
#pragma once

#include "pool/submission.h"

namespace hatchery {

/// Fills outcome, exit_code, signal and error of job.report from job.ended, job.killed and the
/// figures that are in the report already. `slot_failure` is why the slot was lost, if it was.
void decide_outcome(Job& job, const std::optional<Error>& slot_failure);

}  // namespace hatchery
