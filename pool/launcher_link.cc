#include "pool/launcher_link.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <utility>

#include "workers/raw.h"

#ifndef HATCHERY_ZYGOTE_INSTALL_PATH
#define HATCHERY_ZYGOTE_INSTALL_PATH "/usr/local/libexec/hatchery/hatchery-zygote"
#endif
#ifndef HATCHERY_ZYGOTE_FROM_BIN
#define HATCHERY_ZYGOTE_FROM_BIN "../libexec/hatchery"
#endif

namespace hatchery {
namespace {
constexpr int kLauncherSocketFd = 3;
}

Result<LauncherLink> LauncherLink::start(const std::string& zygote_path) {
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
    return errno_error(Step::kStartLauncher, zygote_path, errno);
  LauncherLink link;
  link.socket_ = UniqueFd(pair[0]);
  // dup2 onto itself would keep close-on-exec: a number that is certainly another.
  const UniqueFd low(pair[1]);
  const UniqueFd theirs(::fcntl(low.get(), F_DUPFD_CLOEXEC, kLauncherSocketFd + 1));
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDWR, 0);
  ::posix_spawn_file_actions_adddup2(&actions, 0, 1);
  ::posix_spawn_file_actions_adddup2(&actions, theirs.get(), kLauncherSocketFd);
  ::posix_spawn_file_actions_addclosefrom_np(&actions, kLauncherSocketFd + 1);
  char name[] = "hatchery-launcher";
  char* const argv[] = {name, nullptr};
  char* const envp[] = {nullptr};
  const int result = ::posix_spawn(&link.pid_, zygote_path.c_str(), &actions, nullptr, argv, envp);
  ::posix_spawn_file_actions_destroy(&actions);
  if (result != 0) {
    link.pid_ = -1;
    return errno_error(Step::kStartLauncher, zygote_path, result,
                       "install hatchery-zygote, or set zygote_path");
  }
  return link;
}

LauncherLink::LauncherLink(LauncherLink&& other) noexcept
    : socket_(std::move(other.socket_)), pid_(std::exchange(other.pid_, -1)) {}

LauncherLink& LauncherLink::operator=(LauncherLink&& other) noexcept {
  if (this != &other) {
    stop();
    socket_ = std::move(other.socket_);
    pid_ = std::exchange(other.pid_, -1);
  }
  return *this;
}

LauncherLink::~LauncherLink() { stop(); }

void LauncherLink::stop() noexcept {
  socket_.reset();
  if (pid_ <= 0) return;
  // Our own unreaped child: the number can't be anybody else's.
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
}

void LauncherLink::prepare(int plan_fd) {
  const protocol::PrepareSlot message;
  static_cast<void>(raw::send_message(socket_.get(), &message, sizeof message, &plan_fd, 1));
}

Result<void> LauncherLink::send(const protocol::StartSlot& message, const std::vector<int>& fds) {
  if (raw::send_message(socket_.get(), &message, sizeof message, fds.data(), fds.size()) < 0)
    return errno_error(Step::kSendMessage, "to the launcher", errno);
  return {};
}

Result<std::string> find_zygote(const std::string& configured) {
  if (!configured.empty()) {
    if (::access(configured.c_str(), X_OK) == 0) return configured;
    return errno_error(Step::kFindZygote, configured, errno, "correct zygote_path");
  }
  char self[PATH_MAX];
  const ssize_t size = ::readlink("/proc/self/exe", self, sizeof self);
  std::string directory(self, size > 0 ? static_cast<std::size_t>(size) : 0);
  directory.resize(directory.rfind('/') + 1);
  // Built; installed, wherever the prefix is by now; installed where it was configured for.
  const std::string places[] = {directory + "hatchery-zygote",
                                directory + HATCHERY_ZYGOTE_FROM_BIN "/hatchery-zygote",
                                HATCHERY_ZYGOTE_INSTALL_PATH};
  for (const std::string& path : places)
    if (::access(path.c_str(), X_OK) == 0) return path;
  return Error{.step = Step::kFindZygote,
               .errnum = ENOENT,
               .detail = "it is neither " + places[0] + " nor " + places[1] + " nor " + places[2],
               .remedy = "install Hatchery, or set zygote_path"};
}

}  // namespace hatchery
