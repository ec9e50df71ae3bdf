// runc and crun: a bundle for each program, a container for each job.
#pragma once

#include "bench/peers.h"

namespace hatchery::bench {

Way oci_way(const std::string& name, const PeerPlaces& places);

}  // namespace hatchery::bench
