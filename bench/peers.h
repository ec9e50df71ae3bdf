// Other sandboxes as ways. One that can't run here is there all the same, with the reason: never
// dropped in silence.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "bench/way.h"

namespace hatchery::bench {

/// Where the user has a peer that is not in PATH: a path or, for go-judge, the URL of a server.
using PeerPlaces = std::map<std::string, std::string>;

/// Every peer is tried once.
std::vector<Way> peers(const PeerPlaces& places);

/// Names that PeerPlaces may have.
std::vector<std::string> peer_names();

/// A way that starts a command for each job.
struct CommandPeer {
  std::string name;        ///< Of the way, and of the program unless `executable` is set.
  std::string executable;  ///< Name in PATH; the user's place comes first.
  std::string what;
  std::string version_option = "--version";
  std::string remedy;  ///< When the program is not there.
  unsigned in_flight_max = 1'000'000;
  /// The whole command but for the path of the executable.
  std::function<std::vector<std::string>(const Program&)> arguments;
};
Way command_way(const CommandPeer& peer, const PeerPlaces& places);

/// How a peer is had that Debian 12 ships, or doesn't.
std::string debian_remedy(const std::string& name);
std::string own_remedy(const std::string& name);

/// The last line of `output` that is not empty.
std::string last_line(const std::string& output);

}  // namespace hatchery::bench
