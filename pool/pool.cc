// The public face: checks what comes in, prepares it on the caller's thread, hands it to the loop.
#include "pool/pool.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <set>

#include "core/files.h"
#include "core/user_namespace.h"
#include "pool/host_input.h"
#include "pool/host_state.h"
#include "pool/job_plan.h"
#include "pool/limits.h"
#include "pool/loop.h"
#include "pool/slot_plan.h"
#include "workers/selinux_label.h"
#include "workers/syscall_policy.h"

namespace hatchery {
namespace {

Error bad_job(std::string object, std::string detail, std::string remedy) {
  return Error{.step = Step::kValidateJob,
               .object = std::move(object),
               .detail = std::move(detail),
               .remedy = std::move(remedy)};
}

Result<CompiledPolicy> compile_policy(const Profile& profile) {
  const bool kill = profile.refused_call == RefusedCall::kKill;
  SyscallPolicy policy =
      default_syscall_policy(kill ? SyscallAction::kKill : SyscallAction::kErrno);
  if (!profile.seccomp_policy.empty()) {
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
  const PoolConfig defaults;
  config.state_directory = usable_state_directory(config.state_directory);
  if (has_all_ids()) return {};
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

Result<void> check_open_files(const Limits& limits) {
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  if (limits.open_files && *limits.open_files > files.rlim_max)
    return bad_job("limits.open_files",
                   std::to_string(*limits.open_files) + " is above the pool's own hard limit of " +
                       std::to_string(files.rlim_max),
                   "lower it, or raise the pool's RLIMIT_NOFILE");
  return {};
}

/// Every limit must be enforceable here, or the job is refused (never run with less).
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

Result<UniqueFd> create_host_output(const std::string& path) {
  UniqueFd fd(
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0644));
  if (!fd.valid())
    return errno_error(Step::kOpenOutput, path, errno,
                       "check that it exists and that the pool may open it");
  // Opened so that a FIFO can't stop the submitter; the job expects a blocking descriptor.
  ::fcntl(fd.get(), F_SETFL, 0);
  return fd;
}

Result<void> open_streams(Job& job, const FileStore& files, const PoolConfig& config,
                          const std::string& label) {
  for (const auto& [number, stream] : job.spec.fds) {
    Result<UniqueFd> fd = UniqueFd();
    if (const auto* host = std::get_if<HostFileStream>(&stream))
      fd = host->write ? create_host_output(host->path) : open_host_input(host->path, config);
    else if (const auto* stored = std::get_if<StoredFileStream>(&stream))
      fd = files.open(stored->id);
    else if (const auto* lent = std::get_if<CallerFdStream>(&stream))
      fd = duplicate_lent(lent->fd, "fds[" + std::to_string(number) + "]", config);
    else
      continue;
    if (!fd) return std::move(fd).error();
    if (!label.empty())
      HATCHERY_TRY(check_lent(label, fd->get(), "fds[" + std::to_string(number) + "]"));
    job.opened[number] = *std::move(fd);
  }
  return {};
}

/// Every pipe of a group has exactly one reader and one writer. Returns how many there are.
Result<std::size_t> check_pipes(const std::vector<JobSpec>& specs) {
  std::map<std::size_t, std::pair<int, int>> ends;
  for (const JobSpec& spec : specs)
    for (const auto& [number, stream] : spec.fds)
      if (const auto* end = std::get_if<PipeStream>(&stream)) {
        if (end->pipe >= 64)
          return bad_job("pipe " + std::to_string(end->pipe), "is out of range", "use 0 to 63");
        auto& [readers, writers] = ends[end->pipe];
        ++(end->write ? writers : readers);
      }
  for (const auto& [pipe, count] : ends)
    if (count.first != 1 || count.second != 1)
      return bad_job("pipe " + std::to_string(pipe),
                     "has " + std::to_string(count.first) + " readers and " +
                         std::to_string(count.second) + " writers",
                     "give it exactly one of each");
  return ends.empty() ? 0 : ends.rbegin()->first + 1;
}

}  // namespace

class Pool::Impl {
 public:
  Impl(LoopSetup setup, std::vector<std::string> labels_in)
      : loop(std::move(setup)), labels(std::move(labels_in)) {}

