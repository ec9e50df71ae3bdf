// `hatchery serve` as a service manager starts it: on sockets that are open already, telling when
// it is ready and when it stops.
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <memory>
#include <string>

#include "tests/cli_fixture.h"
#include "tests/http_client.h"

namespace hatchery::testing {
namespace {

using ::testing::HasSubstr;

/// Listens on a free port of the loopback, as systemd does for a .socket unit.
class ListeningSocket {
 public:
  ListeningSocket() : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in name{};
    name.sin_family = AF_INET;
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof name;
    auto* const address = reinterpret_cast<sockaddr*>(&name);
    HATCHERY_CHECK(::bind(fd_.get(), address, size) == 0 && ::listen(fd_.get(), 16) == 0 &&
                   ::getsockname(fd_.get(), address, &size) == 0);
    address_ = "127.0.0.1:" + std::to_string(ntohs(name.sin_port));
  }
  /// Inherited by every child, at this number.
  std::string number() const { return std::to_string(fd_.get()); }
  const std::string& address() const { return address_; }

 private:
  UniqueFd fd_;
  std::string address_;
};

/// The service manager's end of NOTIFY_SOCKET.
class NotifySocket {
 public:
  /// "/path", or "@name".
  explicit NotifySocket(const std::string& text)
      : fd_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    text.copy(name.sun_path, sizeof name.sun_path - 1);
    std::size_t size = offsetof(sockaddr_un, sun_path) + text.size();
    if (text[0] == '@')
      name.sun_path[0] = '\0';
    else
      ++size;
    HATCHERY_CHECK(::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&name),
                          static_cast<socklen_t>(size)) == 0);
  }
  /// The next message, "" when none comes.
  std::string receive() const {
    pollfd waiting{fd_.get(), POLLIN, 0};
    char text[256];
    if (::poll(&waiting, 1, 60'000 * static_cast<int>(slowness())) != 1) return "";
    const ssize_t size = ::recv(fd_.get(), text, sizeof text, 0);
    return std::string(text, size > 0 ? static_cast<std::size_t>(size) : 0);
  }

 private:
  UniqueFd fd_;
};

/// LISTEN_PID must be the pid of `hatchery` itself: so the shell that knows it becomes it.
Process start(const std::string& redirections, const std::string& variables,
              const std::string& arguments = "") {
  const std::string script =
      "exec " + redirections + "\n" + variables + " exec '" HATCHERY_BINARY "' serve " + arguments;
  return Process({"/bin/bash", "-c", script}, "");
}

class ServeActivation : public cli_testing::JobCommand {
 protected:
  static void expect_stops(Process& server) {
    server.kill(SIGTERM);
    const ProcessResult result = server.wait();
    EXPECT_EQ(result.status, 0) << result.err;
  }
};

TEST_F(ServeActivation, ServesASocketThatWasOpenedForIt) {
  const ListeningSocket socket;
  const std::string path = scratch_ / "notify";
  const NotifySocket manager(path);
  Process server =
      start("3<&" + socket.number(), "LISTEN_PID=$$ LISTEN_FDS=1 NOTIFY_SOCKET='" + path + "'");
  ASSERT_EQ(manager.receive(), "READY=1") << server.messages();
  EXPECT_EQ(server.wait_for_message("hatchery: serving ").find("http://" + socket.address()), 0U)
      << server.messages();
  EXPECT_EQ(HttpClient(socket.address()).get("/healthz").status, 200);
  server.kill(SIGTERM);
  EXPECT_EQ(manager.receive(), "STOPPING=1");
  expect_stops(server);
}

TEST_F(ServeActivation, ServesSeveralSockets) {
  const ListeningSocket first;
  const ListeningSocket second;
  const std::string name = "@hatchery-test-" + std::to_string(::getpid());
  const NotifySocket manager(name);
  Process server = start("3<&" + first.number() + " 4<&" + second.number(),
                         "LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=a:b NOTIFY_SOCKET=" + name);
  ASSERT_EQ(manager.receive(), "READY=1") << server.messages();
  for (const ListeningSocket* socket : {&first, &second})
    EXPECT_EQ(HttpClient(socket->address()).get("/healthz").status, 200) << socket->address();
  expect_stops(server);
}

TEST_F(ServeActivation, AnAddressThatIsGivenComesFirst) {
  const ListeningSocket socket;
  Process server =
      start("3<&" + socket.number(), "LISTEN_PID=$$ LISTEN_FDS=1", "--http-addr 127.0.0.1:0");
  const std::string line = server.wait_for_message("hatchery: serving http://");
  const std::string address = line.substr(0, line.find(' '));
  EXPECT_NE(address, socket.address());
  EXPECT_EQ(HttpClient(address).get("/healthz").status, 200);
  expect_stops(server);
}

TEST_F(ServeActivation, ServesWithoutAServiceManagerThatListens) {
  Process server =
      start("3<&-", "NOTIFY_SOCKET=" + (scratch_ / "nobody"), "--http-addr 127.0.0.1:0");
  const std::string line = server.wait_for_message("hatchery: serving http://");
  EXPECT_EQ(HttpClient(line.substr(0, line.find(' '))).get("/healthz").status, 200);
  server.kill(SIGTERM);
  const ProcessResult result = server.wait();
  EXPECT_EQ(result.status, 0);
  EXPECT_THAT(result.err, HasSubstr("NOTIFY_SOCKET"));
}

TEST_F(ServeActivation, WhatWasAnnouncedMustBeAListeningSocket) {
  const struct {
    const char* redirection;
    const char* count;
    const char* message;
  } cases[] = {{"3</dev/null", "1", "is no listening socket"},
               {"3<&-", "1", "not open"},
               {"3<&-", "many", "LISTEN_FDS=many"}};
  for (const auto& each : cases) {
    Process server = start(each.redirection, std::string("LISTEN_PID=$$ LISTEN_FDS=") + each.count);
    const ProcessResult result = server.wait();
    EXPECT_EQ(result.status, 249) << result.err;
    EXPECT_THAT(result.err, HasSubstr(each.message));
  }
}

}  // namespace
}  // namespace hatchery::testing
