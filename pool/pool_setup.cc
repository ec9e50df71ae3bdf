#include "pool/pool_setup.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <map>
#include <utility>

#include "core/files.h"
#include "core/user_namespace.h"
#include "pool/host_input.h"
#include "pool/launcher_link.h"
#include "pool/limits.h"
#include "pool/slot_plan.h"
#include "workers/selinux_label.h"
#include "workers/syscall_policy.h"

namespace hatchery {
namespace {

/// Of a slot that is ready: socket, zygote's and worker's pidfds, two directories. Its job has
/// streams, two descriptors for each that is collected, a plan or inputs besides.
constexpr rlim_t kFilesOfReadySlot = 5;
constexpr rlim_t kFilesOfJob = 13;
constexpr rlim_t kFilesBesides = 2048;
/// A loop does some 5,900 jobs a second, and eight CPUs some 4,500.
constexpr std::size_t kCpusOfLoop = 8;
constexpr std::size_t kSlotsOfLoopMin = 8;

/// Descriptors are the pool's working material; the soft limit is often 1,024, and the hard one too
/// low for a thousand slots. That one only CAP_SYS_RESOURCE raises, up to fs.nr_open. Returns how
/// many files of control groups may stay open: of all slots, or, without room for that, a quarter
/// of what slots that are ready leave; most is for jobs, should all slots have one at once.
std::unique_ptr<CgroupFileBudget> make_room_for_files(const PoolConfig& config) {
  rlim_t slots = 0;
  for (const Profile& profile : config.profiles) slots += profile.slots_max;
  const rlim_t of_groups = kCgroupFilesOfSlot * slots;
  const rlim_t wanted = kFilesBesides + (kFilesOfReadySlot + kFilesOfJob) * slots + of_groups;
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) < 0) return std::make_unique<CgroupFileBudget>(0);
  const rlim_t hard = std::max(files.rlim_max, wanted);
  const rlimit enough{hard, hard};
  // Not counted: a slot that takes another's place has its files before those are closed.
  if (::setrlimit(RLIMIT_NOFILE, &enough) == 0)
    return std::make_unique<CgroupFileBudget>(std::numeric_limits<std::int64_t>::max(), true);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  const rlim_t in_use = kFilesBesides + kFilesOfReadySlot * slots;
  const rlim_t left = files.rlim_max > in_use ? files.rlim_max - in_use : 0;
  return std::make_unique<CgroupFileBudget>(static_cast<std::int64_t>(left / 4));
}

Result<CompiledPolicy> compile_policy(const Profile& profile) {
  const bool kill = profile.refused_call == RefusedCall::kKill;
  if (!kill && profile.seccomp_policy.empty()) return default_compiled_policy();
  SyscallPolicy policy;
  if (profile.seccomp_policy.empty()) {
    policy = default_syscall_policy(SyscallAction::kKill);
  } else {
    Result<std::string> text = read_whole_file(profile.seccomp_policy, 4U << 20);
    if (!text) return std::move(text).error();
    Result<SyscallPolicy> parsed = syscall_policy_from_json(*text, profile.seccomp_policy);
    if (!parsed) return std::move(parsed).error();
    policy = *std::move(parsed);
  }
  Result<CompiledPolicy> compiled = compile_syscall_policy(policy);
  if (compiled && compiled->needs_listener && !compiled->loads_before_job)
    return Error{
        .step = Step::kCompilePolicy,
        .object = profile.seccomp_policy,
        .detail = "kills for some calls, but refuses one that the worker itself needs",
        .remedy =
            "allow recvmsg, sendmsg, dup2, fcntl, close_range, prlimit64, mmap, chdir, "
            "umask, openat, write, clock_gettime, sched_setaffinity, execveat and exit_group"};
  return compiled;
}

