// A job on its way into its slot: leased, placed, wired, handed over.
#include <fcntl.h>
#include <poll.h>

#include <algorithm>

#include "pool/file_transfer.h"
#include "pool/loop.h"
#include "pool/slot_plan.h"
#include "workers/raw.h"

namespace hatchery {
namespace {

CgroupLimits cgroup_limits(const Limits& limits) {
  return {.memory_bytes = limits.memory_bytes,
          .memory_soft_bytes = limits.memory_soft_bytes,
          .processes = limits.processes,
          .cpu_rate = limits.cpu_rate,
          .cpu_weight = limits.cpu_weight,
          .cpu_set = limits.cpu_set};
}

}  // namespace

SlotDirectories Loop::directories_of(const Slot& slot, const Job& job) const {
  return {job.directories.work.get(), job.directories.tmp.get(), slot.lease.uid + 1,
          (common_.config.testing_without & protocol::kWithoutBeneath) != 0};
}

Result<void> Loop::open_directories(const Slot& slot, Job& job) {
  if (job.directories.work.valid()) return {};
  Result<OpenDirectories> opened = hatchery::open_directories(slot.root_dir.get());
  if (!opened) return std::move(opened).error();
  job.directories = *std::move(opened);
  return {};
}

void Loop::schedule() {
  for (std::size_t i = 0; i < profiles_.size(); ++i) schedule_profile(i);
}

void Loop::schedule_profile(std::size_t profile) {
  ProfileState& state = profiles_[profile];
  // Before the look: whoever adds to the backlog after it sees these.
  state.offer->ready = state.ready.size();
  state.offer->capacity =
      state.failures >= kStartFailuresMax ? state.alive - state.starting : state.slots_max;
  Backlog::Demand left;
  while (std::unique_ptr<Submission> taken =
             backlog_.take(profile, index_, state.ready.size(), &left)) {
    Submission& submission = *(live_[taken->ticket] = std::move(taken));
    const std::int64_t now_ns = monotonic_ns();
    for (const std::unique_ptr<Job>& job : submission.jobs) {
      Slot& slot = *state.ready.back();
      state.ready.pop_back();
      --ready_count_;
      slot.apply(SlotEvent::kLeased);
      slot.job = job.get();
      job->slot = &slot;
      job->leased_ns = now_ns;
      job->report.slot = slot.number;
      job->report.steps.queued = since(submission.submitted_ns, now_ns);
      if (slot.reset_ns > 0) job->report.steps.reset = Nanoseconds(slot.reset_ns);
    }
    // Placing may end a submission at once.
    for (Job* job : submission.jobs_now()) place(*job->slot, *job);
  }
  state.offer->ready = state.ready.size();
  state.version_seen = left.version;
  if (left.startable == 0) return;
  listen_to_unheard();
  start_slots(profile, left);
  backlog_.hand_on(profile, index_);
}

void Loop::place(Slot& slot, Job& job) {
  job.worker_pidfd = std::move(slot.worker_pidfd);
  job.listener = std::move(slot.listener);
  CgroupLimits limits = cgroup_limits(job.limits);
  // A cache that slots keep gives way to a job's memory by itself.
  if (profiles_[slot.profile].profile->cache_kept_bytes == 0)
    limits.memory_left_bytes_max = kIrreclaimableMax;
  limits.may_swap = (common_.config.testing_without & protocol::kWithoutSwapLimit) != 0;
  if (common_.config.cgroup == CgroupUse::kNone) limits = {};  // They are in the plan, as rlimits.
  if (Result<void> limited = slot.cgroup->apply(limits); !limited)
    return files_are_in(slot, job, std::move(limited));
  if (!job.spec.files_in.empty() || !job.spec.files_out.empty())
    if (Result<void> opened = open_directories(slot, job); !opened)
      return files_are_in(slot, job, std::move(opened));
  if (job.spec.files_in.empty()) return files_are_in(slot, job, {});
  const SlotDirectories directories = directories_of(slot, job);
  if (is_quick(job.spec.files_in))
    return files_are_in(slot, job, copy_in(job.spec.files_in, directories, *common_.files));
  slot.porter_busy = true;
  porter_->run([this, &slot, &job, directories] {
    auto result =
        std::make_shared<Result<void>>(copy_in(job.spec.files_in, directories, *common_.files));
    post([this, &slot, &job, result] {
      slot.porter_busy = false;
      files_are_in(slot, job, std::move(*result));
    });
  });
}

void Loop::files_are_in(Slot& slot, Job& job, Result<void> result) {
  Submission& submission = *job.submission;
  if (slot.state == SlotState::kDead && result) result = slot.failure.value_or(Error{});
  if (!result) {
    // A limit that this host can't set, or a file that can't be had: the first to say so decides.
    const Step step = result.error().step;
    const bool file = step == Step::kOpenInput || step == Step::kCopyIn || step == Step::kStoreFile;
    job.report.outcome = file ? Outcome::kFileError : Outcome::kInternalError;
    job.report.error = std::move(result).error();
    submission.cancelled = true;
  }
  if (++submission.placed == submission.jobs.size()) all_placed(submission);
}

void Loop::all_placed(Submission& submission) {
  const std::vector<Job*> jobs = submission.jobs_now();
  if (!submission.cancelled) {
    for (Job* job : jobs) hand_over(*job->slot, *job);
    return;
  }
  for (Job* job : jobs) {
    Slot& slot = *job->slot;
    const std::optional<Error> error = job->report.error;
    never_ran(*job, error ? job->report.outcome : Outcome::kCancelled, error);
    unlease(slot);
  }
}

void Loop::unlease(Slot& slot, Error why) {
  slot.job = nullptr;
  if (slot.state == SlotState::kDead)
    bury(slot);
  else
    lose(slot, std::move(why));
}

namespace {

std::unique_ptr<Collector> collector_of(Job& job, int number, const std::string& name,
                                        std::optional<std::uint64_t> bytes_max) {
  auto collector = std::make_unique<Collector>();
  collector->job = &job;
  collector->fd = number;
  collector->name = name;
  // One byte more would be the limit's end, so a stream of exactly the limit is whole.
  collector->bytes_max = bytes_max.value_or(job.limits.output_bytes.value_or(kOutputBytesMax));
  return collector;
}

}  // namespace

Result<UniqueFd> Loop::open_stream_file(const Slot& slot, Job& job, int number,
                                        const FileCollectorStream& asked) {
  // Any other would have the pool's label, which a job can't reopen.
  const bool in_slot = asked.named || !slot.exec_context.empty();
  if (in_slot) HATCHERY_TRY(open_directories(slot, job));
  const SlotDirectories directories = directories_of(slot, job);
  Result<StreamFile> file = asked.named
                                ? create_stream_file(asked.path, directories)
                                : create_nameless_stream_file(in_slot ? &directories : nullptr);
  if (!file) return std::move(file).error();
  job.collectors.push_back(collector_of(job, number, asked.path, asked.bytes_max));
  job.collectors.back()->file = std::move(file->read_end);
  job.collectors.back()->discards = true;
  return std::move(file->write_end);
}

Result<UniqueFd> Loop::open_stream(const Slot& slot, Job& job, int number, const Stream& stream) {
  if (const auto opened = job.opened.find(number); opened != job.opened.end())
    return std::move(opened->second);
  if (const auto* bytes = std::get_if<BytesStream>(&stream))
    return sealed_memfd("hatchery-input", bytes->bytes, MemfdUse::kOneJob);
  if (const auto* end = std::get_if<PipeStream>(&stream)) {
    auto& [read_end, write_end] = job.submission->pipes[end->pipe];
    UniqueFd& own = end->write ? write_end : read_end;
    if (end->held) {
      job.held.emplace_back(::fcntl(own.get(), F_DUPFD_CLOEXEC, 3));
      if (!job.held.back().valid())
        return errno_error(Step::kCreatePipe, "pipe " + std::to_string(end->pipe), errno,
                           "raise RLIMIT_NOFILE of the pool");
    }
    return std::move(own);
  }
  if (const auto* file = std::get_if<FileCollectorStream>(&stream))
    return open_stream_file(slot, job, number, *file);
  const auto& asked = std::get<CollectorStream>(stream);
  int pipe_fds[2];
  if (::pipe2(pipe_fds, O_CLOEXEC) < 0)
    return errno_error(Step::kCreatePipe, asked.name, errno, "raise RLIMIT_NOFILE of the pool");
  UniqueFd theirs(pipe_fds[1]);
  std::unique_ptr<Collector> collector = collector_of(job, number, asked.name, asked.bytes_max);
  collector->discards = asked.discard_rest;
  collector->pipe = UniqueFd(pipe_fds[0]);
  ::fcntl(collector->pipe.get(), F_SETFL, O_NONBLOCK);
  job.collectors.push_back(std::move(collector));
  return theirs;
}

Result<void> Loop::wire(const Slot& slot, Job& job, std::vector<UniqueFd>& fds) {
  fds.reserve(job.plan.fds.size() + 1);
  job.collectors.reserve(job.plan.fds.size());
  for (protocol::FdEntry& entry : job.plan.fds) {
    const Stream& stream = job.spec.fds.at(entry.target);
    if (std::holds_alternative<NullStream>(stream)) continue;
    if (const auto* same = std::get_if<SameAsStream>(&stream)) {
      entry.source = protocol::kFdSameAs - same->fd;
      continue;
    }
    Result<UniqueFd> opened = open_stream(slot, job, entry.target, stream);
    if (!opened) return std::move(opened).error();
    entry.source = static_cast<std::int32_t>(fds.size());
    if (std::holds_alternative<CollectorStream>(stream))
      job.collectors.back()->sent_at = fds.size();
    fds.push_back(*std::move(opened));
  }
  store_fd_entries(job.plan);
  if (!slot.exec_context.empty()) store_label(job.plan, slot.exec_context);
  if (job.plan.body.size() <= protocol::kInlinePlanBytes) return {};
  Result<UniqueFd> body = sealed_memfd("hatchery-plan", job.plan.body, MemfdUse::kOneJob);
  if (!body) return std::move(body).error();
  job.plan.header.body_in_memfd = 1;
  fds.push_back(*std::move(body));
  return {};
}

/// What the zygote does before figures and files are read must not be in them.
bool Loop::looks_at_once(const Slot& slot, const Job& job) const {
  return is_busy() && job.spec.files_out.empty() && slot.cgroup->has_job_cpu_time();
}

void Loop::hand_over(Slot& slot, Job& job) {
  std::vector<UniqueFd> fds;
  Result<void> done = wire(slot, job, fds);
  if (done) {
    slot.cgroup->begin();
    job.plan.header.look_at_once = looks_at_once(slot, job) ? 1 : 0;
    job.placed_ns = monotonic_ns();
    job.report.steps.placed = since(job.leased_ns, job.placed_ns);
    iovec parts[] = {{&job.plan.header, sizeof job.plan.header},
                     {job.plan.body.data(), job.plan.body.size()}};
    HATCHERY_CHECK(fds.size() <= protocol::kFdsMax);
    int numbers[protocol::kFdsMax];
    for (std::size_t i = 0; i < fds.size(); ++i) numbers[i] = fds[i].get();
    if (raw::send_parts(slot.socket.get(), parts, job.plan.header.body_in_memfd == 0 ? 2 : 1,
                        numbers, fds.size()) < 0)
      done = errno_error(Step::kSendMessage, "to the worker", errno);
  }
  if (!done) {
    const Error& error = done.error();
    never_ran(job, Outcome::kInternalError, error);
    // A worker that can't be sent to has died; another error is the job's.
    return unlease(slot, error.step == Step::kSendMessage ? error : Error{});
  }
  slot.apply(SlotEvent::kHandedOver);
  ++running_;
  job.handed_over = true;
  for (const auto& collector : job.collectors) {
    if (!collector->pipe.valid()) continue;
    collector->write_end = std::move(fds[collector->sent_at]);
    listen_to_collector(*collector);
  }
  if (job.listener.valid()) {
    job.notified = std::make_unique<Completion>([this, &slot, &job](int result) {
      if (result > 0 && (result & POLLIN) != 0 && slot.job == &job) on_forbidden(slot, job);
    });
    ring_->poll(*job.notified, job.listener.get(), POLLIN);
  }
  arm_limits(slot, job, job.placed_ns);
}

}  // namespace hatchery
