// WebSocketConnection: one WebSocket on its lane's one thread, which alone touches its members.
// Only http_connection.h includes it.
#pragma once

#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/websocket.hpp>
#include <deque>
#include <memory>
#include <string>

#include "pool/server/http_shared.h"

namespace hatchery::server::connections {

namespace websocket = beast::websocket;

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
    cut();  // What is queued stays: a write that was done may still tell so.
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

}  // namespace hatchery::server::connections
