// cgroups of v1, v2 and hybrid hosts behind one interface: find the hierarchies, make a pool's tree
// in them, and for each slot write limits and read figures; files that every job needs stay open.
//
//   v1  <mount>/<parent>/hatchery/<pool>/slot-N         zygote and worker: it inherits at birth
//   v2  <mount>/<parent>/hatchery/<pool>/slot-N/zygote  the zygote
//                                              /job     the worker, born there
//                                                       (CLONE_INTO_CGROUP)
//
// A hybrid host has both: controllers on v1, and on v2 the CPU time and the
// list of processes of the job alone. Runs in: pool. Thread: one at a time.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/cgroup_knob.h"
#include "core/fd.h"
#include "core/result.h"

namespace hatchery {

/// One mounted hierarchy. v1 hosts have several, each with its controllers.
struct CgroupHierarchy {
  std::string mount;   ///< Where it is mounted.
  std::string parent;  ///< Group below which pools live, "" for the root, else "/a/b".
  bool v2 = false;
  std::set<std::string> controllers;  ///< Those that groups below the parent can have.
};

/// Below a delegated group, for the processes that were in it: one that passes controllers on has
/// none of its own (cgroups(7), "no internal processes").
inline constexpr const char* kPoolsOwnGroup = "/hatchery-main";

struct CgroupHost {
  std::vector<CgroupHierarchy> hierarchies;

  /// Reads /proc/self/mountinfo and /proc/self/cgroup. `parent` as in PoolConfig::cgroup_parent.
  static Result<CgroupHost> find(const std::string& parent = {});

  /// The hierarchy that has the controller, or null.
  const CgroupHierarchy* with(const std::string& controller) const noexcept;
  const CgroupHierarchy* v2() const noexcept;
  bool has(const std::string& controller) const noexcept { return with(controller) != nullptr; }
  /// "cgroup v1", "cgroup v1+v2" or "cgroup v2"; "no cgroup: …" of one without hierarchies.
  std::string name() const;
};

/// v1 counts the buffers of TCP and UDP sockets apart from all other memory: at most this much, or
/// the job's memory limit if that is less, on top of the limit; beyond it the kernel still grants
/// each socket its minimum, a few pages. It is in the peak. v2 has one count and one limit.
inline constexpr std::uint64_t kSocketMemoryV1BytesMax = 16ULL << 20;
/// Whether groups of the hierarchy count bytes of I/O. v1 does only while a throttling policy is
/// active: then its root has a line for each device, else a total of 0 whatever is read or written.
bool counts_io(const CgroupHierarchy& hierarchy);

/// "MAJOR:MINOR", as io.max wants it, of the whole disk that has the path's file system, or that
/// the device at `path` is or is a part of. ENOTBLK where that is none: tmpfs, overlayfs, the
/// network.
Result<std::string> io_device(const std::string& path);

struct CgroupLimits {
  std::optional<std::uint64_t> memory_bytes = {};
  /// How much of what earlier jobs left in the group is on top of memory_bytes, at most.
  std::uint64_t memory_left_bytes_max = 0;
  bool may_swap = false;  ///< For tests only: what is beyond memory_bytes may go to swap.
  std::optional<std::uint64_t> memory_soft_bytes = {};
  std::optional<std::uint64_t> processes = {};
  std::optional<double> cpu_rate = {};
  std::optional<std::uint32_t> cpu_weight = {};
  std::optional<std::string> cpu_set = {};
};

/// What a job used since begin(). Absent: this host can't tell.
struct CgroupFigures {
  std::optional<std::uint64_t> cpu_ns = {};
  std::optional<std::uint64_t> cpu_user_ns = {};
  std::optional<std::uint64_t> cpu_system_ns = {};
  std::optional<std::uint64_t> memory_peak_bytes = {};
  std::optional<std::uint64_t> oom_kills = {};
  std::optional<std::uint64_t> process_peak = {};
  std::optional<std::uint64_t> process_limit_hits = {};
  std::optional<std::uint64_t> io_read_bytes = {};
  std::optional<std::uint64_t> io_write_bytes = {};
  std::optional<std::uint64_t> throttled_ns = {};
  /// Only after watch_pressure(): see there.
  std::optional<std::uint64_t> cpu_pressure_ns = {};
  std::optional<std::uint64_t> memory_pressure_ns = {};
  std::optional<std::uint64_t> io_pressure_ns = {};
};

/// Files of its groups that a slot keeps open, at most.
inline constexpr unsigned kCgroupFilesOfSlot = 16;

/// The groups of one slot. Destroying it does not remove them: remove() may block.
class SlotCgroup {
 public:
  /// Makes the groups; those that the zygote must be able to fork into on v2 belong to `owner_uid`.
  /// Files that every job needs stay open as far as `budget` lets them, which outlives the slot;
  /// null: only those that must, memory.peak where it is reset for each open file.
  static Result<SlotCgroup> create(const CgroupHost& host, const std::string& pool_name,
                                   std::uint32_t slot, std::uint32_t owner_uid,
                                   CgroupFileBudget* budget);

