// The client of bench/payloads/fork_server.c: a server for each job in flight.
#pragma once

#include "bench/way.h"

namespace hatchery::bench {

Result<std::unique_ptr<Runner>> make_fork_server(const Program& program, unsigned in_flight,
                                                 bool exec);

}  // namespace hatchery::bench
