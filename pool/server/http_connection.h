// HttpConnection: one connection's requests, one after the other, on its lane's one thread, which
// alone touches its members. Only http_server.cc includes it.
#pragma once

#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <deque>
#include <optional>
#include <utility>

#include "pool/server/http_shared.h"
#include "pool/server/http_websocket.h"
#include "pool/server/listen.h"

namespace hatchery::server::connections {

class HttpConnection;

/// The application's handle on one request.
class ExchangeOfConnection final : public Exchange {
 public:
  ExchangeOfConnection(std::shared_ptr<HttpConnection> connection, HttpRequest request,
                       std::unique_ptr<BodySink> sink)
      : connection_(std::move(connection)), request_(std::move(request)), sink_(std::move(sink)) {}
  ~ExchangeOfConnection() override;

  const HttpRequest& request() const override { return request_; }
  BodySink* sink() override { return sink_.get(); }
  void reply(HttpResponse response) override;
  std::shared_ptr<EventStream> stream(HttpResponse head) override;
  void on_disconnect(std::function<void()> gone) override;
  void post(std::function<void()> work) override;

 private:
  std::shared_ptr<HttpConnection> connection_;
  HttpRequest request_;
  std::unique_ptr<BodySink> sink_;
  std::atomic<bool> answered_{false};
};

class EventStreamOfConnection final : public EventStream {
 public:
  explicit EventStreamOfConnection(std::shared_ptr<HttpConnection> connection)
      : connection_(std::move(connection)) {}
  ~EventStreamOfConnection() override { EventStreamOfConnection::finish(); }
  bool send(std::string part) override;
  void finish() override;