  /// Jobs that ask for no CPUs of their own run on this one. ENOTSUP without a cpuset controller.
  Result<void> pin(std::uint32_t cpu);
  /// `text` is a line of io.max: "MAJOR:MINOR rbps=… wbps=… riops=… wiops=…". For all jobs of the
  /// slot. ENOTSUP without the io controller on v2.
  Result<void> limit_io(const std::string& text);
  /// From now on figures have how long at least one of the job's tasks waited for a CPU, for memory
  /// to be reclaimed, for I/O ("some" of Documentation/accounting/psi.rst). Six more reads a job.
  /// Absent without a v2 group of the job alone, or with PSI off (psi=0).
  void watch_pressure();

  /// For the launcher, until close_launch_files(): v2 directories (−1 when there is no v2) and
  /// "tasks" of each v1 hierarchy.
  int zygote_dir_fd() const noexcept { return zygote_dir_.get(); }
  int job_dir_fd() const noexcept { return job_dir_.get(); }
  const std::vector<UniqueFd>& v1_tasks() const noexcept { return v1_tasks_; }
  void close_launch_files() noexcept;

  /// After the first worker has parked: what the slot itself uses on v1 is no job's.
  void set_idle_baseline();
  /// What the group holds beyond that: page cache of host files and kernel objects that earlier
  /// jobs left. While no job runs. 0 where the host can't tell.
  std::uint64_t leftover_bytes() const;
  /// Has the kernel give it back; returns what it could not. Blocks for milliseconds.
  std::uint64_t reclaim_leftover();
  /// Writes what changed. ENOTSUP names the controller that a limit needs and this host lacks.
  Result<void> apply(const CgroupLimits& limits);
  /// Resets the peaks and takes the counters that figures are relative to.
  void begin();
  /// CPU time since begin(). The kernel adds a running task's share at ticks only (4 ms at 250 Hz,
  /// and for each CPU); `exact` makes it do so now, at the cost of a system call a process.
  std::optional<std::uint64_t> cpu_ns(bool exact = false) const;
  /// Whether cpu_ns() is without what the zygote does meanwhile.
  bool has_job_cpu_time() const noexcept { return cpu_stat_v2_; }
  /// Since begin(). Once a job.
  CgroupFigures figures();
  /// Sends SIGKILL to every process of the job, where there is a v2 group of the job alone. False:
  /// not here. Only while the slot has a running job: a parked worker would die too. A process that
  /// is being forked may get away: the zygote's kill(-1) ends it. Not by cgroup.kill: since 6.14,
  /// and in stable kernels that took the fix of its race with fork, CLONE_INTO_CGROUP compares the
  /// kills of the child's group with those of its parent's, so that every later child in a group
  /// that was killed once dies at birth, and each killed job would cost its slot.
  bool kill_job();
  /// Of the job, as far as the host can tell them from the slot's own.
  std::vector<pid_t> processes() const { return cpu_procs_.read_pids(); }
  /// After a job that came near its memory limit: room for the zygote's own work.
  void lift_memory_limit();

  /// Whether figures of another job would be wrong in the group of the last one: on v2 before Linux
  /// 6.12, which can't reset memory.peak. While no job runs.
  bool wants_new_job_group() const noexcept { return job_group_used_ && !memory_peak_resets_; }
  /// Makes it, for the next worker: job_dir_fd() is of the new one; the old one is emptied and
  /// removed. Blocks for milliseconds. After an error the slot can have no more jobs.
  Result<void> renew_job_group();

  /// Kills every process in the groups, zygote included, waits for them (at most `wait_ms`), and
  /// removes the groups.
  Result<void> remove(std::uint32_t wait_ms);

