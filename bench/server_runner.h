// The pool as a way behind HTTP: `hatchery serve` and a client of its POST /run.
#pragma once

#include "bench/way.h"

namespace hatchery::bench {

/// `server`. `cgroup_parent` as in PoolConfig.
Way server_way(const std::string& cgroup_parent);
/// `server_unix`: without TCP.
Way unix_server_way(const std::string& cgroup_parent);
/// `request`: of the same server, one that runs nothing.
Way request_way(const std::string& cgroup_parent);

}  // namespace hatchery::bench
