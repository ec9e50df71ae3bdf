// What the connections of an HttpServer have in common. Only http_server.cc and the other headers
// of connections include it: here are Boost.Asio and Boost.Beast.
#pragma once

#include <time.h>

#include <atomic>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/beast/core/file_posix.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http.hpp>
#include <cerrno>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "pool/server/http.h"
#include "pool/server/http_server.h"

namespace hatchery::server::connections {

namespace net = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;

using Protocol = net::generic::stream_protocol;
/// Of the context whose one thread runs all of a connection.
using Executor = net::io_context::executor_type;
using Socket = net::basic_stream_socket<Protocol, Executor>;
using Acceptor = net::basic_socket_acceptor<Protocol, Executor>;
using FileBody = http::basic_file_body<beast::file_posix>;

inline constexpr std::size_t kPart = std::size_t{64} << 10;

inline std::int64_t now_ms() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
}

inline bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return beast::iequals({a.data(), a.size()}, {b.data(), b.size()});
}

inline std::string to_string(beast::string_view text) { return {text.data(), text.size()}; }

/// For what the server itself refuses: one sentence, as JSON.
inline HttpResponse plain_refusal(int status, const std::string& sentence) {
  HttpResponse response{.status = status, .body = "{\"error\":\"" + sentence + "\"}\n"};
  response.close = true;
  return response;
}

inline int status_of(const Error& error) {
  return error.errnum == ENOSPC || error.errnum == ENOMEM ? 507 : 400;
}

/// What a connection is to the server: something with a deadline.
class Connection {
 public:
  virtual ~Connection() = default;
  /// Any thread: ends it.
  virtual void abort() = 0;
  /// Any thread: ends it when nothing is under way.
  virtual void drain() = 0;
  /// Any thread: its deadline has passed.
  virtual void expire() { abort(); }

  void expire_in(std::uint32_t milliseconds) { deadline_ms_ = now_ms() + milliseconds; }
  void expire_never() { deadline_ms_ = 0; }
  bool expired(std::int64_t now) const {
    const std::int64_t deadline = deadline_ms_;
    return deadline != 0 && now >= deadline;
  }

 private:
  std::atomic<std::int64_t> deadline_ms_{0};
};

/// What connections have in common: configuration, handler, and the register of them all.
class Shared {
 public:
  Shared(HttpServerConfig config_in, HttpHandler& handler_in)
      : config(std::move(config_in)), handler(handler_in) {}

  void add(Connection* connection, std::weak_ptr<Connection> weak) {
    const std::lock_guard lock(mutex_);
    connections_[connection] = std::move(weak);
  }
  /// The last to leave a full house opens the door again.
  void remove(Connection* connection) {
    bool was_full = false;
    {
      const std::lock_guard lock(mutex_);
      was_full = connections_.size() >= config.connections_max;
      connections_.erase(connection);
    }
    if (was_full && on_room) on_room();
  }
  std::size_t count() const {
    const std::lock_guard lock(mutex_);
    return connections_.size();
  }
  std::vector<std::shared_ptr<Connection>> all() const {
    const std::lock_guard lock(mutex_);
    std::vector<std::shared_ptr<Connection>> result;
    result.reserve(connections_.size());
    for (const auto& [connection, weak] : connections_)
      if (std::shared_ptr<Connection> strong = weak.lock()) result.push_back(std::move(strong));
    return result;
  }

  const HttpServerConfig config;
  HttpHandler& handler;
  std::atomic<bool> draining{false};
  /// No thread runs what is posted any more.
  std::atomic<bool> stopped{false};
  std::function<void()> on_room;

 private:
  mutable std::mutex mutex_;
  std::unordered_map<Connection*, std::weak_ptr<Connection>> connections_;
};

}  // namespace hatchery::server::connections