  Result<std::unique_ptr<Job>> prepare(JobSpec spec, std::size_t profile_index) {
    const Profile& profile = loop.config().profiles[profile_index];
    HATCHERY_TRY(validate_job(spec));
    Result<Limits> limits = effective_limits(spec.limits, profile);
    if (!limits) return std::move(limits).error();
    HATCHERY_TRY(check_controllers(*limits, loop.cgroups(), loop.config().cgroup));
    HATCHERY_TRY(check_open_files(*limits));
    HATCHERY_TRY(check_arguments(spec, profile, *limits));
    HATCHERY_TRY(check_collectors(spec, *limits));
    auto job = std::make_unique<Job>();
    job->limits = *std::move(limits);
    job->cpu_by_rlimit = loop.config().cgroup == CgroupUse::kNone;
    job->cpus = reachable_cpus(job->limits);
    job->spec = std::move(spec);
    for (const int number : {0, 1, 2}) job->spec.fds.try_emplace(number, NullStream{});
    HATCHERY_TRY(open_streams(*job, loop.files(), loop.config(), labels[profile_index]));
    job->plan = encode_job(job->spec, profile, job->limits, loop.config().cgroup);
    return job;
  }

  Result<std::size_t> profile_index(const std::string& name) const {
    const std::vector<Profile>& profiles = loop.config().profiles;
    if (name.empty()) return std::size_t{0};
    for (std::size_t i = 0; i < profiles.size(); ++i)
      if (profiles[i].name == name) return i;
    return bad_job("profile", "\"" + name + "\" is not in this pool", "name one of its profiles");
  }

  Result<JobTicket> enqueue(std::unique_ptr<Submission> submission) {
    submission->ticket = next_ticket.fetch_add(1) + 1;
    submission->submitted_ns = monotonic_ns();
    submission->unreported = submission->jobs.size();
    const JobTicket ticket = submission->ticket;
    for (std::size_t i = 0; i < submission->jobs.size(); ++i) {
      submission->jobs[i]->submission = submission.get();
      submission->jobs[i]->index = i;
    }
    if (loop.submit(submission)) return ticket;
    return Error{
        .step = Step::kQueueJob,
        .errnum = EAGAIN,
        .detail = "the queue of " + std::to_string(loop.config().queue_max) + " jobs is full",
        .remedy = "submit again when a report has come, or in 100 ms; or raise queue_max"};
  }

