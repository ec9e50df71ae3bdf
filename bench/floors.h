// The floors: a program without any sandbox, by the fastest means of the kernel and of libc; and
// with a little of one.
#pragma once

#include "bench/way.h"

namespace hatchery::bench {

/// The one that figures are compared with.
inline constexpr const char* kFloor = "posix_spawn";
/// What of the pool's protections must be done anew for each job, and nothing else of a pool: no
/// change of ids or root, no limits, no queue, no look at what is left, no figures, no report. A
/// pool can do some of it before the job comes, which saves latency but no CPU time. Needs root.
inline constexpr const char* kFencedServer = "fenced_server";

/// The same in the control groups of a slot, with limits, whose figures are read for each job.
/// Nothing is looked for that a job has left; ids, capabilities and mounts are the server's.
inline constexpr const char* kAccountedServer = "accounted_server";

/// `cgroup_parent` as in PoolConfig.
std::vector<Way> floors(const std::string& cgroup_parent);

/// vfork and exec, where the child calls `before_exec` first, in its parent's memory; what it
/// returns, when not 0, is the child's exit status instead of an exec.
std::unique_ptr<Runner> make_vfork_runner(const Program& program, unsigned in_flight,
                                          std::function<int()> before_exec = {});

}  // namespace hatchery::bench
