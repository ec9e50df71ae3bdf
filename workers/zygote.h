// The zygote: PID 1 of a slot's pid namespace and root of its user namespace. It builds the slot,
// then for each job: resets, forks a worker, reaps, kills what is left, reports. Runs in: zygote.
#pragma once

#include "workers/slot_setup.h"

namespace hatchery {

struct ZygoteContext {
  SlotSetup setup;
  /// To the pool.
  int socket_fd = -1;
  /// The job's v2 cgroup, for CLONE_INTO_CGROUP; −1 on a host without v2: then the worker inherits
  /// the zygote's v1 groups at birth.
  int job_cgroup_fd = -1;
  int home_cpu = -1;  ///< protocol::StartSlot
  /// End of file: the launcher has mapped ids, one byte says that it succeeded.
  int go_fd = -1;
  /// How joining the v1 groups went, before anything else.
  protocol::Failure joined;
};

/// Never returns: exits when the pool closes the socket, or after a SetupFailed.
[[noreturn]] void run_zygote(ZygoteContext& context) noexcept;

}  // namespace hatchery
