// A pool that hardly protects anybody: the floor under what protections cost.
#pragma once

#include "pool/config.h"

namespace hatchery::bench {

/// All that a test can leave out of a pool: jobs are still processes in a slot that is made ahead,
/// in user, mount and pid namespaces, limited, measured and reported.
void leave_out_protections(PoolConfig& config);

}  // namespace hatchery::bench
