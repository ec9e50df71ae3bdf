// The only file that includes Boost.Asio and Boost.Beast. Each connection has a strand: its members
// are touched by one thread at a time.
#include "pool/server/http_server.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/core/file_posix.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket.hpp>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "pool/server/listen.h"

namespace hatchery::server {
// Named: HttpServer::Impl has members of these types.
namespace connections {

namespace net = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
namespace websocket = beast::websocket;

using Protocol = net::generic::stream_protocol;
using Socket = Protocol::socket;
using Acceptor = net::basic_socket_acceptor<Protocol>;
using FileBody = http::basic_file_body<beast::file_posix>;

constexpr std::size_t kPart = std::size_t{64} << 10;
constexpr auto kSweep = std::chrono::seconds(1);
constexpr auto kAcceptAgain = std::chrono::milliseconds(100);

std::int64_t now_ms() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return beast::iequals({a.data(), a.size()}, {b.data(), b.size()});
}

std::string to_string(beast::string_view text) { return {text.data(), text.size()}; }

/// For what the server itself refuses: one sentence, as JSON.
HttpResponse plain_refusal(int status, const std::string& sentence) {
  HttpResponse response{.status = status, .body = "{\"error\":\"" + sentence + "\"}\n"};
  response.close = true;
  return response;
}

int status_of(const Error& error) {
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

// ---- WebSocket --------------------------------------------------------------------------------

class WebSocketConnection final : public Connection,
                                  public WebSocket,
                                  public std::enable_shared_from_this<WebSocketConnection> {
 public:
  WebSocketConnection(std::shared_ptr<Shared> shared, Socket socket,
                      std::shared_ptr<WebSocketPeer> peer)
      : shared_(std::move(shared)), stream_(std::move(socket)), peer_(std::move(peer)) {}
  ~WebSocketConnection() override { shared_->remove(this); }

  void start(http::request<http::string_body> request) {
    shared_->add(this, weak_from_this());
    websocket::stream_base::timeout timeout{};
    timeout.handshake_timeout = std::chrono::milliseconds(shared_->config.header_ms);
    timeout.idle_timeout = std::chrono::milliseconds(shared_->config.websocket_idle_ms);
    timeout.keep_alive_pings = true;
    stream_.set_option(timeout);
    stream_.read_message_max(shared_->config.websocket_message_max);
    stream_.auto_fragment(false);
    request_ = std::move(request);
    stream_.async_accept(request_, [self = shared_from_this()](beast::error_code error) {
      if (error) return self->end();
      self->opened_ = true;
      self->peer_->opened(self);
      self->read();
      if (self->closing_ && self->queue_.empty()) self->close_now();
    });
  }

  void send(std::string message, bool binary) override {
    post([this, message = std::move(message), binary]() mutable {
      if (ended_) return;
      unsent_ += message.size();
      if (unsent_ > shared_->config.unsent_max) return cut();
      queue_.push_back({std::move(message), binary});
      if (queue_.size() == 1) write();
    });
  }
  void close() override {
    post([this] {
      closing_ = true;
      // Not during the handshake, which would undo what a close has begun.
      if (queue_.empty() && opened_) close_now();
    });
  }
  void post(std::function<void()> work) override {
    if (shared_->stopped) return;
    net::post(stream_.get_executor(),
              [self = shared_from_this(), work = std::move(work)] { work(); });
  }
  void abort() override {
    post([this] { cut(); });
  }
  void drain() override { close(); }

 private:
  struct Message {
    std::string bytes;
    bool binary;
  };

  void read() {
    stream_.async_read(buffer_, [self = shared_from_this()](beast::error_code error, std::size_t) {
      if (error) return self->end();
      const auto data = self->buffer_.cdata();
      self->peer_->message({static_cast<const char*>(data.data()), data.size()},
                           self->stream_.got_binary());
      self->buffer_.clear();
      // A large message's memory goes with it.
      if (self->buffer_.capacity() > kPart) self->buffer_.shrink_to_fit();
      self->read();
    });
  }

  void write() {
    stream_.binary(queue_.front().binary);
    stream_.async_write(net::buffer(queue_.front().bytes),
                        [self = shared_from_this()](beast::error_code error, std::size_t) {
                          if (error) return self->cut();
                          self->unsent_ -= self->queue_.front().bytes.size();
                          self->queue_.pop_front();
                          if (!self->queue_.empty()) return self->write();
                          if (self->closing_) self->close_now();
                        });
  }

  void close_now() {
    if (ended_ || close_sent_) return;
    close_sent_ = true;
    stream_.async_close(websocket::close_code::normal,
                        [self = shared_from_this()](beast::error_code) { self->cut(); });
  }

  /// The pending read then fails, and ends it.
  void cut() {
    beast::error_code ignored;
    stream_.next_layer().close(ignored);
  }

  void end() {
    if (ended_) return;
    ended_ = true;
    cut();
    queue_.clear();
    if (opened_) peer_->closed();
    peer_.reset();
  }

  std::shared_ptr<Shared> shared_;
  websocket::stream<Socket, false> stream_;  ///< false: without compression, and its code.
  std::shared_ptr<WebSocketPeer> peer_;
  http::request<http::string_body> request_;
  beast::flat_buffer buffer_;
  std::deque<Message> queue_;
  std::uint64_t unsent_ = 0;
  bool opened_ = false;
  bool closing_ = false;
  bool close_sent_ = false;
  bool ended_ = false;
};

// ---- HTTP -------------------------------------------------------------------------------------

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
  void post(std::function<void()> work) {
    if (shared_->stopped) return;
    net::post(socket_.get_executor(),
              [self = shared_from_this(), work = std::move(work)] { work(); });
  }

  // For the application's handles; on the strand.
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
    if (!part_) part_ = std::make_unique<std::array<char, kPart>>();
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
    if (!part_) part_ = std::make_unique<std::array<char, kPart>>();
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
  bool ended_ = false;
};

ExchangeOfConnection::~ExchangeOfConnection() {
  if (!answered_)
    ExchangeOfConnection::reply(plain_refusal(500, "the server has lost this request"));
}

void ExchangeOfConnection::reply(HttpResponse response) {
  if (answered_.exchange(true)) return;
  auto shared = std::make_shared<HttpResponse>(std::move(response));
  connection_->post(
      [connection = connection_.get(), shared] { connection->respond(std::move(*shared)); });
}

std::shared_ptr<EventStream> ExchangeOfConnection::stream(HttpResponse head) {
  answered_ = true;
  auto shared = std::make_shared<HttpResponse>(std::move(head));
  connection_->post(
      [connection = connection_.get(), shared] { connection->begin_stream(*shared); });
  return std::make_shared<EventStreamOfConnection>(connection_);
}

void ExchangeOfConnection::on_disconnect(std::function<void()> gone) {
  connection_->post([connection = connection_.get(), gone = std::move(gone)]() mutable {
    connection->set_gone(std::move(gone));
  });
}

void ExchangeOfConnection::post(std::function<void()> work) { connection_->post(std::move(work)); }

bool EventStreamOfConnection::send(std::string part) {
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

void EventStreamOfConnection::finish() {
  if (finished_.exchange(true)) return;
  connection_->post([connection = connection_.get()] { connection->finish_stream(); });
}

}  // namespace connections

using namespace connections;

const std::string* HttpRequest::header(std::string_view name) const {
  for (const Header& header : headers)
    if (equal_ignoring_case(header.name, name)) return &header.value;
  return nullptr;
}

class HttpServer::Impl {
 public:
  Impl(HttpServerConfig config, HttpHandler& handler)
      : shared_(std::make_shared<Shared>(std::move(config), handler)),
        context_(static_cast<int>(shared_->config.threads)),
        sweeper_(context_) {}

