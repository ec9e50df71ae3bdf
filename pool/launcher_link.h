// LauncherLink: the pool's end of the launcher process. Runs in: pool. Thread: the loop's, which is
// the launcher's parent: it dies with that thread (PR_SET_PDEATHSIG).
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "core/fd.h"
#include "core/result.h"
#include "workers/protocol.h"

namespace hatchery {

class LauncherLink {
 public:
  /// Starts the executable at `zygote_path`.
  static Result<LauncherLink> start(const std::string& zygote_path);
  LauncherLink() = default;
  LauncherLink(LauncherLink&& other) noexcept;
  LauncherLink& operator=(LauncherLink&& other) noexcept;
  /// Ends and reaps it; every zygote it started dies with it.
  ~LauncherLink();

  /// Has it open what a slot with this plan binds, meanwhile. An error shows with send().
  void prepare(int plan_fd);
  Result<void> send(const protocol::StartSlot& message, const std::vector<int>& fds);
  int socket_fd() const noexcept { return socket_.get(); }

 private:
  void stop() noexcept;
  UniqueFd socket_;
  pid_t pid_ = -1;
};

/// PoolConfig::zygote_path, or hatchery-zygote beside the running program, or where it is
/// installed.
Result<std::string> find_zygote(const std::string& configured);

}  // namespace hatchery
