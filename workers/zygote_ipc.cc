#include "workers/zygote_ipc.h"

#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>

#include "workers/raw.h"

namespace hatchery {
namespace {

constexpr const char* kNextIds[] = {"sys/kernel/sem_next_id", "sys/kernel/shm_next_id",
                                    "sys/kernel/msg_next_id"};
/// What a new namespace begins with, too.
constexpr char kFirstId = '0';
/// No clock tells it: a queue may be made in the very tick of its namespace.
constexpr time_t kNeverSeconds = -1;

/// One object of each kind, which goes again. The numbers after one that was asked for go on from
/// the last that was not: so a job's second object of a kind has the number 1, even if its first is
/// gone, as in any new namespace.
bool move_numbers() noexcept {
  const int sem = ::semget(IPC_PRIVATE, 1, 0);
  const int shm = ::shmget(IPC_PRIVATE, 1, 0);
  const int msg = ::msgget(IPC_PRIVATE, 0);
  return ::semctl(sem, 0, IPC_RMID) == 0 && ::shmctl(shm, IPC_RMID, nullptr) == 0 &&
         ::msgctl(msg, IPC_RMID, nullptr) == 0;
}

/// The namespace's own, in which every queue is a file.
int mount_queues() noexcept {
  const int context_fd = ::fsopen("mqueue", FSOPEN_CLOEXEC);
  if (context_fd < 0) return -1;
  const int mount_fd = ::fsconfig(context_fd, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) == 0
                           ? ::fsmount(context_fd, FSMOUNT_CLOEXEC, 0)
                           : -1;
  ::close(context_fd);
  return mount_fd < 0 ? -1 : raw::move_up(mount_fd, protocol::kPrivateFdBase);
}

}  // namespace

void IpcNamespace::forget() noexcept {
  for (int* fd : {&next_id_fds_[0], &next_id_fds_[1], &next_id_fds_[2], &queues_fd_}) {
    if (*fd >= 0) ::close(*fd);
    *fd = -1;
  }
}

bool IpcNamespace::mark(int proc_fd) noexcept {
  if (!move_numbers()) return false;
  for (int kind = 0; kind < kKinds; ++kind) {
    const int fd = ::openat(proc_fd, kNextIds[kind], O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return false;
    next_id_fds_[kind] = raw::move_up(fd, protocol::kPrivateFdBase);
    if (::pwrite(next_id_fds_[kind], &kFirstId, 1, 0) != 1) return false;
  }
  queues_fd_ = mount_queues();
  static constexpr timespec kNever[2] = {{kNeverSeconds, 0}, {kNeverSeconds, 0}};
  return queues_fd_ >= 0 && ::utimensat(queues_fd_, "", kNever, AT_EMPTY_PATH) == 0;
}

int IpcNamespace::renew(int proc_fd, bool marked) noexcept {
  forget();
  if (::unshare(CLONE_NEWIPC) < 0) return -1;
  if (!marked || !mark(proc_fd) || !is_untouched()) forget();
  return 0;
}

bool IpcNamespace::is_untouched() const noexcept {
  for (const int fd : next_id_fds_) {
    char text[2];
    if (::pread(fd, text, sizeof text, 0) != sizeof text || text[0] != kFirstId || text[1] != '\n')
      return false;
  }
  struct stat queues {};
  return ::fstat(queues_fd_, &queues) == 0 && queues.st_mtim.tv_sec == kNeverSeconds;
}

}  // namespace hatchery
