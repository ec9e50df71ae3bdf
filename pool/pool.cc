// The public face: checks what comes in, prepares it on the caller's thread, hands it to the loop.
#include "pool/pool.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <map>

#include "pool/host_input.h"
#include "pool/job_plan.h"
#include "pool/limits.h"
#include "pool/loop.h"
#include "pool/pool_setup.h"
#include "workers/selinux_label.h"

namespace hatchery {
namespace {

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
  explicit Impl(PoolCommon common_in) : common(std::move(common_in)) {
    for (std::size_t i = 0; i < common.shares.size(); ++i)
      loops.push_back(std::make_unique<Loop>(common, i));
  }
  ~Impl() {
    common.backlog->close();
    for (const auto& loop : loops) loop->ask_to_stop();
    for (const auto& loop : loops) loop->join();
    static_cast<void>(remove_pool_cgroups(common.cgroups, common.host->pool_name()).has_value());
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  /// All loops; the first error of one.
  Result<void> start() {
    for (const auto& loop : loops) loop->start();
    Result<void> all;
    for (const Result<UniqueFd>& plan : common.slot_plans.get())
      if (!plan && all) all = plan.error();
    for (const auto& loop : loops)
      if (Result<void> started = loop->started(); !started && all) all = std::move(started);
    return all;
  }

  Result<std::unique_ptr<Job>> prepare(JobSpec spec, std::size_t profile_index) {
    const Profile& profile = common.config.profiles[profile_index];
    HATCHERY_TRY(validate_job(spec));
    Result<Limits> limits = effective_limits(spec.limits, profile);
    if (!limits) return std::move(limits).error();
    HATCHERY_TRY(check_controllers(*limits, common.cgroups, common.config.cgroup));
    HATCHERY_TRY(check_open_files(*limits));
    HATCHERY_TRY(check_arguments(spec, profile, *limits));
    HATCHERY_TRY(check_collectors(spec, *limits));
    auto job = std::make_unique<Job>();
    job->limits = *std::move(limits);
    job->cpu_by_rlimit = common.config.cgroup == CgroupUse::kNone;
    job->cpus = reachable_cpus(job->limits);
    job->spec = std::move(spec);
    for (const int number : {0, 1, 2}) job->spec.fds.try_emplace(number, NullStream{});
    HATCHERY_TRY(
        open_streams(*job, *common.files, common.config, common.profiles[profile_index].label));
    job->plan = encode_job(job->spec, profile, job->limits, common.config.cgroup);
    return job;
  }

  Result<std::size_t> profile_index(const std::string& name) const {
    const std::vector<Profile>& profiles = common.config.profiles;
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
    if (common.backlog->push(submission)) return ticket;
    return Error{
        .step = Step::kQueueJob,
        .errnum = EAGAIN,
        .detail = "the queue of " + std::to_string(common.config.queue_max) + " jobs is full",
        .remedy = "submit again when a report has come, or in 100 ms; or raise queue_max"};
  }

  PoolCommon common;
  std::vector<std::unique_ptr<Loop>> loops;
  std::atomic<JobTicket> next_ticket{0};
};

Pool::Pool(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Pool::~Pool() = default;

Result<std::unique_ptr<Pool>> Pool::create(PoolConfig config) {
  Result<PoolCommon> common = prepare_pool(std::move(config));
  if (!common) return std::move(common).error();
  auto impl = std::make_unique<Impl>(*std::move(common));
  HATCHERY_TRY(impl->start());
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
  // The first loop has no fewer than any other.
  const std::uint32_t slots_max = impl_->common.shares.front().slots_max[*profile];
  const std::size_t loops = impl_->loops.size();
  if (specs.size() > slots_max)
    return bad_job("group",
                   "has " + std::to_string(specs.size()) + " jobs, but the profile only " +
                       std::to_string(slots_max) + " slots" +
                       (loops == 1 ? "" : " in each of " + std::to_string(loops) + " loops"),
                   loops == 1 ? "raise slots_max" : "raise slots_max, or lower loops");
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

bool Pool::cancel(JobTicket ticket) {
  Backlog::Found found = impl_->common.backlog->find(ticket);
  if (found.waiting != nullptr) {
    impl_->loops.front()->cancel_waiting(std::move(found.waiting));
    return true;
  }
  if (!found.loop) return false;
  impl_->loops[*found.loop]->cancel(ticket);
  return true;
}

void Pool::drain() { impl_->common.backlog->drain(); }

PoolStats Pool::stats() const {
  PoolStats stats;
  stats.reported = impl_->common.backlog->reported();
  stats.submitted = impl_->common.backlog->submitted();
  for (const auto& loop : impl_->loops) loop->count(stats);
  const std::uint64_t waiting = stats.submitted - stats.reported;
  stats.queued = waiting > stats.running ? static_cast<std::uint32_t>(waiting) - stats.running : 0;
  return stats;
}

FileStore& Pool::files() { return *impl_->common.files; }
const PoolConfig& Pool::config() const { return impl_->common.config; }
std::string Pool::host() const { return impl_->common.host_name; }

std::vector<std::string> Pool::controllers() const {
  const CgroupHost& cgroups = impl_->common.cgroups;
  std::vector<std::string> names;
  for (const char* name : {"cpu", "cpuset", "memory", "pids"})
    if (cgroups.has(name)) names.emplace_back(name);
  if (cgroups.has("io") || cgroups.has("blkio")) names.emplace_back("io");
  return names;
}

}  // namespace hatchery
