// The IPC namespace of a slot, and whether a job made anything in it. A namespace for each job
// costs its clone3 50 µs and a kernel worker 25 more (a superblock for message queues, three sysctl
// tables), and most jobs make no IPC object. Runs in: zygote. Thread: the only one.
#pragma once

#include "workers/protocol.h"

namespace hatchery {

class IpcNamespace {
 public:
  /// The caller's own from now on, with all that is in the old one gone; marked for is_untouched()
  /// where `marked`, and the kernel lets it. Negative, with errno, where there can be none.
  /// `proc_fd` is of a writable /proc.
  int renew(int proc_fd, bool marked) noexcept;
  /// Whether is_untouched() can tell: else each worker needs a namespace of its own. It takes what
  /// CONFIG_CHECKPOINT_RESTORE brings, for namespaces of one's own since Linux 5.19.
  bool can_tell() const noexcept { return queues_fd_ >= 0; }
  /// True when nobody made a System V object or POSIX queue since renew(), not even one that is
  /// gone again: its number would show.
  bool is_untouched() const noexcept;

 private:
  static constexpr int kKinds = 3;
  bool mark(int proc_fd) noexcept;
  void forget() noexcept;

  /// What the next semaphore set, shared memory segment and message queue of System V are to have
  /// for a number: the kernel's to forget when it has given it (proc_sys_kernel(5)).
  int next_id_fds_[kKinds] = {-1, -1, -1};
  /// The directory of the POSIX queues, mounted nowhere.
  int queues_fd_ = -1;
};

}  // namespace hatchery
