// `hatchery batch` as a way: the whole command, its start and end included.
#pragma once

#include "bench/way.h"

namespace hatchery::bench {

Way batch_way(const std::string& cgroup_parent);

}  // namespace hatchery::bench
