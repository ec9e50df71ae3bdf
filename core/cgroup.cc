// One slot's groups: making them, limits.
#include "core/cgroup.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <sstream>

#include "core/files.h"
#include "core/process.h"

namespace hatchery {

Result<void> remove_cgroup_tree(const std::string& directory, std::uint32_t wait_ms);

namespace {

constexpr std::uint64_t kCpuPeriodUs = 100'000;

Result<void> make_group(const std::string& path) {
  if (::mkdir(path.c_str(), 0755) == 0 || errno == EEXIST) return {};
  return errno_error(Step::kCreateCgroup, path, errno,
                     errno == EACCES || errno == EPERM || errno == EROFS
                         ? "run as root, or in a unit with Delegate=yes, or set cgroup_parent, or "
                           "cgroup = \"none\" where weaker limits do"
                         : "");
}

Result<void> write_text(const std::string& path, const std::string& text) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd.valid() || ::write(fd.get(), text.data(), text.size()) < 0)
    return errno_error(Step::kWriteCgroup, path, errno);
  return {};
}

/// Enables the controllers for the children of `group`; those that can't be had show up as missing
/// files.
void enable_controllers(const std::string& group, const std::set<std::string>& controllers) {
  for (const char* name : {"memory", "pids", "cpu", "cpuset", "io"})
    if (controllers.contains(name))
      static_cast<void>(
          write_text(group + "/cgroup.subtree_control", std::string("+") + name).has_value());
}

/// A group in which processes live can't pass controllers on (cgroups(7), "no internal processes"):
/// they move to a child, all of them. Only ever the group that was delegated to the pool: a unit, a
/// scope, a container.
Result<void> vacate(const std::string& group) {
  constexpr int kRoundsMax = 100;  // A process that forks meanwhile leaves a child behind.
  const std::string self = std::to_string(::getpid()) + '\n';
  for (int round = 0; round < kRoundsMax; ++round) {
    const Result<std::string> procs = read_whole_file(group + "/cgroup.procs");
    if (!procs || procs->empty()) return {};
    // Strangers' are not ours to move.
    if (round == 0 && ('\n' + *procs).find('\n' + self) == std::string::npos)
      return errno_error(Step::kCreateCgroup, group, EBUSY,
                         "choose a cgroup_parent without processes of its own");
    HATCHERY_TRY(make_group(group + kPoolsOwnGroup));
    std::istringstream pids(*procs);
    for (std::string pid; pids >> pid;) {
      Result<void> moved = write_text(group + kPoolsOwnGroup + "/cgroup.procs", pid);
      if (!moved && moved.error().errnum != ESRCH) return moved;
    }
  }
  return errno_error(Step::kCreateCgroup, group, EBUSY,
                     "stop what forks in it, or give the pool a group of its own");
}

/// Not the root of all: that one may have both processes and controllers, and no such file.
bool has_a_parent(const std::string& group) {
  return ::access((group + "/cgroup.type").c_str(), F_OK) == 0;
}

/// Makes <mount><parent>/hatchery/<pool>; on v2 with the controllers passed down all the way.
Result<std::string> make_pool_group(const CgroupHierarchy& hierarchy,
                                    const std::string& pool_name) {
  const std::string parent = hierarchy.mount + hierarchy.parent;
  const std::string all = parent + "/hatchery";
  const std::string own = all + "/" + pool_name;
  if (hierarchy.v2 && !hierarchy.controllers.empty() && has_a_parent(parent))
    HATCHERY_TRY(vacate(parent));
  HATCHERY_TRY(make_group(all));
  HATCHERY_TRY(make_group(own));
  if (hierarchy.v2)
    for (const std::string& group : {parent, all, own})
      enable_controllers(group, hierarchy.controllers);
  return own;
}

