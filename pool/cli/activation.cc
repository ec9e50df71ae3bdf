#include "pool/cli/activation.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "core/fd.h"

namespace hatchery::cli {
namespace {

/// SD_LISTEN_FDS_START of sd_listen_fds(3).
constexpr int kFirstSocket = 3;
/// Of a service with few addresses: more is a mistake, and the loop over them must end.
constexpr int kSocketsMax = 64;

std::optional<int> number_of(std::string_view text) {
  int number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) return std::nullopt;
  return number;
}

std::string take_variable(const char* name) {
  // NOLINTBEGIN(concurrency-mt-unsafe): before the first thread is made.
  const char* const value = std::getenv(name);
  std::string text = value == nullptr ? "" : value;
  ::unsetenv(name);
  // NOLINTEND(concurrency-mt-unsafe)
  return text;
}

Error bad_sockets(std::string object, int errnum, std::string detail) {
  return Error{.step = Step::kListen,
               .object = std::move(object),
               .errnum = errnum,
               .detail = std::move(detail),
               .remedy = "start hatchery by a .socket unit, or unset LISTEN_FDS"};
}

}  // namespace

Result<int> announced_sockets(std::string_view listen_pid, std::string_view listen_fds, int self) {
  if (number_of(listen_pid) != self) return 0;
  const std::optional<int> count = number_of(listen_fds);
  if (!count || *count < 0 || *count > kSocketsMax)
    return bad_sockets("LISTEN_FDS=" + std::string(listen_fds), 0,
                       "is no number of 0 to " + std::to_string(kSocketsMax));
  return *count;
}

std::optional<NotifyAddress> notify_address(std::string_view text) {
  NotifyAddress address;
  // A path has its final zero byte, which is there already; an abstract name has a first one.
  const bool abstract = text.starts_with('@');
  if ((!abstract && !text.starts_with('/')) || text.size() < 2) return std::nullopt;
  if (text.size() + (abstract ? 0 : 1) > sizeof address.name.sun_path) return std::nullopt;
  address.name.sun_family = AF_UNIX;
  std::memcpy(address.name.sun_path, text.data(), text.size());
  if (abstract) address.name.sun_path[0] = '\0';
  address.size =
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + text.size() + (abstract ? 0 : 1));
  return address;
}

Result<ServiceManager> ServiceManager::take() {
  ServiceManager manager;
  manager.notify_ = take_variable("NOTIFY_SOCKET");
  const std::string pid = take_variable("LISTEN_PID");
  const std::string fds = take_variable("LISTEN_FDS");
  static_cast<void>(take_variable("LISTEN_FDNAMES"));
  const Result<int> count = announced_sockets(pid, fds, ::getpid());
  if (!count) return count.error();
  for (int fd = kFirstSocket; fd < kFirstSocket + *count; ++fd) {
    if (::fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
      return bad_sockets("fd:" + std::to_string(fd), errno, "was announced, but is not open");
    manager.listen_.push_back("fd:" + std::to_string(fd));
  }
  return manager;
}

Result<void> ServiceManager::tell(std::string_view state) const {
  if (notify_.empty()) return {};
  const std::optional<NotifyAddress> address = notify_address(notify_);
  if (!address)
    return Error{.step = Step::kListen,
                 .object = "NOTIFY_SOCKET=" + notify_,
                 .detail = "is neither /path nor @name",
                 .remedy = "unset it, or start hatchery as a service of Type=simple"};
  const UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd.valid() || ::sendto(fd.get(), state.data(), state.size(), MSG_NOSIGNAL,
                              reinterpret_cast<const sockaddr*>(&address->name), address->size) < 0)
    return errno_error(Step::kListen, "NOTIFY_SOCKET=" + notify_, errno,
                       "whoever started hatchery must listen there");
  return {};
}

}  // namespace hatchery::cli
