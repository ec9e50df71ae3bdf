// What a service manager says to a service by its environment, and what it wants to hear: sockets
// that it opened (sd_listen_fds(3)) and our state (sd_notify(3)). Both are a few lines of a stable
// protocol: not worth libsystemd, which is no part of a container's image.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace hatchery::cli {

/// The number of sockets, at 3 and above, that LISTEN_PID and LISTEN_FDS announce to process
/// `self`. 0 when they are for somebody else, as those that a wrapper script's child inherits are.
/// Errors: LISTEN_FDS is no number, or more than a service can use.
Result<int> announced_sockets(std::string_view listen_pid, std::string_view listen_fds, int self);

struct NotifyAddress {
  sockaddr_un name = {};
  socklen_t size = 0;
};

/// Where NOTIFY_SOCKET leads: "/path", or "@name" for the abstract namespace (unix(7)). Absent:
/// anything else, "vsock:…" of a virtual machine among it.
std::optional<NotifyAddress> notify_address(std::string_view text);

/// Thread: the only one, since it changes the environment.
class ServiceManager {
 public:
  /// Takes the variables, so that no child can think they are meant for it, and makes the sockets
  /// close-on-exec: the manager leaves them open over exec.
  static Result<ServiceManager> take();

  /// "fd:3", "fd:4", … as HttpServerConfig::listen has them.
  const std::vector<std::string>& listen() const noexcept { return listen_; }
  /// "READY=1", "STOPPING=1". Nothing without NOTIFY_SOCKET.
  Result<void> tell(std::string_view state) const;

 private:
  ServiceManager() = default;
  std::vector<std::string> listen_ = {};
  std::string notify_ = {};
};

}  // namespace hatchery::cli
