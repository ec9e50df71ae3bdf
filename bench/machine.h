// What a figure is worth depends on: machine, kernel, versions, and how busy it was.
#pragma once

#include <boost/json.hpp>

#include "bench/bench_group.h"

namespace hatchery::bench {

boost::json::object machine_facts(const BenchGroup& group);
/// "0.52 0.48 0.41", for before and after.
std::string load_average();

}  // namespace hatchery::bench
