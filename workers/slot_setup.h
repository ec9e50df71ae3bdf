// Slot setup: the zygote, as root of its new user namespace, builds the world that all jobs of the
// slot see. Walks the mount operations of the slot plan. Runs in: launcher (bind sources), zygote.
// Thread: the only one.
#pragma once

#include <linux/filter.h>
#include <sys/stat.h>

#include "workers/plan_check.h"
#include "workers/protocol.h"

namespace hatchery {

using plan_check::kMountsMax;

/// All that can show on a tmpfs that someone used it: its root directory, and the number its next
/// inode gets.
struct TmpfsState {
  struct stat root = {};
  ino_t next_inode = 0;
};
inline constexpr int kTmpfsCount = 3;
using TmpfsStates = TmpfsState[kTmpfsCount];

/// The slot plan as mapped, the faults to inject, and the detached mounts that the launcher opened.
struct SlotSetup {
  const protocol::SlotPlan* plan = nullptr;
  std::uint32_t fault_step = 0;
  std::int32_t fault_errnum = 0;
  /// One for each mount operation: a detached mount, or −1.
  int bind_fds[kMountsMax];
  /// Of the operator's root_directory, likewise.
  int root_fd = -1;
  /// ns_last_pid of the slot's pid namespace, open for writing; opened by build_slot() before
  /// /proc/sys becomes read-only.
  int last_pid_fd = -1;
  /// What is shown in place of masked files, and of directories; −1 until one is masked.
  int cover_fds[2] = {-1, -1};
  int proc_fd = -1;  ///< Of a writable /proc that has no path, for zygote and worker.
  /// SELinux context of the job's files, "" for none.
  char file_context[protocol::kLabelBytes] = {};

  const char* text(std::uint32_t offset) const noexcept {
    return reinterpret_cast<const char*>(plan) + offset;
  }
  const protocol::MountOp* mounts() const noexcept {
    return reinterpret_cast<const protocol::MountOp*>(text(plan->mounts));
  }
  const sock_filter* zygote_filter() const noexcept {
    return reinterpret_cast<const sock_filter*>(text(plan->filters));
  }
  const sock_filter* worker_filter() const noexcept {
    return zygote_filter() + plan->zygote_filter_count;
  }
  bool without(protocol::Protection protection) const noexcept {
    return (plan->without & protection) != 0;
  }
  /// True, with errno set, when a test asked for this step to fail.
  bool injected(Step step) const noexcept;
};

/// Opens the bind sources as detached mounts with the launcher's rights, so that a source below a
/// directory that only root may enter works. EPERM (no privilege) is left for the zygote to try.
protocol::Failure open_bind_sources(SlotSetup& setup) noexcept;

/// Everything from private mounts to pivot_root and lo; `failure.step` is kNone when all is done.
protocol::Failure build_slot(SlotSetup& setup) noexcept;

/// The first of /dev/shm, /tmp and /w that somebody touched since `states`, kTmpfsCount when none.
/// Once a job.
int first_touched_tmpfs(TmpfsStates& states) noexcept;

/// Fresh ones from `from` on; `first` when none is mounted there yet. One that nobody touched is
/// fresh still and stays, unless it comes after one that somebody did: /proc/self/mountinfo has
/// them in the order they were mounted in, and would tell which one the last job wrote to. An
/// unmount costs an RCU grace period. `states` is what they look like then.
protocol::Failure renew_tmpfs(const SlotSetup& setup, TmpfsStates& states, int from,
                              bool first) noexcept;

/// lo up in the current network namespace.
int bring_loopback_up() noexcept;

}  // namespace hatchery