 private:
  struct CpuTimes {
    std::optional<std::uint64_t> total, user, system;
  };
  struct IoBytes {
    std::optional<std::uint64_t> read, write;
  };
  /// Counters that only a job moves: what they were at its end is where the next one starts.
  struct Counters {
    IoBytes io;
    std::optional<std::uint64_t> oom_kills, process_peak, process_limit_hits;
  };
  struct Pressure {
    std::optional<std::uint64_t> cpu, memory, io;
  };
  CpuTimes cpu_times() const;
  IoBytes io_bytes() const;
  Counters counters() const;
  Pressure pressure() const;
  std::optional<std::uint64_t> oom_kills() const;
  std::optional<std::uint64_t> throttled_ns() const;
  void open_knobs_v1(const CgroupHierarchy& hierarchy, const std::string& directory);
  void open_knobs_v2(const CgroupHierarchy& hierarchy, const std::string& directory);
  Result<void> open_job_group(const std::string& path);
  CgroupKnob each_job(const std::string& directory, const char* name, int flags) const;
  Result<void> apply_memory(const CgroupLimits& limits);
  Result<void> apply_cpu_set(const std::optional<std::string>& asked);
  std::optional<std::uint64_t> memory_peak() const;
  std::optional<std::uint64_t> memory_of_others();
  std::uint64_t memory_left(std::uint64_t bytes_max) const;

  std::vector<std::string> directories_;  // Children before parents.
  CgroupHierarchy v2_;                    // That of job_path_.
  std::string job_path_;                  // "" where the host has no v2.
  std::uint32_t owner_uid_ = 0;           // May fork into it.
  CgroupFileBudget* file_budget_ = nullptr;
  std::vector<UniqueFd> v1_tasks_;
  UniqueFd zygote_dir_;
  UniqueFd job_dir_;

  bool memory_v2_ = false, pids_v2_ = false, cpu_v2_ = false, cpu_stat_v2_ = false, io_v2_ = false;
  CgroupKnob memory_max_, memory_swap_max_, memory_soft_, memory_peak_, memory_usage_,
      memory_events_, memory_reclaim_, memory_kernel_;
  CgroupKnob socket_memory_max_, socket_memory_peak_, socket_memory_usage_;  // v1: counted apart.
  CgroupKnob pids_max_, pids_peak_, pids_events_;
  CgroupKnob cpu_quota_, cpu_period_, cpu_weight_, cpu_throttle_stat_;
  CgroupKnob cpu_stat_, cpu_user_, cpu_system_, cpu_procs_;
  CgroupKnob job_procs_;
  CgroupKnob cpu_set_, cpu_set_of_parent_;
  std::string cpu_set_default_;  // "": what the parent has.
  bool cpu_set_narrowed_ = false;
  CgroupKnob io_stat_;
  CgroupKnob cpu_pressure_, memory_pressure_, io_pressure_;
  bool watches_pressure_ = false;

  std::uint64_t idle_memory_bytes_ = 0;  // v1: zygote and parked worker.
  std::uint64_t idle_processes_ = 0;     // v1: the zygote.
  std::uint64_t idle_usage_bytes_ = 0;   // Of the group that jobs are in, a worker parked.
  CpuTimes cpu_before_;
  Pressure pressure_before_;
  std::optional<std::uint64_t> memory_before_;
  std::optional<std::uint64_t> memory_kernel_before_;
  std::uint64_t socket_memory_before_ = 0;
  std::optional<Counters> counters_before_;
  std::optional<std::uint64_t> throttled_before_;
  bool memory_peak_resets_ = false;
  bool job_group_used_ = false;  // v2: a job has begun in it.
  bool has_own_peak_ = false;    // The job that runs.
  bool has_cpu_rate_ = false;    // The job that is placed, or runs.
};

/// Makes the groups of a pool and locks them (flock(2)) for as long as the result lives, so that
/// none of them is taken for a dead pool's, whatever state directory or network namespace it has.
/// EBUSY, after 5 s: another has the lock.
Result<std::vector<UniqueFd>> lock_pool_cgroups(const CgroupHost& host,
                                                const std::string& pool_name);

/// remove_pool_cgroups(), unless somebody has a lock on one of them. True when there was something
/// of a dead pool.
Result<bool> remove_dead_pool_cgroups(const CgroupHost& host, const std::string& pool_name);

/// Removes what pool `pool_name` left: kills all in its groups and removes them. True when there
/// was something.
Result<bool> remove_pool_cgroups(const CgroupHost& host, const std::string& pool_name);

/// Names of the pools that have groups on this host.
std::vector<std::string> pool_cgroups(const CgroupHost& host);

}  // namespace hatchery
