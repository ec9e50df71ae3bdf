// The project's targets with what was measured for each.
#pragma once

#include "bench/results.h"

namespace hatchery::bench {

/// `cpus`: as many jobs in flight keep all cores busy.
std::vector<Target> targets_of(const Results& results, unsigned cpus);

}  // namespace hatchery::bench
