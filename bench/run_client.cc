#include "bench/run_client.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>

#include "bench/process_runner.h"
#include "core/fd.h"

namespace hatchery::bench {
namespace {

UniqueFd connect_to_unix(const std::string& path) {
  sockaddr_un name = {};
  name.sun_family = AF_UNIX;
  path.copy(name.sun_path, sizeof name.sun_path - 1);
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) < 0) return {};
  return socket;
}

UniqueFd connect_to(const HttpAddress& address) {
  if (!address.unix_path.empty()) return connect_to_unix(address.unix_path);
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (::getaddrinfo(address.host.c_str(), address.port.c_str(), &hints, &found) != 0) return {};
  UniqueFd connected;
  for (const addrinfo* one = found; one != nullptr && connected.get() < 0; one = one->ai_next) {
    UniqueFd socket(::socket(one->ai_family, one->ai_socktype | SOCK_CLOEXEC, 0));
    if (::connect(socket.get(), one->ai_addr, one->ai_addrlen) == 0) connected = std::move(socket);
  }
  ::freeaddrinfo(found);
  const int on = 1;
  ::setsockopt(connected.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return connected;
}

/// One kept connection with at most one request on it.
class Connection {
 public:
  explicit Connection(UniqueFd socket) : socket_(std::move(socket)) {}
  int fd() const noexcept { return socket_.get(); }

  bool send(const std::string& request) {
    answer_.clear();
    return ::send(socket_.get(), request.data(), request.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(request.size());
  }

  /// Reads what is there. True when the answer is whole, or the connection is gone.
  bool receive() {
    char buffer[4096];
    const ssize_t size = ::recv(socket_.get(), buffer, sizeof buffer, 0);
    if (size <= 0) return true;
    answer_.append(buffer, static_cast<std::size_t>(size));
    const std::size_t head = answer_.find("\r\n\r\n");
    if (head == std::string::npos) return false;
    const std::optional<std::size_t> length = body_length(head);
    if (length) return answer_.size() >= head + 4 + *length;
    return answer_.ends_with("0\r\n\r\n");  // Chunked.
  }

  bool has(const std::string& text) const { return answer_.find(text) != std::string::npos; }
  const std::string& answer() const noexcept { return answer_; }

 private:
  std::optional<std::size_t> body_length(std::size_t head) const {
    std::string headers = answer_.substr(0, head);
    std::transform(headers.begin(), headers.end(), headers.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    constexpr std::string_view kName = "\r\ncontent-length: ";
    const std::size_t at = headers.find(kName);
    if (at == std::string::npos) return {};
    std::size_t length = 0;
    const char* digits = headers.data() + at + kName.size();
    std::from_chars(digits, headers.data() + headers.size(), length);
    return length;
  }

  UniqueFd socket_;
  std::string answer_;
};

}  // namespace

HttpMessage health_message(const HttpAddress& address) {
  return {"GET /healthz HTTP/1.1\r\nHost: " + address.host + "\r\n\r\n", "200 OK"};
}

HttpMessage run_message(const HttpAddress& address, const std::vector<std::string>& args) {
  namespace json = boost::json;
  const std::vector<std::string> environment = job_environment();
  const json::object command = {
      {"args", json::array(args.begin(), args.end())},
      {"env", json::array(environment.begin(), environment.end())},
      {"files", json::array{json::object{{"content", ""}},
                            json::object{{"name", "stdout"}, {"max", kCollectedBytesMax}},
                            json::object{{"name", "stderr"}, {"max", kCollectedBytesMax}}}},
      {"cpuLimit", 10'000'000'000},
      {"clockLimit", 30'000'000'000},
      {"memoryLimit", 512 << 20},
      {"procLimit", 128}};
  const std::string body = json::serialize(json::object{{"cmd", json::array{command}}});
  // The API answers with a status for each command.
  return {"POST /run HTTP/1.1\r\nHost: " + address.host +
              "\r\nContent-Type: application/json\r\nContent-Length: " +
              std::to_string(body.size()) + "\r\n\r\n" + body,
          R"("Accepted")"};
}

namespace {

class HttpClient : public Runner {
 public:
  HttpClient(std::string name, std::vector<Connection> connections, HttpMessage message,
             std::shared_ptr<SpawnedServer> server)
      : name_(std::move(name)),
        server_(std::move(server)),
        connections_(std::move(connections)),
        message_(std::move(message)) {}

  Result<void> run(unsigned count, std::vector<double>& latency_us) override {
    unsigned started = 0;
    unsigned ended = 0;
    std::vector<Clock::time_point> starts(connections_.size());
    std::vector<pollfd> polled;
    for (std::size_t i = 0; i < connections_.size(); ++i) {
      polled.push_back({.fd = connections_[i].fd(), .events = POLLIN, .revents = 0});
      starts[i] = Clock::now();
      if (started < count && !connections_[i].send(message_.text)) return gone();
      if (started < count) ++started;
    }
    while (ended < count) {
      if (::poll(polled.data(), polled.size(), -1) < 0) continue;
      for (std::size_t i = 0; i < polled.size(); ++i) {
        if (polled[i].revents == 0 || !connections_[i].receive()) continue;
        if (connections_.size() == 1) latency_us.push_back(micros(Clock::now() - starts[i]));
        if (!connections_[i].has(message_.good))
          return failure(name_, "a request went wrong: " + connections_[i].answer());
        ++ended;
        if (started == count) continue;
        starts[i] = Clock::now();
        if (!connections_[i].send(message_.text)) return gone();
        ++started;
      }
    }
    return {};
  }

 private:
  Error gone() const { return failure(name_, "the server closed the connection"); }

  std::string name_;
  std::shared_ptr<SpawnedServer> server_;
  std::vector<Connection> connections_;
  HttpMessage message_;
};

}  // namespace

std::optional<HttpAddress> http_address_of(const std::string& url) {
  constexpr std::string_view kScheme = "http://";
  if (!url.starts_with(kScheme)) return {};
  std::string rest = url.substr(kScheme.size());
  rest = rest.substr(0, rest.find('/'));
  const std::size_t colon = rest.rfind(':');
  if (colon == std::string::npos) return HttpAddress{rest, "80"};
  return HttpAddress{rest.substr(0, colon), rest.substr(colon + 1)};
}

HttpAddress free_address() {
  const UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in name = {};
  name.sin_family = AF_INET;
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof name;
  ::bind(socket.get(), reinterpret_cast<sockaddr*>(&name), size);
  ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&name), &size);
  return {"127.0.0.1", std::to_string(ntohs(name.sin_port))};
}

HttpAddress free_unix_address() {
  static unsigned number = 0;
  return {"localhost", "",
          "/tmp/hatchery-bench-" + std::to_string(::getpid()) + "-" + std::to_string(++number)};
}

SpawnedServer::SpawnedServer(const std::vector<std::string>& args, HttpAddress address)
    : address_(std::move(address)), pid_(spawn_start(args, true)()) {
  // go-judge tells nobody that it listens: asked until it does, or is dead.
  for (int tries = 0; pid_ > 0 && tries < 5'000 && !connect_to(address_).valid(); ++tries) {
    if (::waitpid(pid_, nullptr, WNOHANG) == pid_) pid_ = -1;
    ::poll(nullptr, 0, 1);
  }
}

SpawnedServer::~SpawnedServer() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGTERM);
  ::waitpid(pid_, nullptr, 0);
}

Result<std::unique_ptr<Runner>> make_http_client(const std::string& name,
                                                 const HttpAddress& address, HttpMessage message,
                                                 unsigned in_flight,
                                                 std::shared_ptr<SpawnedServer> server) {
  std::vector<Connection> connections;
  for (unsigned i = 0; i < in_flight; ++i) {
    UniqueFd socket = connect_to(address);
    if (!socket.valid())
      return failure(address.text(), "does not answer", "start the server there");
    connections.emplace_back(std::move(socket));
  }
  auto client = std::make_unique<HttpClient>(name, std::move(connections), std::move(message),
                                             std::move(server));
  std::vector<double> latency_us;
  HATCHERY_TRY(client->run(1, latency_us));
  return std::unique_ptr<Runner>(std::move(client));
}

}  // namespace hatchery::bench
