// The worker: born by the zygote's clone3, it gives up every privilege, parks until a job's plan
// comes, and becomes the job. Post-fork code: it allocates nothing, locks nothing, throws nothing.
// Runs in: worker. Thread: the only one.
#pragma once

#include <linux/filter.h>

#include <cstdint>

#include "workers/protocol.h"

namespace hatchery {

/// What the worker walks; all of it made by the zygote before its first clone, which stays its
/// owner, and the same for all workers: a page that the zygote writes between two is copied.
struct WorkerContext {
  // Of the slot's plan, which a worker has no copy of, but where its filter is large.
  std::uint32_t without = 0;
  std::uint32_t filter_count = 0;  ///< 0: the zygote's is all.
  bool filter_listener = false;
  bool filter_late = false;
  const sock_filter* filter = nullptr;
  protocol::SharedPage* page = nullptr;
  /// Fault injection, 0 in production.
  std::uint32_t fault_step = 0;
  std::int32_t fault_errnum = 0;
  /// To the pool. Close-on-exec: no job ever has it.
  int socket_fd = -1;
  int proc_fd = -1;       ///< A writable /proc.
  bool labelled = false;  ///< Jobs come with an SELinux label.
  /// kInlinePlanBytes, zeroed; the plan is relocated in place.
  char* body = nullptr;
  // Here, where every worker has a page: that of constants it would fault in.
  char null_device[10] = "/dev/null";
  char root[2] = "/";
  char exec_label[22] = "thread-self/attr/exec";
  /// The job's CPUs, as sched_setaffinity(2) takes them; 0 bytes: those that the worker has.
  const char* cpus = nullptr;
  std::size_t cpus_size = 0;
};

/// Ends in execveat, or in _exit with the failure in the shared page.
[[noreturn]] void run_worker(const WorkerContext& context) noexcept;

}  // namespace hatchery