Result<UniqueFd> make_slot_plan(const Profile& profile, const std::string& overlays,
                                std::uint32_t without) {
  Result<CompiledPolicy> policy = compile_policy(profile);
  if (!policy) return std::move(policy).error();
  return sealed_memfd("hatchery-slot-plan", encode_slot_plan(profile, *policy, overlays, without),
                      MemfdUse::kShared);
}

/// Some 5 ms each, most of it for a filter that is not the built-in one.
std::vector<Result<UniqueFd>> make_slot_plans(const std::vector<Profile>& profiles,
                                              const std::string& overlays, std::uint32_t without) {
  std::vector<Result<UniqueFd>> plans;
  plans.reserve(profiles.size());
  for (const Profile& profile : profiles)
    plans.push_back(make_slot_plan(profile, overlays, without));
  return plans;
}

/// Decides the type. Returns the first slot's exec context, which stands for all in whether it
/// exists and what it may; "" for none.
Result<std::string> choose_label(Profile& profile, const std::string& zygote_path) {
  Result<std::string> type = job_type(profile.selinux_type);
  if (!type) return std::move(type).error();
  profile.selinux_type = *std::move(type);
  if (profile.selinux_type.empty()) return std::string();
  Result<SlotLabel> label = slot_label(profile.selinux_type, 0);
  if (!label) return std::move(label).error();
  HATCHERY_TRY(check_entry(zygote_path, label->exec_context));
  return std::move(label->exec_context);
}

/// Whoever lacks them would hear of state directories and cgroups first, and mend those in vain.
Result<void> check_privileges() {
  if (may_give_out_ids()) return {};
  return Error{.step = Step::kLeaseUid,
               .errnum = EPERM,
               .detail = "uid " + std::to_string(::geteuid()) +
                         " may not give slots host uids of their own (user_namespaces(7))",
               .remedy = "run as root, or call enter_user_namespace() first"};
}

/// In a user namespace: the ids that it has, and a state directory that is the user's own.
Result<void> adapt_to_user_namespace(PoolConfig& config) {
  config.state_directory = usable_state_directory(config.state_directory);
  if (has_all_ids()) return {};
  const PoolConfig defaults;
  const IdRange ids = ids_for_slots(config.uid_base, config.uid_count);
  const bool chosen =
      config.uid_base != defaults.uid_base || config.uid_count != defaults.uid_count;
  if (ids.count == 0 || (chosen && ids != IdRange{config.uid_base, config.uid_count}))
    return Error{.step = Step::kValidateConfig,
                 .object = "uid_base",
                 .detail = "this user namespace lacks some of the ids " +
                           std::to_string(config.uid_base) + " and the " +
                           std::to_string(config.uid_count) + " from there",
                 .remedy =
                     "choose from those in /proc/self/uid_map and gid_map, or leave uid_base "
                     "and uid_count out"};
  config.uid_base = ids.first;
  config.uid_count = ids.count;
  std::uint64_t needed = 0;
  for (const Profile& profile : config.profiles) needed += std::uint64_t{profile.slots_max} * 2;
  if (needed <= ids.count) return {};
  return Error{.step = Step::kValidateConfig,
               .object = "slots_max",
               .detail = "all profiles' slots need " + std::to_string(needed) +
                         " ids, two each, and this user namespace has " +
                         std::to_string(ids.count) + " for them",
               .remedy = "lower it, or have more ids in /etc/subuid and /etc/subgid"};
}