Result<UniqueFd> lock_pool_group(const CgroupHierarchy& hierarchy, const std::string& pool_name) {
  constexpr int kTriesMax = 5'000;  // A millisecond each: somebody removes what had no lock yet.
  for (int tries = 0; tries < kTriesMax; ++tries) {
    const Result<std::string> path = make_pool_group(hierarchy, pool_name);
    if (!path) return path.error();
    UniqueFd group(::open(path->c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    struct stat locked {};
    struct stat there {};
    if (group.valid() && ::flock(group.get(), LOCK_EX | LOCK_NB) == 0 &&
        ::fstat(group.get(), &locked) == 0 && ::stat(path->c_str(), &there) == 0 &&
        locked.st_ino == there.st_ino)
      return group;
    ::poll(nullptr, 0, 1);
  }
  return errno_error(
      Step::kLockPool, hierarchy.mount + hierarchy.parent + "/hatchery/" + pool_name, EBUSY,
      "a running pool with another state directory has this name: stop it, or choose "
      "another `name`");
}

/// What few jobs change or need.
CgroupKnob seldom(const std::string& directory, const char* name, int flags) {
  return {directory + "/" + name, flags, nullptr};
}

Result<void> give_procs(const std::string& group, std::uint32_t uid) {
  const std::string path = group + "/cgroup.procs";
  if (::chown(path.c_str(), uid, uid) < 0) return errno_error(Step::kCreateCgroup, path, errno);
  return {};
}

/// A v1 cpuset has no CPUs until it is told; nobody can join it before.
Result<void> inherit_cpuset(const std::string& parent, const std::string& group) {
  for (const char* name : {"/cpuset.cpus", "/cpuset.mems"}) {
    const Result<std::string> own = read_whole_file(group + name);
    if (own && own->find_first_not_of(" \n") != std::string::npos) continue;
    Result<std::string> inherited = read_whole_file(parent + name);
    if (!inherited) return std::move(inherited).error();
    HATCHERY_TRY(write_text(group + name, *inherited));
  }
  return {};
}

Error lacks(const char* controller, const char* limit) {
  return Error{.step = Step::kValidateJob,
               .object = limit,
               .errnum = ENOTSUP,
               .detail = std::string("this host has no cgroup controller \"") + controller + "\"",
               .remedy = "leave the limit out, or see `hatchery doctor`"};
}

}  // namespace

Result<std::vector<UniqueFd>> lock_pool_cgroups(const CgroupHost& host,
                                                const std::string& pool_name) {
  std::vector<UniqueFd> locks;
  for (const CgroupHierarchy& hierarchy : host.hierarchies) {
    Result<UniqueFd> lock = lock_pool_group(hierarchy, pool_name);
    if (!lock) return std::move(lock).error();
    locks.push_back(*std::move(lock));
  }
  return locks;
}

Result<SlotCgroup> SlotCgroup::create(const CgroupHost& host, const std::string& pool_name,
                                      std::uint32_t slot, std::uint32_t owner_uid,
                                      CgroupFileBudget* budget) {
  SlotCgroup made;
  made.file_budget_ = budget;
  for (const CgroupHierarchy& hierarchy : host.hierarchies) {
    Result<std::string> pool_group = make_pool_group(hierarchy, pool_name);
    if (!pool_group) return std::move(pool_group).error();
    const std::string group = *pool_group + "/slot-" + std::to_string(slot);
    if (!hierarchy.v2 && hierarchy.controllers.contains("cpuset")) {
      const std::string all = hierarchy.mount + hierarchy.parent + "/hatchery";
      HATCHERY_TRY(inherit_cpuset(hierarchy.mount + hierarchy.parent, all));
      HATCHERY_TRY(inherit_cpuset(all, *pool_group));
    }
    HATCHERY_TRY(make_group(group));
    if (!hierarchy.v2 && hierarchy.controllers.contains("cpuset"))
      HATCHERY_TRY(inherit_cpuset(*pool_group, group));
    if (hierarchy.v2) {
      enable_controllers(group, hierarchy.controllers);
      HATCHERY_TRY(make_group(group + "/zygote"));
      made.directories_.push_back(group + "/zygote");
      // The zygote forks into the job's group: it needs to write cgroup.procs there and in the
      // common ancestor, and nothing else (clone(2), CLONE_INTO_CGROUP).
      made.owner_uid_ = owner_uid;
      HATCHERY_TRY(give_procs(group, owner_uid));
      made.v2_ = hierarchy;
      HATCHERY_TRY(made.open_job_group(group + "/job"));
      made.zygote_dir_ =
          UniqueFd(::open((group + "/zygote").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
      if (!made.zygote_dir_.valid()) return errno_error(Step::kCreateCgroup, group, errno);
    } else {
      UniqueFd tasks(::open((group + "/tasks").c_str(), O_WRONLY | O_CLOEXEC));
      if (!tasks.valid()) return errno_error(Step::kCreateCgroup, group, errno);
      made.v1_tasks_.push_back(std::move(tasks));
      made.open_knobs_v1(hierarchy, group);
    }
    made.directories_.push_back(group);
  }
  return made;
}

void SlotCgroup::close_launch_files() noexcept {
  v1_tasks_.clear();
  zygote_dir_.reset();
  job_dir_.reset();
}

CgroupKnob SlotCgroup::each_job(const std::string& directory, const char* name, int flags) const {
  return {directory + "/" + name, flags, file_budget_};
}

Result<void> SlotCgroup::open_job_group(const std::string& path) {
  HATCHERY_TRY(make_group(path));
  directories_.insert(directories_.begin(), path);
  job_path_ = path;
  HATCHERY_TRY(give_procs(path, owner_uid_));
  job_dir_ = UniqueFd(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!job_dir_.valid()) return errno_error(Step::kCreateCgroup, path, errno);
  open_knobs_v2(v2_, path);
  return {};
}

Result<void> SlotCgroup::renew_job_group() {
  // Page cache would keep the old group in memory, dead (Documentation/admin-guide/cgroup-v2.rst,
  // "Memory Ownership").
  reclaim_leftover();
  const std::string old = job_path_;
  const std::string_view other = old.ends_with("/job") ? "/job-2" : "/job";
  HATCHERY_TRY(open_job_group(old.substr(0, old.rfind('/')).append(other)));
  job_group_used_ = false;
  counters_before_.reset();
  cpu_set_narrowed_ = has_cpu_rate_ = false;
  // Its processes are dead and reaped.
  if (::rmdir(old.c_str()) < 0) return errno_error(Step::kRemoveCgroup, old, errno);
  std::erase(directories_, old);
  return {};
}

void SlotCgroup::open_knobs_v1(const CgroupHierarchy& hierarchy, const std::string& directory) {
  const std::set<std::string>& controllers = hierarchy.controllers;
  if (controllers.contains("memory")) {
    memory_max_ = seldom(directory, "memory.limit_in_bytes", O_RDWR);
    memory_swap_max_ = seldom(directory, "memory.memsw.limit_in_bytes", O_RDWR);
    memory_soft_ = seldom(directory, "memory.soft_limit_in_bytes", O_RDWR);
    memory_peak_ = each_job(directory, "memory.max_usage_in_bytes", O_RDWR);
    memory_usage_ = each_job(directory, "memory.usage_in_bytes", O_RDONLY);
    memory_events_ = each_job(directory, "memory.oom_control", O_RDONLY);
    memory_kernel_ = each_job(directory, "memory.kmem.usage_in_bytes", O_RDONLY);
    memory_reclaim_ = seldom(directory, "memory.force_empty", O_WRONLY);
    memory_peak_resets_ = true;
    // Off until a limit is written: only sockets made after that are charged
    // (Documentation/admin-guide/cgroup-v1/memory.rst, 2.7.1).
    socket_memory_max_ = seldom(directory, "memory.kmem.tcp.limit_in_bytes", O_RDWR);
    socket_memory_peak_ = each_job(directory, "memory.kmem.tcp.max_usage_in_bytes", O_RDWR);
    socket_memory_usage_ = each_job(directory, "memory.kmem.tcp.usage_in_bytes", O_RDONLY);
  }
  if (controllers.contains("pids")) {
    pids_max_ = seldom(directory, "pids.max", O_RDWR);
    pids_peak_ = each_job(directory, "pids.peak", O_RDONLY);
    pids_events_ = each_job(directory, "pids.events", O_RDONLY);
    idle_processes_ = 1;
  }
  if (controllers.contains("cpu")) {
    cpu_quota_ = seldom(directory, "cpu.cfs_quota_us", O_RDWR);
    cpu_period_ = seldom(directory, "cpu.cfs_period_us", O_RDWR);
    cpu_weight_ = seldom(directory, "cpu.shares", O_RDWR);
    cpu_throttle_stat_ = each_job(directory, "cpu.stat", O_RDONLY);
  }
  if (controllers.contains("cpuacct") && !cpu_stat_v2_) {
    cpu_stat_ = each_job(directory, "cpuacct.usage", O_RDONLY);
    cpu_user_ = each_job(directory, "cpuacct.usage_user", O_RDONLY);
    cpu_system_ = each_job(directory, "cpuacct.usage_sys", O_RDONLY);
    cpu_procs_ = seldom(directory, "cgroup.procs", O_RDONLY);
  }
  if (controllers.contains("cpuset")) {
    cpu_set_ = seldom(directory, "cpuset.cpus", O_RDWR);
    CgroupText text;
    cpu_set_default_ = cpu_set_.read(text);
  }
  if (controllers.contains("blkio") && counts_io(hierarchy))
    io_stat_ = each_job(directory, "blkio.throttle.io_service_bytes_recursive", O_RDONLY);
}

void SlotCgroup::open_knobs_v2(const CgroupHierarchy& hierarchy, const std::string& directory) {
  const std::set<std::string>& controllers = hierarchy.controllers;
  // cpu.stat's times need no controller: of the job alone, so better than cpuacct on a hybrid host.
  cpu_stat_ = each_job(directory, "cpu.stat", O_RDONLY);
  cpu_stat_v2_ = cpu_stat_.valid();
  job_procs_ = seldom(directory, "cgroup.procs", O_RDONLY);
  if (cpu_stat_v2_) cpu_procs_ = seldom(directory, "cgroup.procs", O_RDONLY);
  if (watches_pressure_) watch_pressure();
  if (controllers.contains("memory")) {
    memory_v2_ = true;
    memory_max_ = seldom(directory, "memory.max", O_RDWR);
    memory_swap_max_ = seldom(directory, "memory.swap.max", O_RDWR);
    memory_soft_ = seldom(directory, "memory.high", O_RDWR);
    // Kept, since a reset is the open file's own.
    memory_peak_ = CgroupKnob::kept(directory + "/memory.peak", O_RDWR);
    memory_peak_resets_ = memory_peak_.valid() && memory_peak_.write_again("0").has_value();
    if (!memory_peak_.valid()) memory_peak_ = each_job(directory, "memory.peak", O_RDONLY);
    memory_usage_ = each_job(directory, "memory.current", O_RDONLY);
    memory_reclaim_ = seldom(directory, "memory.reclaim", O_WRONLY);
    memory_events_ = each_job(directory, "memory.events", O_RDONLY);
    static_cast<void>(write_text(directory + "/memory.oom.group", "1").has_value());
  }
  if (controllers.contains("pids")) {
    pids_v2_ = true;
    pids_max_ = seldom(directory, "pids.max", O_RDWR);
    pids_peak_ = each_job(directory, "pids.peak", O_RDONLY);
    pids_events_ = each_job(directory, "pids.events", O_RDONLY);
  }
  if (controllers.contains("cpu")) {
    cpu_v2_ = true;
    cpu_quota_ = seldom(directory, "cpu.max", O_RDWR);
    cpu_weight_ = seldom(directory, "cpu.weight", O_RDWR);
    cpu_throttle_stat_ = each_job(directory, "cpu.stat", O_RDONLY);
  }
  if (controllers.contains("cpuset")) {
    cpu_set_ = seldom(directory, "cpuset.cpus", O_RDWR);
    // Empty, the parent's, until a job wants its own: a group with processes can't be made empty
    // again (ENOSPC), so the next job gets what the parent has then.
    cpu_set_of_parent_ = seldom(directory + "/..", "cpuset.cpus.effective", O_RDONLY);
  }
  if (controllers.contains("io")) {
    io_v2_ = true;
    io_stat_ = each_job(directory, "io.stat", O_RDONLY);
  }
}

Result<void> SlotCgroup::pin(std::uint32_t cpu) {
  if (!cpu_set_.valid()) return lacks("cpuset", "pin_slots");
  cpu_set_default_ = std::to_string(cpu);
  return cpu_set_.write(cpu_set_default_);
}

Result<void> SlotCgroup::limit_io(const std::string& text) {
  if (!io_v2_) return lacks("io", "io_max");
  // Of the slot, so that it outlives the group of a job.
  return write_text(job_path_ + "/../io.max", text);
}

void SlotCgroup::watch_pressure() {
  watches_pressure_ = true;
  if (job_path_.empty()) return;
  cpu_pressure_ = each_job(job_path_, "cpu.pressure", O_RDONLY);
  memory_pressure_ = each_job(job_path_, "memory.pressure", O_RDONLY);
  io_pressure_ = each_job(job_path_, "io.pressure", O_RDONLY);
}

Result<void> SlotCgroup::apply_memory(const CgroupLimits& limits) {
  // On v1 the slot's own processes share the group: they are on top, in whole pages.
  const std::uint64_t total = (*limits.memory_bytes + idle_memory_bytes_ + 4095) / 4096 * 4096 +
                              memory_left(limits.memory_left_bytes_max);
  const std::string text = std::to_string(total);
  if (memory_v2_) {
    HATCHERY_TRY(memory_max_.write(text));
    if (!memory_swap_max_.valid()) return {};
    return memory_swap_max_.write(limits.may_swap ? "max" : "0");
  }
  if (!memory_swap_max_.valid()) return memory_max_.write(text);
  if (limits.may_swap) {
    HATCHERY_TRY(memory_swap_max_.write("-1"));
    return memory_max_.write(text);
  }
  // memsw (memory + swap) may never be below the memory limit, so the order depends on the
  // direction. Equal: no swap.
  if (memory_max_.write(text)) return memory_swap_max_.write(text);
  HATCHERY_TRY(memory_swap_max_.write(text));
  return memory_max_.write(text);
}

void SlotCgroup::lift_memory_limit() {
  if (memory_v2_ || !memory_max_.valid()) return;
  // The next apply() writes both again. Failure leaves the old limit, under which the slot heals by
  // replacement.
  if (memory_swap_max_.valid()) static_cast<void>(memory_swap_max_.write("-1").has_value());
  static_cast<void>(memory_max_.write("-1").has_value());
}

namespace {

constexpr std::uint64_t kPidMaxLimit = 4'194'304;  // include/linux/threads.h, 64 bits.

}  // namespace

Result<void> SlotCgroup::apply(const CgroupLimits& limits) {
  if (limits.memory_bytes) {
    if (!memory_max_.valid()) return lacks("memory", "limits.memory");
    HATCHERY_TRY(apply_memory(limits));
  }
  if (socket_memory_max_.valid())
    HATCHERY_TRY(socket_memory_max_.write(std::to_string(
        std::min(limits.memory_bytes.value_or(kSocketMemoryV1BytesMax), kSocketMemoryV1BytesMax))));
  if (limits.memory_soft_bytes && !memory_soft_.valid())
    return lacks("memory", "limits.memory_soft");
  if (memory_soft_.valid()) {
    const char* none = memory_v2_ ? "max" : "-1";
    HATCHERY_TRY(memory_soft_.write(
        limits.memory_soft_bytes ? std::to_string(*limits.memory_soft_bytes + idle_memory_bytes_)
                                 : none));
  }
  if (limits.processes) {
    if (!pids_max_.valid()) return lacks("pids", "limits.processes");
    // The kernel takes no number above PID_MAX_LIMIT, which no tree of processes reaches.
    const std::uint64_t processes = *limits.processes + idle_processes_;
    HATCHERY_TRY(pids_max_.write(processes > kPidMaxLimit ? "max" : std::to_string(processes)));
  }
  if (limits.cpu_rate && !cpu_quota_.valid()) return lacks("cpu", "limits.cpu_rate");
  if (cpu_quota_.valid()) {
    std::string quota = cpu_v2_ ? "max" : "-1";
    has_cpu_rate_ = limits.cpu_rate.has_value();
    if (limits.cpu_rate)
      quota = std::to_string(std::llround(*limits.cpu_rate * static_cast<double>(kCpuPeriodUs)));
    HATCHERY_TRY(cpu_quota_.write(cpu_v2_ ? quota + " " + std::to_string(kCpuPeriodUs) : quota));
  }
  if (limits.cpu_weight && !cpu_weight_.valid()) return lacks("cpu", "limits.cpu_weight");
  if (cpu_weight_.valid()) {
    const std::uint64_t weight = limits.cpu_weight.value_or(100);
    // v1 shares: 1024 is normal; the kernel's range is 2 to 262,144.
    const std::uint64_t shares = weight * 1024 / 100;
    HATCHERY_TRY(cpu_weight_.write(std::to_string(cpu_v2_ ? weight : shares < 2 ? 2 : shares)));
  }
  if (limits.cpu_set && !cpu_set_.valid()) return lacks("cpuset", "limits.cpu_set");
  return cpu_set_.valid() ? apply_cpu_set(limits.cpu_set) : Result<void>();
}

Result<void> SlotCgroup::apply_cpu_set(const std::optional<std::string>& asked) {
  const bool parents = !asked && cpu_set_default_.empty();
  if (parents && !cpu_set_narrowed_) return {};
  CgroupText text;
  HATCHERY_TRY(cpu_set_.write(asked     ? *asked
                              : parents ? std::string(cpu_set_of_parent_.read(text))
                                        : cpu_set_default_));
  cpu_set_narrowed_ = !parents;
  return {};
}

bool SlotCgroup::kill_job() {
  if (!job_procs_.valid()) return false;
  std::map<pid_t, UniqueFd> seen;
  for (const pid_t pid : job_procs_.read_pids())
    seen.emplace(pid, static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  // Still listed, so the descriptor is not of a stranger that got the number meanwhile.
  for (const pid_t pid : job_procs_.read_pids())
    if (const auto found = seen.find(pid); found != seen.end())
      send_signal(found->second.get(), SIGKILL);
  return true;
}

namespace {

/// The page cache of a slot that has run nothing, or little: not worth what it takes to give back,
/// some 6 ms, since the kernel waits for every CPU (lru_add_drain_all).
constexpr std::uint64_t kCacheOfIdleSlot = 64 << 10;

/// What the group's processes were first to read is charged to it as long as it is cached, and
/// would keep the removed group in memory, dead (Documentation/admin-guide/cgroup-v2.rst, "Memory
/// Ownership"): half a MiB of it on a host that once had a thousand slots.
void empty_cache(const std::string& group) {
  const Result<std::string> stat = read_whole_file(group + "/memory.stat");
  if (!stat) return;  // A hierarchy that does not charge memory.
  const std::uint64_t v2 = keyed_number(*stat, "file").value_or(0);
  const std::uint64_t v1 = keyed_number(*stat, "cache").value_or(0);
  // EAGAIN where some can't be given back.
  if (v2 > kCacheOfIdleSlot)
    static_cast<void>(write_text(group + "/memory.reclaim", std::to_string(v2)).has_value());
  if (v1 > kCacheOfIdleSlot)
    static_cast<void>(write_text(group + "/memory.force_empty", "0").has_value());
}

}  // namespace

Result<void> SlotCgroup::remove(std::uint32_t wait_ms) {
  for (const std::string& path : directories_)
    if (path != job_path_ && !path.ends_with("/zygote")) empty_cache(path);
  for (const std::string& path : directories_) HATCHERY_TRY(remove_cgroup_tree(path, wait_ms));
  directories_.clear();
  return {};
}

}  // namespace hatchery
