// HttpClient and WebSocketClient: what a client of the server does, one step at a time, blocking.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace hatchery::testing {

struct HttpAnswer {
  int status = 0;                                   ///< 0: the connection ended before an answer.
  std::map<std::string, std::string> headers = {};  ///< Names in lower case.
  std::string body = {};
};

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

/// One connection, kept alive between requests.
class HttpClient {
 public:
  /// "127.0.0.1:5050" or "unix:/path".
  explicit HttpClient(const std::string& address);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  HttpAnswer request(const std::string& method, const std::string& target,
                     const std::string& body = {}, const HttpHeaders& headers = {});
  HttpAnswer get(const std::string& target) { return request("GET", target); }
  HttpAnswer post(const std::string& target, const std::string& body) {
    return request("POST", target, body, {{"Content-Type", "application/json"}});
  }

  /// Bytes as they are; false when the server has closed.
  bool write_raw(const std::string& bytes);
  /// `has_body`: false for the answer to HEAD.
  HttpAnswer read_answer(bool has_body = true);
  /// Everything until the server closes, or has sent `wanted`.
  std::string read_until(const std::string& wanted);
  std::string read_to_end() { return read_until(""); }
  /// No further bytes from here; the server may still answer.
  void shut_down_writing();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

class WebSocketClient {
 public:
  /// Upgrades; status() says what came instead of 101.
  WebSocketClient(const std::string& address, const std::string& target,
                  const HttpHeaders& headers = {});
  ~WebSocketClient();
  WebSocketClient(const WebSocketClient&) = delete;
  WebSocketClient& operator=(const WebSocketClient&) = delete;

  int status() const;
  bool send(const std::string& message, bool binary = false);
  /// The next message; absent when the server has closed.
  std::optional<std::string> receive();
  /// Cuts the connection.
  void cut();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hatchery::testing