  Result<void> listen() {
    for (const std::string& address : shared_->config.listen) {
      Result<std::vector<Listener>> listeners = listen_on(address);
      if (!listeners) return std::move(listeners).error();
      for (Listener& listener : *listeners) {
        addresses_.push_back(listener.address);
        if (!listener.unix_path.empty()) unix_paths_.push_back(listener.unix_path);
        int family = AF_UNIX;
        socklen_t size = sizeof family;
        ::getsockopt(listener.fd.get(), SOL_SOCKET, SO_DOMAIN, &family, &size);
        doors_.push_back(std::make_unique<Door>(Acceptor(net::make_strand(context_))));
        beast::error_code error;
        doors_.back()->acceptor.assign(Protocol(family, 0), listener.fd.get(), error);
        if (error) return errno_error(Step::kListen, address, error.value());
        static_cast<void>(listener.fd.release());  // The acceptor's.
      }
    }
    return {};
  }

  void start() {
    shared_->on_room = [this] {
      if (!stopping_) net::post(context_, [this] { accept_all(); });
    };
    accept_all();
    sweep();
    for (std::uint32_t i = 0; i < shared_->config.threads; ++i)
      threads_.emplace_back([this] { serve(); });
  }

  void stop() {
    if (threads_.empty()) return;
    drain();
    stopping_ = true;
    for (const auto& connection : shared_->all()) connection->abort();
    net::post(context_, [this] { sweeper_.cancel(); });
    // Without work run() returns.
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
    shared_->stopped = true;
    for (const std::string& path : unix_paths_) ::unlink(path.c_str());
  }

