// The client of bench/payloads/fork_server.c: a server for each job in flight.
#pragma once

#include "bench/way.h"

namespace hatchery::bench {

enum class ForkServerChild : unsigned char {
  kExits,
  kExecutes,
  kFenced,  ///< Executes in namespaces, with the pool's built-in filter; needs root.
};

Result<std::unique_ptr<Runner>> make_fork_server(const Program& program, unsigned in_flight,
                                                 ForkServerChild child);

}  // namespace hatchery::bench