  Loop loop;
  /// Of each profile: choose_label().
  std::vector<std::string> labels;
  std::atomic<JobTicket> next_ticket{0};
};

Pool::Pool(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Pool::~Pool() { impl_->loop.stop(); }

Result<std::unique_ptr<Pool>> Pool::create(PoolConfig config) {
  HATCHERY_TRY(config.validate());
  HATCHERY_TRY(config.check_files());
  HATCHERY_TRY(check_privileges());
  HATCHERY_TRY(adapt_to_user_namespace(config));
  LoopSetup setup;
  if (config.cgroup == CgroupUse::kAuto) {
    Result<CgroupHost> cgroups = CgroupHost::find(config.cgroup_parent);
    if (!cgroups) return std::move(cgroups).error();
    setup.cgroups = *std::move(cgroups);
  }
  Result<std::string> zygote = find_zygote(config.zygote_path);
  if (!zygote) return std::move(zygote).error();
  setup.zygote_path = *std::move(zygote);
  std::vector<std::string> labels;
  for (Profile& profile : config.profiles) {
    Result<std::string> label = choose_label(profile, setup.zygote_path);
    if (!label) return std::move(label).error();
    labels.push_back(*std::move(label));
    HATCHERY_TRY(check_controllers(profile.defaults, setup.cgroups, config.cgroup));
    Result<CompiledPolicy> policy = compile_policy(profile);
    if (!policy) return std::move(policy).error();
    Result<UniqueFd> plan =
        sealed_memfd("hatchery-slot-plan",
                     encode_slot_plan(profile, *policy, overlay_directory(config.state_directory),
                                      config.testing_without));
    if (!plan) return std::move(plan).error();
    setup.slot_plans.push_back(*std::move(plan));
    Result<std::vector<std::uint32_t>> cpus = pin_cpus(profile, setup.cgroups);
    if (!cpus) return std::move(cpus).error();
    setup.pin_cpus.push_back(*std::move(cpus));
    Result<std::vector<std::string>> io_max = io_max_lines(profile, setup.cgroups);
    if (!io_max) return std::move(io_max).error();
    setup.io_max.push_back(*std::move(io_max));
  }
  setup.config = std::move(config);
  auto impl = std::make_unique<Impl>(std::move(setup), std::move(labels));
  HATCHERY_TRY(impl->loop.start());
  return std::unique_ptr<Pool>(new Pool(std::move(impl)));
}

Result<JobTicket> Pool::submit(JobSpec spec, Callback callback) {
  Result<std::size_t> profile = impl_->profile_index(spec.profile);
  if (!profile) return std::move(profile).error();
  for (const auto& [number, stream] : spec.fds)
    if (std::holds_alternative<PipeStream>(stream))
      return bad_job("fds[" + std::to_string(number) + "]", "is a pipe to another job",
                     "submit a group");
  auto submission = std::make_unique<Submission>();
  submission->profile = *profile;
  submission->client = spec.client;
  submission->priority = spec.priority;
  submission->callback = std::move(callback);
  Result<std::unique_ptr<Job>> job = impl_->prepare(std::move(spec), *profile);
  if (!job) return std::move(job).error();
  submission->jobs.push_back(*std::move(job));
  return impl_->enqueue(std::move(submission));
}

Result<JobTicket> Pool::submit_group(std::vector<JobSpec> specs, GroupCallback callback) {
  if (specs.empty()) return bad_job("group", "is empty", "give at least one job");
  Result<std::size_t> profile = impl_->profile_index(specs[0].profile);
  if (!profile) return std::move(profile).error();
  const std::uint32_t slots_max = impl_->loop.config().profiles[*profile].slots_max;
  if (specs.size() > slots_max)
    return bad_job("group",
                   "has " + std::to_string(specs.size()) + " jobs, but the profile only " +
                       std::to_string(slots_max) + " slots",
                   "raise slots_max");
  Result<std::size_t> pipes = check_pipes(specs);
  if (!pipes) return std::move(pipes).error();
  auto submission = std::make_unique<Submission>();
  submission->profile = *profile;
  submission->client = specs[0].client;
  submission->priority = specs[0].priority;
  submission->group = true;
  submission->group_callback = std::move(callback);
  for (std::size_t i = 0; i < *pipes; ++i) {
    int fds[2];
    if (::pipe2(fds, O_CLOEXEC) < 0)
      return errno_error(Step::kCreatePipe, "pipe " + std::to_string(i), errno,
                         "raise RLIMIT_NOFILE of the pool");
    submission->pipes.emplace_back(fds[0], fds[1]);
  }
  for (JobSpec& spec : specs) {
    if (spec.profile != specs[0].profile)
      return bad_job("profile", "differs within the group", "use one profile for all of it");
    Result<std::unique_ptr<Job>> job = impl_->prepare(std::move(spec), *profile);
    if (!job) return std::move(job).error();
    submission->jobs.push_back(*std::move(job));
  }
  return impl_->enqueue(std::move(submission));
}

Result<std::future<Report>> Pool::submit(JobSpec spec) {
  auto promise = std::make_shared<std::promise<Report>>();
  std::future<Report> future = promise->get_future();
  Result<JobTicket> ticket =
      submit(std::move(spec), [promise](Report report) { promise->set_value(std::move(report)); });
  if (!ticket) return std::move(ticket).error();
  return future;
}

Result<std::future<std::vector<Report>>> Pool::submit_group(std::vector<JobSpec> specs) {
  auto promise = std::make_shared<std::promise<std::vector<Report>>>();
  std::future<std::vector<Report>> future = promise->get_future();
  Result<JobTicket> ticket = submit_group(std::move(specs), [promise](std::vector<Report> reports) {
    promise->set_value(std::move(reports));
  });
  if (!ticket) return std::move(ticket).error();
  return future;
}

bool Pool::cancel(JobTicket ticket) { return impl_->loop.cancel(ticket); }
void Pool::drain() { impl_->loop.drain(); }
PoolStats Pool::stats() const { return impl_->loop.stats(); }
FileStore& Pool::files() { return impl_->loop.files(); }
const PoolConfig& Pool::config() const { return impl_->loop.config(); }
std::string Pool::host() const { return impl_->loop.host_name(); }

std::vector<std::string> Pool::controllers() const {
  const CgroupHost& cgroups = impl_->loop.cgroups();
  std::vector<std::string> names;
  for (const char* name : {"cpu", "cpuset", "memory", "pids"})
    if (cgroups.has(name)) names.emplace_back(name);
  if (cgroups.has("io") || cgroups.has("blkio")) names.emplace_back("io");
  return names;
}

}  // namespace hatchery
