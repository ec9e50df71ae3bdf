#include "pool/server/listen.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>
#include <optional>

namespace hatchery::server {
namespace {

constexpr int kBacklog = 4096;

Error listen_error(const std::string& address, int errnum) {
  const char* remedy = "";
  switch (errnum) {
    case EADDRINUSE:
      remedy = "something else listens there: stop it, or choose another address";
      break;
    case EADDRNOTAVAIL: remedy = "this host has no such address: choose one of `ip addr`"; break;
    case EACCES: remedy = "choose a port above 1023 or a directory that you may write to"; break;
    case ENOENT: remedy = "make the directory of the socket first"; break;
    default: break;
  }
  return errno_error(Step::kListen, address, errnum, remedy);
}

Error bad_address(const std::string& address, std::string detail) {
  return Error{.step = Step::kListen,
               .object = address,
               .detail = std::move(detail),
               .remedy = "give host:port, :port, unix:/path or fd:N"};
}

std::optional<int> number_of(std::string_view text, int max) {
  int number = -1;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size() || number < 0 ||
      number > max)
    return std::nullopt;
  return number;
}

Result<Listener> listen_tcp(const addrinfo& found, std::uint16_t port, const std::string& address) {
  UniqueFd fd(::socket(found.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return listen_error(address, errno);
  const int on = 1;
  const int off = 0;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_storage storage{};
  std::memcpy(&storage, found.ai_addr, found.ai_addrlen);
  if (found.ai_family == AF_INET6) {
    ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    reinterpret_cast<sockaddr_in6&>(storage).sin6_port = htons(port);
  } else {
    reinterpret_cast<sockaddr_in&>(storage).sin_port = htons(port);
  }
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&storage), found.ai_addrlen) < 0 ||
      ::listen(fd.get(), kBacklog) < 0)
    return listen_error(address, errno);
  Listener listener{.fd = std::move(fd), .address = {}};
  listener.address = address_text(listener.fd.get(), false);
  return listener;
}

std::uint16_t port_of(int fd) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &size);
  return ntohs(storage.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(storage).sin6_port
                                             : reinterpret_cast<sockaddr_in&>(storage).sin_port);
}

Result<std::vector<Listener>> listen_tcp(const std::string& address) {
  const std::size_t colon = address.rfind(':');
  if (colon == std::string::npos) return bad_address(address, "has no port");
  std::string host = address.substr(0, colon);
  const std::optional<int> port = number_of(std::string_view(address).substr(colon + 1), 65'535);
  if (!port) return bad_address(address, "has no port of 0 to 65535");
  if (host.size() > 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  // Every address: "::" takes IPv4 too.
  const char* name = host.empty() ? nullptr : host.c_str();
  if (const int failed = ::getaddrinfo(name, "0", &hints, &found); failed != 0)
    return Error{.step = Step::kListen,
                 .object = address,
                 .detail = std::string("the host is not known: ") + ::gai_strerror(failed),
                 .remedy = "give an address of this host, or localhost"};
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> all(found, &::freeaddrinfo);
  std::vector<Listener> listeners;
  std::optional<Error> first_error;
  std::uint16_t chosen = static_cast<std::uint16_t>(*port);
  const auto try_family = [&](int family) {
    for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
      if (one->ai_family != family) continue;
      Result<Listener> listener = listen_tcp(*one, chosen, address);
      if (listener) {
        chosen = port_of(listener->fd.get());
        listeners.push_back(*std::move(listener));
      } else if (!first_error || listener.error().errnum == EADDRINUSE) {
        first_error = listener.error();
      }
    }
  };
  if (host.empty()) {
    try_family(AF_INET6);
    if (listeners.empty()) try_family(AF_INET);
  } else {
    try_family(AF_INET);
    try_family(AF_INET6);
  }
  // A host without IPv6 still has its other address; one that is taken is an error.
  if (listeners.empty() || (first_error && first_error->errnum == EADDRINUSE))
    return first_error.value_or(listen_error(address, EADDRNOTAVAIL));
  return listeners;
}

/// Whether somebody answers at a socket's path; else it is what a killed server left.
bool is_alive(const sockaddr_un& name) {
  const UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  return ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0 ||
         errno == EAGAIN;
}

Result<Listener> listen_unix(const std::string& address, const std::string& path) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof name.sun_path)
    return bad_address(address, "has a path of no or more than 107 bytes");
  std::memcpy(name.sun_path, path.c_str(), path.size() + 1);
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return listen_error(address, errno);
  struct stat status {};
  if (::lstat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode) && !is_alive(name))
    ::unlink(path.c_str());
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) < 0 ||
      ::listen(fd.get(), kBacklog) < 0)
    return listen_error(address, errno);
  return Listener{.fd = std::move(fd), .address = "unix:" + path, .unix_path = path};
}

Result<Listener> inherit(const std::string& address, std::string_view number) {
  const std::optional<int> fd = number_of(number, 1 << 20);
  int listens = 0;
  socklen_t size = sizeof listens;
  if (!fd || ::getsockopt(*fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) < 0 || listens == 0)
    return bad_address(address, "is no listening socket that this process has inherited");
  Listener listener{.fd = UniqueFd(::fcntl(*fd, F_DUPFD_CLOEXEC, 3)), .address = {}};
  if (!listener.fd.valid()) return listen_error(address, errno);
  UniqueFd inherited(*fd);  // Its number is somebody else's from here on.
  inherited.reset();
  ::fcntl(listener.fd.get(), F_SETFL, O_NONBLOCK);
  listener.address = address_text(listener.fd.get(), false);
  return listener;
}

}  // namespace

std::string address_text(int fd, bool of_peer) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  auto* const name = reinterpret_cast<sockaddr*>(&storage);
  if ((of_peer ? ::getpeername(fd, name, &size) : ::getsockname(fd, name, &size)) < 0) return "?";
  if (storage.ss_family == AF_UNIX) return "unix";
  char host[NI_MAXHOST];
  char port[NI_MAXSERV];
  if (::getnameinfo(name, size, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
    return "?";
  const bool v6 = std::strchr(host, ':') != nullptr;
  return (v6 ? "[" + std::string(host) + "]" : std::string(host)) + ":" + port;
}

Result<std::vector<Listener>> listen_on(const std::string& address) {
  std::vector<Listener> listeners;
  Result<Listener> one = Listener();
  if (address.starts_with("unix:"))
    one = listen_unix(address, address.substr(5));
  else if (address.starts_with("fd:"))
    one = inherit(address, std::string_view(address).substr(3));
  else
    return listen_tcp(address);
  if (!one) return std::move(one).error();
  listeners.push_back(*std::move(one));
  return listeners;
}

}  // namespace hatchery::server
