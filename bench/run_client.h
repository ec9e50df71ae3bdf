// A client of HTTP, above all of POST /run, go-judge's interface: on connections that are kept, as
// its own clients do it; and a server that lives as long as somebody uses it.
#pragma once

#include <sys/types.h>

#include <optional>

#include "bench/way.h"

namespace hatchery::bench {

struct HttpAddress {
  std::string host;
  std::string port;
  std::string unix_path = {};  ///< Of a Unix socket, instead.

  /// As `hatchery serve --http-addr` takes it.
  std::string text() const { return unix_path.empty() ? host + ":" + port : "unix:" + unix_path; }
};

/// Of "http://HOST:PORT", PORT being 80 where there is none; nothing for anything else.
std::optional<HttpAddress> http_address_of(const std::string& url);

/// A port of the loopback that was free a moment ago.
HttpAddress free_address();
/// A path in /tmp that nobody else's server listens at.
HttpAddress free_unix_address();

/// A server as a process of its own. Ended, with SIGTERM, by the destructor.
class SpawnedServer {
 public:
  /// Returns when it listens, or is dead: then nothing answers at the address.
  SpawnedServer(const std::vector<std::string>& args, HttpAddress address);
  ~SpawnedServer();
  SpawnedServer(const SpawnedServer&) = delete;
  SpawnedServer& operator=(const SpawnedServer&) = delete;

 private:
  HttpAddress address_;
  pid_t pid_ = -1;
};

/// Both outputs of a job are collected, up to so many bytes.
inline constexpr unsigned kCollectedBytesMax = 10'240;

/// What is sent again and again.
struct HttpMessage {
  std::string text;
  std::string good;  ///< In the answer, unless something went wrong.
};
/// POST /run of one command.
HttpMessage run_message(const HttpAddress& address, const std::vector<std::string>& args);
/// GET /healthz: a request that has nothing done.
HttpMessage health_message(const HttpAddress& address);

/// A runner that sends the message to `address`: once at first, so that an error has its words.
/// `server` is held as long as the runner; null for one that is somebody else's.
Result<std::unique_ptr<Runner>> make_http_client(const std::string& name,
                                                 const HttpAddress& address, HttpMessage message,
                                                 unsigned in_flight,
                                                 std::shared_ptr<SpawnedServer> server);

}  // namespace hatchery::bench
