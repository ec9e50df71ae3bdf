// HTTP and WebSocket as this server's own values and faces: what a request is, how it is answered.
// http_server.cc is the only file that includes Boost.Beast and Boost.Asio.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/fd.h"
#include "core/result.h"

namespace hatchery::server {

struct Header {
  std::string name;
  std::string value;
};

struct HttpRequest {
  std::string method;  ///< "GET", "POST", …; as sent.
  std::string path;    ///< Without the query; not decoded.
  std::string query;   ///< Without '?'.
  std::vector<Header> headers;
  std::string body;  ///< Empty when a BodySink takes it.
  /// Whom it came from, "127.0.0.1:40000" or "unix"; for messages.
  std::string peer;
  bool upgrade = false;  ///< It asks for a WebSocket.

  /// The first header of that name, whatever its case; null when absent.
  const std::string* header(std::string_view name) const;
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::string body = {};
  std::vector<Header> headers = {};
  /// Sent from its start instead of `body`, in parts; a regular file or memfd.
  UniqueFd file = {};
  /// The connection ends after it.
  bool close = false;
};

/// Takes a body in parts as it comes, so that a large one is never held. Called on one thread at a
/// time.
class BodySink {
 public:
  virtual ~BodySink() = default;
  /// An error ends the upload; it becomes the answer: kStoreFile with ENOSPC 507, others 400.
  virtual Result<void> write(std::string_view part) = 0;
};

/// A response that is sent as it arises. Any thread.
class EventStream {
 public:
  virtual ~EventStream() = default;
  /// Queued; false when the client is gone or reads too slowly for what it asked for.
  virtual bool send(std::string part) = 0;
  virtual void finish() = 0;
};

/// One request until its answer. Held by whoever will answer; dropped without, the client gets 500.
class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual const HttpRequest& request() const = 0;
  /// What HttpHandler::begin() gave for the body; null without.
  virtual BodySink* sink() = 0;
  /// Once, any thread. Does nothing when the client is gone.
  virtual void reply(HttpResponse response) = 0;
  /// Instead of reply(): status and headers now, the rest through the stream.
  virtual std::shared_ptr<EventStream> stream(HttpResponse head) = 0;
  /// `gone` is called once, on the server's thread, if the client goes before it is answered; at
  /// once if it has.
  virtual void on_disconnect(std::function<void()> gone) = 0;
  /// Runs `work` on the server's threads, where building an answer belongs. Any thread.
  virtual void post(std::function<void()> work) = 0;
};

/// The server's end of a WebSocket. Any thread.
class WebSocket {
 public:
  virtual ~WebSocket() = default;
  /// Queued; a peer that lets more than the server's bound pile up is dropped.
  virtual void send(std::string message, bool binary) = 0;
  /// After what is queued.
  virtual void close() = 0;
  virtual void post(std::function<void()> work) = 0;
};

/// What this side does with one WebSocket. Called by the server, never by two threads at once.
class WebSocketPeer {
 public:
  virtual ~WebSocketPeer() = default;
  /// Once, before any message. The peer owns it no longer than itself.
  virtual void opened(std::shared_ptr<WebSocket> socket) = 0;
  virtual void message(std::string_view message, bool binary) = 0;
  /// Once, last: by either side, or because the connection broke.
  virtual void closed() = 0;
};

/// What HttpHandler::begin() decides from a request's head.
struct Beginning {
  /// The answer already: nothing of the body is read.
  std::optional<HttpResponse> refusal = {};
  /// Most bytes of body; more is 413.
  std::uint64_t body_max = 0;
  /// Takes the body; null: it goes into HttpRequest::body.
  std::unique_ptr<BodySink> sink = {};
  /// For an upgrade: accepts it.
  std::shared_ptr<WebSocketPeer> peer = {};
};

/// The application behind the server. Called on the server's threads, several at once.
class HttpHandler {
 public:
  virtual ~HttpHandler() = default;
  virtual Beginning begin(const HttpRequest& head) = 0;
  /// The whole request is there. Returns quickly; answers now or later.
  virtual void handle(const std::shared_ptr<Exchange>& exchange) = 0;
  /// A request ended by an exception; its client got 500.
  virtual void failed(const char* what) = 0;
};

}  // namespace hatchery::server
