// HttpServer's connections by themselves, with a handler that answers from several threads at once.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>

#include "core/check.h"
#include "pool/server/http_server.h"
#include "tests/http_client.h"

namespace hatchery::server {
namespace {

using testing::HttpClient;
using testing::WebSocketClient;

/// By another thread, before this one goes on.
template <typename Work>
void elsewhere(Work work) {
  std::thread(std::move(work)).join();
}

/// What is sent to a WebSocket by turns from its own thread and from another.
class ByTurns final : public WebSocketPeer {
 public:
  void opened(std::shared_ptr<WebSocket> socket) override { socket_ = std::move(socket); }
  void message(std::string_view, bool) override {
    socket_->send("1", false);
    elsewhere([this] { socket_->send("2", false); });
    socket_->send("3", false);
    elsewhere([this] { socket_->close(); });
  }
  void closed() override { socket_.reset(); }

 private:
  std::shared_ptr<WebSocket> socket_;
};

/// Streams by turns from the connection's own thread and from another.
class Handler final : public HttpHandler {
 public:
  Beginning begin(const HttpRequest& head) override {
    return {.peer = head.upgrade ? std::make_shared<ByTurns>() : nullptr};
  }
  void handle(const std::shared_ptr<Exchange>& exchange) override {
    const auto stream = exchange->stream({.content_type = "text/plain"});
    elsewhere([&] { stream->send("1"); });
    stream->send("2");
    elsewhere([&] { stream->send("3"); });
    stream->send("4");
    elsewhere([&] { stream->finish(); });
  }
  void failed(const char* what) override { ADD_FAILURE() << what; }
};

class HttpConnections : public ::testing::Test {
 protected:
  HttpConnections() {
    Result<std::unique_ptr<HttpServer>> made =
        HttpServer::create({.listen = {"127.0.0.1:0"}, .threads = 1}, handler_);
    HATCHERY_CHECK(made.has_value());
    server_ = *std::move(made);
    server_->start();
  }
  std::string address() const { return server_->addresses().front(); }

 private:
  Handler handler_;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpConnections, AStreamIsSentInTheOrderInWhichItsThreadsGaveIt) {
  const testing::HttpAnswer answer = HttpClient(address()).get("/");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, "1234");
}

TEST_F(HttpConnections, AWebSocketsMessagesAreSentInTheOrderInWhichItsThreadsGaveThem) {
  WebSocketClient client(address(), "/");
  ASSERT_TRUE(client.send("go"));
  EXPECT_EQ(client.receive(), "1");
  EXPECT_EQ(client.receive(), "2");
  EXPECT_EQ(client.receive(), "3");
  EXPECT_EQ(client.receive(), std::nullopt);
}

}  // namespace
}  // namespace hatchery::server
