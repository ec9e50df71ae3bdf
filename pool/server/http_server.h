// HttpServer: listens, speaks HTTP/1.1 and WebSocket, and hands requests to an HttpHandler. Bounded
// in connections, header size and time: a slow client costs a descriptor and a few KiB.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/result.h"
#include "pool/server/http.h"

namespace hatchery::server {

struct HttpServerConfig {
  /// "host:port" (a name may have several addresses; all are bound), ":port" for every address of
  /// the host, "unix:/path", or "fd:N" for a listening socket that was inherited
  /// (sd_listen_fds(3)). Port 0: one that is free.
  std::vector<std::string> listen = {};
  /// Each has its own share of the connections, at least 1. What one is busy with, a large body to
  /// parse, its own share alone waits for.
  std::uint32_t threads = 4;
  /// Open connections; further ones wait in the kernel's queue.
  std::uint32_t connections_max = 16'384;
  std::uint32_t header_bytes_max = 16'384;
  /// From a request's first byte to the end of its head; and between any two parts of a body, or
  /// of an answer, that make progress.
  std::uint32_t header_ms = 10'000;
  std::uint32_t progress_ms = 30'000;
  std::uint32_t idle_ms = 120'000;  ///< Between two requests.
  /// Server-Sent Events: a comment when nothing else was sent for so long.
  std::uint32_t event_silence_ms = 15'000;
  /// WebSockets: a ping each half of it; a peer that does not answer is dropped.
  std::uint32_t websocket_idle_ms = 100'000;
  std::uint64_t websocket_message_max = 256ULL << 20;
  /// Of one WebSocket or event stream, waiting to be sent.
  std::uint64_t unsent_max = 64ULL << 20;
};

class HttpServer {
 public:
  /// Binds: whoever connects waits for start(). `handler` outlives the server. Errors: kListen
  /// names the address.
  static Result<std::unique_ptr<HttpServer>> create(HttpServerConfig config, HttpHandler& handler);
  /// Once: starts its threads, which call the handler.
  void start();
  /// As stop().
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  /// Where it listens, with the ports that were chosen: "127.0.0.1:5050", "unix:/path".
  std::vector<std::string> addresses() const;
  /// No further connections; idle ones are closed, and the others after their answer.
  void drain();
  /// Ends all connections and threads; the handler is not called any more. What still holds an
  /// Exchange may answer it, to nobody, until the server is destroyed, and must be gone by then.
  void stop();
  /// Runs it on the server's threads; not once it has been stopped. Any thread.
  void post(std::function<void()> work);
  /// Connections that are open now. Any thread.
  std::size_t connections() const;

 private:
  class Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace hatchery::server
