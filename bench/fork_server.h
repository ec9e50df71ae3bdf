// The client of bench/payloads/fork_server.c: a server for each job in flight.
#pragma once

#include "bench/way.h"

namespace hatchery::bench {

enum class ForkServerChild : unsigned char {
  kExits,
  kExecutes,
  kFenced,     ///< Executes in namespaces, with the pool's built-in filter; needs root.
  kAccounted,  ///< The same, in the control groups of a slot, whose figures are read for each job.
};

/// `cgroup_parent` as in PoolConfig, for kAccounted.
Result<std::unique_ptr<Runner>> make_fork_server(const Program& program, unsigned in_flight,
                                                 ForkServerChild child,
                                                 const std::string& cgroup_parent = {});

}  // namespace hatchery::bench
