#include "tests/http_client.h"

#include <boost/asio/connect.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket.hpp>

#include "core/check.h"

namespace hatchery::testing {
namespace {

namespace net = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using Socket = net::generic::stream_protocol::socket;

Socket connect(net::io_context& context, const std::string& address) {
  if (address.starts_with("unix:")) {
    net::local::stream_protocol::socket socket(context);
    socket.connect(net::local::stream_protocol::endpoint(address.substr(5)));
    return Socket(std::move(socket));
  }
  const std::size_t colon = address.rfind(':');
  net::ip::tcp::socket socket(context);
  net::connect(socket, net::ip::tcp::resolver(context).resolve(address.substr(0, colon),
                                                               address.substr(colon + 1)));
  return Socket(std::move(socket));
}

HttpAnswer answer_of(const http::response<http::string_body>& response) {
  HttpAnswer answer{.status = static_cast<int>(response.result_int()), .body = response.body()};
  for (const auto& field : response) {
    std::string name(field.name_string());
    for (char& letter : name) letter = static_cast<char>(std::tolower(letter));
    answer.headers[name] = std::string(field.value());
  }
  return answer;
}

}  // namespace

class HttpClient::Impl {
 public:
  explicit Impl(const std::string& address) : socket(connect(context, address)) {}
  net::io_context context;
  Socket socket;
  beast::flat_buffer buffer;
};

HttpClient::HttpClient(const std::string& address) : impl_(std::make_unique<Impl>(address)) {}
HttpClient::~HttpClient() = default;

HttpAnswer HttpClient::request(const std::string& method, const std::string& target,
                               const std::string& body, const HttpHeaders& headers) {
  http::request<http::string_body> request;
  request.method_string(method);
  request.target(target);
  request.version(11);
  request.set(http::field::host, "localhost");
  for (const auto& [name, value] : headers) request.set(name, value);
  request.body() = body;
  request.prepare_payload();
  beast::error_code error;
  http::write(impl_->socket, request, error);
  return read_answer(method != "HEAD");
}

bool HttpClient::write_raw(const std::string& bytes) {
  beast::error_code error;
  net::write(impl_->socket, net::buffer(bytes), error);
  return !error;
}

HttpAnswer HttpClient::read_answer(bool has_body) {
  http::response_parser<http::string_body> parser;
  parser.body_limit(boost::none);
  parser.skip(!has_body);
  beast::error_code error;
  http::read(impl_->socket, impl_->buffer, parser, error);
  return error ? HttpAnswer{} : answer_of(parser.get());
}

std::string HttpClient::read_until(const std::string& wanted) {
  std::string all = beast::buffers_to_string(impl_->buffer.data());
  char part[4096];
  beast::error_code error;
  while (wanted.empty() || all.find(wanted) == std::string::npos) {
    const std::size_t got = impl_->socket.read_some(net::buffer(part), error);
    if (error || got == 0) break;
    all.append(part, got);
  }
  return all;
}

void HttpClient::shut_down_writing() {
  beast::error_code ignored;
  impl_->socket.shutdown(Socket::shutdown_send, ignored);
}

class WebSocketClient::Impl {
 public:
  explicit Impl(const std::string& address) : stream(connect(context, address)) {}
  net::io_context context;
  beast::websocket::stream<Socket, false> stream;
  beast::flat_buffer buffer;
  int status = 0;
};

WebSocketClient::WebSocketClient(const std::string& address, const std::string& target,
                                 const HttpHeaders& headers)
    : impl_(std::make_unique<Impl>(address)) {
  impl_->stream.set_option(
      beast::websocket::stream_base::decorator([&headers](beast::websocket::request_type& request) {
        for (const auto& [name, value] : headers) request.set(name, value);
      }));
  beast::websocket::response_type response;
  beast::error_code error;
  impl_->stream.handshake(response, "localhost", target, error);
  impl_->status = static_cast<int>(response.result_int());
}

WebSocketClient::~WebSocketClient() = default;

int WebSocketClient::status() const { return impl_->status; }

bool WebSocketClient::send(const std::string& message, bool binary) {
  beast::error_code error;
  impl_->stream.binary(binary);
  impl_->stream.write(net::buffer(message), error);
  return !error;
}

std::optional<std::string> WebSocketClient::receive() {
  beast::error_code error;
  impl_->buffer.clear();
  impl_->stream.read(impl_->buffer, error);
  if (error) return std::nullopt;
  return beast::buffers_to_string(impl_->buffer.data());
}

void WebSocketClient::cut() {
  beast::error_code ignored;
  impl_->stream.next_layer().close(ignored);
}

}  // namespace hatchery::testing
