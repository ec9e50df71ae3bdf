// Listening sockets from the addresses an operator writes. Thread: any; blocks for a name look-up.
#pragma once

#include <string>
#include <vector>

#include "core/fd.h"
#include "core/result.h"

namespace hatchery::server {

struct Listener {
  UniqueFd fd;                 ///< Listening, non-blocking.
  std::string address;         ///< "127.0.0.1:5050", "[::1]:5050", "unix:/path".
  std::string unix_path = {};  ///< To be removed at the end; "" when it is not ours.
};

/// One or more sockets for one of HttpServerConfig::listen. Errors: kListen, with the address.
Result<std::vector<Listener>> listen_on(const std::string& address);

/// "host:port" and "[v6]:port" in parts; "unix" for no TCP.
std::string address_text(int fd, bool of_peer);

}  // namespace hatchery::server