 private:
  std::shared_ptr<HttpConnection> connection_;
  std::atomic<bool> finished_{false};
};

class HttpConnection final : public Connection,
                             public std::enable_shared_from_this<HttpConnection> {
 public:
  HttpConnection(std::shared_ptr<Shared> shared, Socket socket)
      : shared_(std::move(shared)),
        socket_(std::move(socket)),
        peer_(address_text(socket_.native_handle(), true)) {}
  ~HttpConnection() override { shared_->remove(this); }

  void start() {
    shared_->add(this, weak_from_this());
    net::dispatch(socket_.get_executor(), [self = shared_from_this()] { self->await_request(); });
  }

  void abort() override {
    post([this] { end(); });
  }
  void drain() override {
    post([this] {
      if (!busy_ && !reading_) end();
    });
  }
  void expire() override {
    post([this] {
      if (!expired(now_ms())) return;
      if (!is_event_stream_ || writing_part_ || !takes(kKeepAlive.size())) return end();
      // A comment, which a reader of events skips: proxies drop what is silent.
      queue_part(std::string(kKeepAlive));
    });
  }
  void post(std::function<void()> work) {
    if (shared_->stopped) return;
    net::post(socket_.get_executor(),
              [self = shared_from_this(), work = std::move(work)] { work(); });
  }

  /// At once where the caller is on the connection's thread.
  void dispatch(std::function<void()> work) {
    if (shared_->stopped) return;
    net::dispatch(socket_.get_executor(),
                  [self = shared_from_this(), work = std::move(work)] { work(); });
  }

  // For the application's handles; on the connection's thread.
  void respond(HttpResponse response) {
    if (ended_ || !busy_) return;
    gone_ = nullptr;
    std::uint64_t size = response.body.size();
    if (struct stat status{}; response.file.valid() && ::fstat(response.file.get(), &status) == 0)
      size = static_cast<std::uint64_t>(status.st_size);
    if (response.file.valid() && !is_head_) {
      auto message = make_response<FileBody>(response);
      beast::file_posix file;
      beast::error_code error;
      file.native_handle(response.file.release());
      message->body().reset(std::move(file), error);
      if (error) return end();
      return write(std::move(message));
    }
    if (is_head_) {
      auto message = make_response<http::empty_body>(response);
      message->content_length(size);
      return write_some(message,
                        std::make_shared<http::response_serializer<http::empty_body>>(*message));
    }
    auto message = make_response<http::string_body>(response);
    message->body() = std::move(response.body);
    write(std::move(message));
  }

  void begin_stream(const HttpResponse& head) {
    if (ended_ || !busy_) return;
    auto message = make_response<http::empty_body>(head);
    message->chunked(true);
    // It ends with the connection, and the client must know: its next request would be lost.
    message->keep_alive(false);
    is_event_stream_ = head.content_type == "text/event-stream";
    auto serializer = std::make_shared<http::response_serializer<http::empty_body>>(*message);
    writing_part_ = true;
    expire_in(shared_->config.progress_ms);
    http::async_write_header(
        socket_, *serializer,
        [self = shared_from_this(), message, serializer](beast::error_code error, std::size_t) {
          if (error) return self->end();
          self->part_written();
        });
  }

  /// Any thread: whether there is still somebody to send to.
  bool takes(std::size_t bytes) {
    return !cut_ && unsent_.fetch_add(bytes) + bytes <= shared_->config.unsent_max;
  }
  void queue_part(std::string part) {
    if (ended_) return;
    parts_.push_back(std::move(part));
    if (!writing_part_) write_part();
  }
  void finish_stream() {
    if (ended_ || last_part_) return;
    last_part_ = true;
    gone_ = nullptr;
    if (!writing_part_) write_part();
  }

  void set_gone(std::function<void()> gone) {
    if (ended_)
      gone();
    else
      gone_ = std::move(gone);
  }

 private:
  void await_request() {
    busy_ = false;
    if (shared_->draining) return end();
    if (buffer_.size() > 0) return read_head();
    expire_in(shared_->config.idle_ms);
    watch();
  }

  /// Tells when the client sends more, or goes. Holds no buffer, so that an idle connection is
  /// small.
  void watch() {
    if (watching_) return;
    watching_ = true;
    socket_.async_wait(Socket::wait_read, [self = shared_from_this()](beast::error_code error) {
      self->watching_ = false;
      if (error) return self->end();
      if (!self->busy_) return self->read_head();
      char byte = 0;
      const ssize_t got = ::recv(self->socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
      if (got == 0 || (got < 0 && errno != EAGAIN)) return self->end();
      // The next request already: its turn comes, and until then nobody is watched for.
      if (got < 0) self->watch();
    });
  }

  void read_head() {
    reading_ = true;
    expire_in(shared_->config.header_ms);
    parser_.emplace();
    parser_->header_limit(shared_->config.header_bytes_max);
    parser_->body_limit(boost::none);
    http::async_read_header(socket_, buffer_, *parser_,
                            [self = shared_from_this()](beast::error_code error, std::size_t) {
                              self->on_head(error);
                            });
  }

  void on_head(beast::error_code error) {
    if (error == http::error::header_limit)
      return refuse(plain_refusal(431, "the request's head is too large"));
    if (error && error.category() == http::make_error_code(http::error::bad_method).category() &&
        error != http::error::end_of_stream && error != http::error::partial_message)
      return refuse(plain_refusal(400, "this is not HTTP/1.1: " + error.message()));
    if (error) return end();
    request_ = head_of(parser_->get());
    Beginning beginning = shared_->handler.begin(request_);
    if (beginning.refusal) {
      if (!parser_->is_done()) beginning.refusal->close = true;
      return refuse(*std::move(beginning.refusal));
    }
    if (request_.upgrade && beginning.peer) return upgrade(std::move(beginning.peer));
    body_max_ = beginning.body_max;
    sink_ = std::move(beginning.sink);
    if (parser_->content_length() && *parser_->content_length() > body_max_)
      return refuse(
          plain_refusal(413, "the body is larger than " + std::to_string(body_max_) + " bytes"));
    if (equal_ignoring_case(to_string(parser_->get()[http::field::expect]), "100-continue"))
      return send_continue();
    read_body();
  }

  HttpRequest head_of(const http::request<http::buffer_body>& message) const {
    HttpRequest request;
    request.method = to_string(message.method_string());
    const std::string target = to_string(message.target());
    const std::size_t question = target.find('?');
    request.path = target.substr(0, question);
    if (question != std::string::npos) request.query = target.substr(question + 1);
    for (const auto& field : message)
      request.headers.push_back({to_string(field.name_string()), to_string(field.value())});
    request.peer = peer_;
    request.upgrade = websocket::is_upgrade(message);
    return request;
  }

  void upgrade(std::shared_ptr<WebSocketPeer> peer) {
    http::request<http::string_body> request(parser_->get().base());
    ended_ = true;
    std::make_shared<WebSocketConnection>(shared_, std::move(socket_), std::move(peer))
        ->start(std::move(request));
  }

  void send_continue() {
    auto message = std::make_shared<http::response<http::empty_body>>(http::status::continue_, 11);
    http::async_write(socket_, *message,
                      [self = shared_from_this(), message](beast::error_code error, std::size_t) {
                        if (error) return self->end();
                        self->read_body();
                      });
  }

  void read_body() {
    if (parser_->is_done()) return hand_over();
    if (!part_) part_ = std::make_unique_for_overwrite<std::array<char, kPart>>();
    parser_->get().body().data = part_->data();
    parser_->get().body().size = part_->size();
    expire_in(shared_->config.progress_ms);
    http::async_read_some(socket_, buffer_, *parser_,
                          [self = shared_from_this()](beast::error_code error, std::size_t) {
                            self->on_body(error);
                          });
  }

  void on_body(beast::error_code error) {
    if (error && error != http::error::need_buffer) return end();
    const std::size_t size = part_->size() - parser_->get().body().size;
    body_size_ += size;
    if (body_size_ > body_max_)
      return refuse(
          plain_refusal(413, "the body is larger than " + std::to_string(body_max_) + " bytes"));
    const std::string_view part(part_->data(), size);
    if (!sink_) {
      request_.body += part;
    } else if (const Result<void> written = sink_->write(part); !written) {
      HttpResponse response = plain_refusal(status_of(written.error()), "");
      response.content_type = "text/plain; charset=utf-8";
      response.body = written.error().message() + "\n";
      return refuse(std::move(response));
    }
    read_body();
  }

  void hand_over() {
    reading_ = false;
    busy_ = true;
    part_.reset();
    body_size_ = 0;
    keep_alive_ = parser_->get().keep_alive();
    version_ = parser_->get().version();
    is_head_ = parser_->get().method() == http::verb::head;
    parser_.reset();
    if (buffer_.size() == 0) buffer_ = beast::flat_buffer();
    expire_never();
    auto exchange = std::make_shared<ExchangeOfConnection>(shared_from_this(), std::move(request_),
                                                           std::move(sink_));
    request_ = {};
    shared_->handler.handle(exchange);
    if (buffer_.size() == 0) watch();
  }

  /// Answers before, or instead of, reading all of the body.
  void refuse(HttpResponse response) {
    reading_ = false;
    busy_ = true;
    keep_alive_ = parser_->is_header_done() && parser_->get().keep_alive();
    version_ = parser_->is_header_done() ? parser_->get().version() : 11;
    is_head_ = parser_->is_header_done() && parser_->get().method() == http::verb::head;
    response.close |= !parser_->is_done();
    parser_.reset();
    part_.reset();
    sink_.reset();
    body_size_ = 0;
    request_ = {};
    respond(std::move(response));
  }

  template <typename Body>
  std::shared_ptr<http::response<Body>> make_response(const HttpResponse& response) {
    auto message = std::make_shared<http::response<Body>>(
        static_cast<http::status>(response.status), version_);
    if (!response.content_type.empty())
      message->set(http::field::content_type, response.content_type);
    for (const Header& header : response.headers) message->insert(header.name, header.value);
    message->keep_alive(keep_alive_ && !response.close && !shared_->draining);
    return message;
  }

  template <typename Body>
  void write(std::shared_ptr<http::response<Body>> message) {
    message->prepare_payload();
    write_some(message, std::make_shared<http::response_serializer<Body>>(*message));
  }

  template <typename Body>
  void write_some(std::shared_ptr<http::response<Body>> message,
                  std::shared_ptr<http::response_serializer<Body>> serializer) {
    expire_in(shared_->config.progress_ms);
    http::async_write_some(
        socket_, *serializer,
        [self = shared_from_this(), message, serializer](beast::error_code error, std::size_t) {
          if (error) return self->end();
          if (!serializer->is_done()) return self->write_some(message, serializer);
          if (!message->keep_alive()) return self->end_after_answer();
          self->await_request();
        });
  }

  void part_written() {
    writing_part_ = false;
    if (is_event_stream_)
      expire_in(shared_->config.event_silence_ms);
    else
      expire_never();
    if (!parts_.empty() || last_part_) write_part();
  }

  void write_part() {
    writing_part_ = true;
    expire_in(shared_->config.progress_ms);
    if (parts_.empty()) {
      net::async_write(socket_, http::make_chunk_last(),
                       [self = shared_from_this()](beast::error_code, std::size_t) {
                         self->end_after_answer();
                       });
      return;
    }
    net::async_write(
        socket_, http::make_chunk(net::const_buffer(parts_.front().data(), parts_.front().size())),
        [self = shared_from_this()](beast::error_code error, std::size_t) {
          if (error) return self->end();
          self->unsent_ -= self->parts_.front().size();
          self->parts_.pop_front();
          self->part_written();
        });
  }

  /// A client that is still sending would lose the answer to a reset: it gets some time to read.
  void end_after_answer() {
    busy_ = false;
    beast::error_code ignored;
    socket_.shutdown(Socket::shutdown_send, ignored);
    expire_in(kLingerMs);
    linger();
  }
  void linger() {
    if (!part_) part_ = std::make_unique_for_overwrite<std::array<char, kPart>>();
    socket_.async_read_some(net::buffer(*part_),
                            [self = shared_from_this()](beast::error_code error, std::size_t) {
                              if (error) return self->end();
                              self->linger();
                            });
  }

  void end() {
    if (ended_) return;
    ended_ = true;
    cut_ = true;
    beast::error_code ignored;
    socket_.close(ignored);
    if (const std::function<void()> gone = std::exchange(gone_, nullptr)) gone();
  }

  static constexpr std::uint32_t kLingerMs = 2'000;
  static constexpr std::string_view kKeepAlive = ":\n\n";

  std::shared_ptr<Shared> shared_;
  Socket socket_;
  const std::string peer_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::buffer_body>> parser_;
  std::unique_ptr<std::array<char, kPart>> part_;
  HttpRequest request_;
  std::unique_ptr<BodySink> sink_;
  std::uint64_t body_max_ = 0;
  std::uint64_t body_size_ = 0;
  std::function<void()> gone_;
  std::deque<std::string> parts_;
  std::atomic<std::uint64_t> unsent_{0};
  std::atomic<bool> cut_{false};
  unsigned version_ = 11;
  bool keep_alive_ = false;
  bool is_head_ = false;  ///< HEAD: the answer has no body.
  bool reading_ = false;
  bool busy_ = false;  ///< A request is with the application.
  bool watching_ = false;
  bool writing_part_ = false;
  bool last_part_ = false;
  bool is_event_stream_ = false;
  bool ended_ = false;
};

inline ExchangeOfConnection::~ExchangeOfConnection() {
  if (!answered_)
    ExchangeOfConnection::reply(plain_refusal(500, "the server has lost this request"));
}

inline void ExchangeOfConnection::reply(HttpResponse response) {
  if (answered_.exchange(true)) return;
  auto shared = std::make_shared<HttpResponse>(std::move(response));
  connection_->dispatch(
      [connection = connection_.get(), shared] { connection->respond(std::move(*shared)); });
}

inline std::shared_ptr<EventStream> ExchangeOfConnection::stream(HttpResponse head) {
  answered_ = true;
  auto shared = std::make_shared<HttpResponse>(std::move(head));
  connection_->post(
      [connection = connection_.get(), shared] { connection->begin_stream(*shared); });
  return std::make_shared<EventStreamOfConnection>(connection_);
}

inline void ExchangeOfConnection::on_disconnect(std::function<void()> gone) {
  connection_->dispatch([connection = connection_.get(), gone = std::move(gone)]() mutable {
    connection->set_gone(std::move(gone));
  });
}

inline void ExchangeOfConnection::post(std::function<void()> work) {
  connection_->post(std::move(work));
}

inline bool EventStreamOfConnection::send(std::string part) {
  if (part.empty()) return true;  // An empty chunk would be the last.
  if (!connection_->takes(part.size())) {
    connection_->abort();
    return false;
  }
  connection_->post([connection = connection_.get(), part = std::move(part)]() mutable {
    connection->queue_part(std::move(part));
  });
  return true;
}

inline void EventStreamOfConnection::finish() {
  if (finished_.exchange(true)) return;
  connection_->post([connection = connection_.get()] { connection->finish_stream(); });
}

}  // namespace hatchery::server::connections