/// The CPUs that slots of the profile are pinned to; none when they are not.
Result<std::vector<std::uint32_t>> pin_cpus(const Profile& profile, const CgroupHost& cgroups) {
  if (!profile.pin_slots) return std::vector<std::uint32_t>{};
  const std::string object = "profile \"" + profile.name + "\": pin_slots";
  if (!cgroups.has("cpuset"))
    return Error{.step = Step::kValidateConfig,
                 .object = object,
                 .errnum = ENOTSUP,
                 .detail = "this host has no cgroup controller \"cpuset\"",
                 .remedy = "leave it out, or see `hatchery doctor`"};
  std::vector<std::uint32_t> cpus = usable_cpu_numbers();
  if (profile.maximums.cpu_set) {
    Result<std::vector<std::uint32_t>> allowed = parse_cpu_set(*profile.maximums.cpu_set);
    if (!allowed) return std::move(allowed).error();
    std::erase_if(cpus, [&](std::uint32_t cpu) {
      return !std::binary_search(allowed->begin(), allowed->end(), cpu);
    });
  }
  if (cpus.empty())
    return Error{.step = Step::kValidateConfig,
                 .object = object,
                 .detail = "the pool may run on none of the CPUs of maximums.cpu_set",
                 .remedy = "name CPUs that the pool may run on: see taskset -p"};
  return cpus;
}

/// For SlotCgroup::limit_io().
Result<std::vector<std::string>> io_max_lines(const Profile& profile, const CgroupHost& cgroups) {
  std::map<std::string, std::string> lines;  // By disk.
  for (std::size_t index = 0; index < profile.io_max.size(); ++index) {
    const IoMax& limit = profile.io_max[index];
    const std::string object =
        "profile \"" + profile.name + "\": io_max[" + std::to_string(index) + "].path";
    const CgroupHierarchy* io = cgroups.with("io");
    if (io == nullptr || !io->v2)
      return Error{.step = Step::kValidateConfig,
                   .object = object,
                   .errnum = ENOTSUP,
                   .detail = "this host has no cgroup v2 controller \"io\"",
                   .remedy = "leave it out, or see `hatchery doctor`"};
    Result<std::string> disk = io_device(limit.path);
    if (!disk)
      return errno_error(Step::kValidateConfig, object + " = " + limit.path, disk.error().errnum,
                         disk.error().remedy);
    std::string line = *disk;
    const auto add = [&line](const char* key, const std::optional<std::uint64_t>& value) {
      if (value) (line += key) += std::to_string(*value);
    };
    add(" rbps=", limit.read_bytes);
    add(" wbps=", limit.write_bytes);
    add(" riops=", limit.read_operations);
    add(" wiops=", limit.write_operations);
    if (!lines.emplace(*disk, std::move(line)).second)
      return Error{.step = Step::kValidateConfig,
                   .object = object,
                   .detail = limit.path + " is on a disk that another entry limits",
                   .remedy = "leave one of them out"};
  }
  std::vector<std::string> all;
  all.reserve(lines.size());
  for (auto& [disk, line] : lines) all.push_back(std::move(line));
  return all;
}

/// Part `index` of `total` in `parts` that differ by one at most.
std::uint32_t part_of(std::uint32_t total, std::size_t index, std::size_t parts) {
  const auto count = static_cast<std::uint32_t>(parts);
  return total / count + (index < total % count ? 1 : 0);
}

std::vector<LoopShare> shares_of_loops(const PoolConfig& config) {
  const std::vector<std::uint32_t> cpus = usable_cpu_numbers();
  std::size_t count = config.loops;
  if (count == 0) {
    count = (cpus.size() + kCpusOfLoop - 1) / kCpusOfLoop;
    // Groups are not to find fewer slots than they would in one loop.
    for (const Profile& profile : config.profiles)
      count = std::min<std::size_t>(count, profile.slots_max / kSlotsOfLoopMin);
    count = std::max<std::size_t>(count, 1);
  }
  std::vector<LoopShare> shares(count);
  for (std::size_t i = 0; i < count; ++i) {
    LoopShare& share = shares[i];
    for (const Profile& profile : config.profiles) {
      share.slots_min.push_back(part_of(profile.slots_min, i, count));
      share.slots_max.push_back(part_of(profile.slots_max, i, count));
    }
    for (std::size_t cpu = i * cpus.size() / count; cpu < (i + 1) * cpus.size() / count; ++cpu)
      share.cpus.push_back(cpus[cpu]);
    if (share.cpus.empty()) share.cpus = cpus;
  }
  return shares;
}

}  // namespace

