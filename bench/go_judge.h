// go-judge as a peer: jobs as POST /run on connections that are kept, as its own clients do it.
// Anything that speaks the same API will do.
#pragma once

#include "bench/peers.h"

namespace hatchery::bench {

/// The place is a server's URL (http://HOST:PORT), or the path of the program, which is then
/// started with a port of its own.
Way go_judge_way(const PeerPlaces& places);

}  // namespace hatchery::bench