  void post(std::function<void()> work) {
    if (!shared_->stopped) net::post(context_, std::move(work));
  }

  void drain() {
    if (shared_->draining.exchange(true)) return;
    for (const auto& door : doors_)
      net::post(door->acceptor.get_executor(), [one = door.get()] {
        beast::error_code ignored;
        one->acceptor.close(ignored);
      });
    for (const auto& connection : shared_->all()) connection->drain();
  }

  std::vector<std::string> addresses_;
  std::shared_ptr<Shared> shared_;

 private:
  /// One listening socket, on a strand of its own.
  struct Door {
    explicit Door(Acceptor acceptor_in) : acceptor(std::move(acceptor_in)) {}
    Acceptor acceptor;
    bool waiting = false;
  };

  /// What a handler throws (memory that ran out, a library's own) is that request's end, which its
  /// Exchange tells the client by 500, and nobody else's.
  void serve() {
    for (;;) {
      try {
        context_.run();
        return;
      } catch (const std::exception& exception) {
        shared_->handler.failed(exception.what());
      }
    }
  }

  void accept_all() {
    for (const auto& door : doors_)
      net::post(door->acceptor.get_executor(), [this, one = door.get()] { accept(*one); });
  }

  void accept(Door& door) {
    if (!door.acceptor.is_open() || door.waiting || stopping_) return;
    if (shared_->count() >= shared_->config.connections_max) return;  // on_room() comes back.
    door.waiting = true;
    door.acceptor.async_accept(net::make_strand(context_),
                               [this, &door](beast::error_code error, Socket socket) {
                                 door.waiting = false;
                                 if (error == net::error::operation_aborted) return;
                                 if (!error)
                                   begin(std::move(socket));
                                 else if (error != net::error::connection_aborted)
                                   return pause(door);  // No descriptors: in a while, perhaps.
                                 accept(door);
                               });
  }

  void begin(Socket socket) {
    const int on = 1;
    // Fails on Unix sockets, which know no delay.
    ::setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    std::make_shared<HttpConnection>(shared_, std::move(socket))->start();
  }

  void pause(Door& door) {
    auto timer = std::make_shared<net::steady_timer>(door.acceptor.get_executor(), kAcceptAgain);
    timer->async_wait([this, &door, timer](beast::error_code) { accept(door); });
  }

  void sweep() {
    if (stopping_) return;
    sweeper_.expires_after(kSweep);
    sweeper_.async_wait([this](beast::error_code error) {
      if (error) return;
      const std::int64_t now = now_ms();
      for (const auto& connection : shared_->all())
        if (connection->expired(now)) connection->abort();
      sweep();
    });
  }

  net::io_context context_;
  std::vector<std::unique_ptr<Door>> doors_;
  net::steady_timer sweeper_;
  std::vector<std::thread> threads_;
  std::vector<std::string> unix_paths_;
  std::atomic<bool> stopping_{false};
};

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpServer::~HttpServer() { impl_->stop(); }

Result<std::unique_ptr<HttpServer>> HttpServer::create(HttpServerConfig config,
                                                       HttpHandler& handler) {
  auto impl = std::make_unique<Impl>(std::move(config), handler);
  HATCHERY_TRY(impl->listen());
  impl->start();
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

std::vector<std::string> HttpServer::addresses() const { return impl_->addresses_; }
void HttpServer::drain() { impl_->drain(); }
void HttpServer::stop() { impl_->stop(); }
void HttpServer::post(std::function<void()> work) { impl_->post(std::move(work)); }
std::size_t HttpServer::connections() const { return impl_->shared_->count(); }

}  // namespace hatchery::server