Result<void> check_controllers(const Limits& limits, const CgroupHost& cgroups, CgroupUse cgroup) {
  const auto need = [&](bool asked, const char* controller, const char* field) -> Result<void> {
    if (!asked || cgroups.has(controller)) return {};
    return Error{.step = Step::kValidateJob,
                 .object = std::string("limits.") + field,
                 .errnum = ENOTSUP,
                 .detail = std::string("this host has no cgroup controller \"") + controller + "\"",
                 .remedy = "leave the limit out of job and profile, or see `hatchery doctor`"};
  };
  HATCHERY_TRY(need(limits.memory_soft_bytes.has_value(), "memory", "memory_soft"));
  HATCHERY_TRY(need(limits.cpu_rate || limits.cpu_weight, "cpu", "cpu_rate or cpu_weight"));
  HATCHERY_TRY(need(limits.cpu_set.has_value(), "cpuset", "cpu_set"));
  if (cgroup == CgroupUse::kNone) return {};  // The others are rlimits.
  HATCHERY_TRY(need(limits.memory_bytes.has_value(), "memory", "memory"));
  HATCHERY_TRY(need(limits.processes.has_value(), "pids", "processes"));
  if (limits.cpu_time && cgroups.v2() == nullptr && !cgroups.has("cpuacct"))
    return need(true, "cpuacct", "cpu_time");
  return {};
}

Result<PoolCommon> prepare_pool(PoolConfig config) {
  HATCHERY_TRY(config.validate());
  HATCHERY_TRY(config.check_files());
  HATCHERY_TRY(check_privileges());
  HATCHERY_TRY(adapt_to_user_namespace(config));
  PoolCommon setup;
  setup.profiles.resize(config.profiles.size());
  setup.slot_plans = std::async(make_slot_plans, config.profiles,
                                overlay_directory(config.state_directory), config.testing_without);
  if (config.cgroup == CgroupUse::kAuto) {
    Result<CgroupHost> cgroups = CgroupHost::find(config.cgroup_parent);
    if (!cgroups) return std::move(cgroups).error();
    setup.cgroups = *std::move(cgroups);
  }
  Result<std::string> zygote = find_zygote(config.zygote_path);
  if (!zygote) return std::move(zygote).error();
  setup.zygote_path = *std::move(zygote);
  for (std::size_t i = 0; i < config.profiles.size(); ++i) {
    Profile& profile = config.profiles[i];
    Result<std::string> label = choose_label(profile, setup.zygote_path);
    if (!label) return std::move(label).error();
    HATCHERY_TRY(check_controllers(profile.defaults, setup.cgroups, config.cgroup));
    Result<std::vector<std::uint32_t>> cpus = pin_cpus(profile, setup.cgroups);
    if (!cpus) return std::move(cpus).error();
    Result<std::vector<std::string>> io_max = io_max_lines(profile, setup.cgroups);
    if (!io_max) return std::move(io_max).error();
    setup.profiles[i].pin_cpus = *std::move(cpus);
    setup.profiles[i].io_max = *std::move(io_max);
    setup.profiles[i].label = *std::move(label);
  }
  Result<HostState> host = HostState::open(config.state_directory, config.name, setup.cgroups,
                                           config.uid_base, config.uid_count);
  if (!host) return std::move(host).error();
  setup.host.emplace(*std::move(host));
  setup.host_name = setup.cgroups.name();
  setup.cgroup_files = make_room_for_files(config);
  setup.files = std::make_unique<FileStore>(config.store_bytes_max);
  setup.shares = shares_of_loops(config);
  std::vector<std::uint32_t> running_max;
  for (const Profile& profile : config.profiles) running_max.push_back(profile.running_max);
  setup.backlog =
      std::make_unique<Backlog>(config.queue_max, std::move(running_max), setup.shares.size());
  setup.config = std::move(config);
  return setup;
}

}  // namespace hatchery
