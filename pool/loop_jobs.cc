// The life of a job in the loop, from the hand-over on: watched, ended, collected, reported.
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cstring>

#include "core/check.h"
#include "core/process.h"
#include "pool/file_transfer.h"
#include "pool/loop.h"
#include "pool/outcome.h"
#include "pool/try_append.h"
#include "workers/raw.h"
#include "workers/syscall_policy.h"

namespace hatchery {
namespace {

constexpr std::int64_t kCpuStepNs = 1'000'000;
/// Two ticks of the slowest common kernel (100 Hz): what a CPU may not have accounted for yet.
constexpr std::uint64_t kCpuExactNs = 20'000'000;
constexpr std::int64_t kHealthNs = 1'000'000'000;
constexpr std::int64_t kStuckNs = 2'000'000'000;
/// A reset is some hundred microseconds of work.
constexpr std::int64_t kResetNs = 5'000'000'000;
/// While nobody waits for a slot, the report has so long to get where it goes before zygote and
/// next worker want the CPUs: by HTTP it passes two more processes.
constexpr std::int64_t kReportFirstNs = 400'000;
constexpr int kDrainReadsMax = 16;
/// Of a stream's file; more is the porter's work.
constexpr std::uint64_t kQuickReadBytes = 256 << 10;

}  // namespace

void Loop::arm_limits(Slot& slot, Job& job, std::int64_t now_ns) {
  if (job.limits.wall_time) job.wall_due_ns = now_ns + job.limits.wall_time->count();
  if (job.limits.cpu_time)
    job.cpu_due_ns = now_ns + std::max(job.limits.cpu_time->count() / job.cpus, kCpuStepNs);
  job.health_due_ns = now_ns + kHealthNs;
  set_due(slot);
}

void Loop::check_limits(Slot& slot, Job& job, std::int64_t now_ns) {
  const auto is_due = [now_ns](std::int64_t due_ns) { return due_ns != 0 && due_ns <= now_ns; };
  if (is_due(job.stuck_due_ns)) {
    if (is_starved(slot, now_ns)) {
      job.stuck_due_ns = now_ns + kStuckNs;
      return;
    }
    job.stuck_due_ns = 0;
    return lose(slot, Error{.step = Step::kReceiveMessage,
                            .object = "from the zygote of slot " + std::to_string(slot.number),
                            .errnum = ETIMEDOUT,
                            .detail = "it does not report the end of its job: its zygote, " +
                                      process_state(slot.zygote_pidfd.get()) + "; the job, " +
                                      process_state(job.worker_pidfd.get()),
                            .remedy = "the slot is replaced; was the zygote stopped?"});
  }
  if (is_due(job.cpu_due_ns)) {
    job.cpu_due_ns = 0;
    const auto limit_ns = static_cast<std::uint64_t>(job.limits.cpu_time->count());
    std::uint64_t used_ns = slot.cgroup->cpu_ns().value_or(0);
    if (used_ns + kCpuExactNs * job.cpus >= limit_ns)
      used_ns = slot.cgroup->cpu_ns(true).value_or(0);
    if (used_ns >= limit_ns) {
      kill_job(slot, job, KillReason::kCpu);
    } else {
      // The earliest instant at which the limit can be reached, with every CPU busy on it.
      const auto left_ns = static_cast<std::int64_t>((limit_ns - used_ns) / job.cpus);
      job.cpu_due_ns = now_ns + std::max(left_ns, kCpuStepNs);
    }
  }
  if (is_due(job.wall_due_ns)) {
    job.wall_due_ns = 0;
    kill_job(slot, job, KillReason::kWall);
  }
  if (is_due(job.health_due_ns)) {
    job.health_due_ns = now_ns + kHealthNs;
    pollfd main_process{job.worker_pidfd.get(), POLLIN, 0};
    const bool dead = ::poll(&main_process, 1, 0) > 0;
    // Dead, and a second later not yet reported: the zygote is not doing its work.
    if (dead && job.process_seen_dead && job.stuck_due_ns == 0)
      job.stuck_due_ns = now_ns + kStuckNs;
    job.process_seen_dead = dead;
  }
}

void Loop::kill_job(Slot& slot, Job& job, KillReason reason) {
  if (job.killed != KillReason::kNone) return;
  job.killed = reason;
  // All at once where the host can. Its main process is enough, since the zygote then kills all
  // others, but on a busy host both must first get a CPU, and meanwhile the others go on.
  if ((common_.config.testing_without & protocol::kWithoutCgroupKill) == 0) slot.cgroup->kill_job();
  send_signal(job.worker_pidfd.get(), SIGKILL);
  job.stuck_due_ns = monotonic_ns() + kStuckNs;
  set_due(slot);
}

void Loop::on_forbidden(Slot& slot, Job& job) {
  seccomp_notif notification;
  if (raw::receive_notification(job.listener.get(), notification) < 0) {
    ring_->poll(*job.notified, job.listener.get(), POLLIN);
    return;
  }
  if (!job.report.forbidden_syscall)
    job.report.forbidden_syscall = Report::ForbiddenSyscall{
        notification.data.nr, syscall_name(notification.data.arch, notification.data.nr),
        architecture_name(notification.data.arch, notification.data.nr)};
  kill_job(slot, job, KillReason::kForbidden);
}

void Loop::listen_to_collector(Collector& collector) {
  if (!collector.readable)
    collector.readable.emplace([this, &collector](int result) {
      // At the job's end the rest is read at once, and the write end closed: then this is only the
      // echo of a cancel, or of that end if it came first.
      Job& job = *collector.job;
      if (result == -ECANCELED || job.slot == nullptr || !collector.write_end.valid()) return;
      drain_collector(job.slot, collector);
      if (!collector.overflown || collector.discards) listen_to_collector(collector);
    });
  ring_->poll(*collector.readable, collector.pipe.get(), POLLIN);
}

void Loop::drain_collector(Slot* slot, Collector& collector) {
  char part[65536];
  // While the job runs, a bound on one visit keeps other jobs alive beside a flood. Of reads, not
  // of bytes: a pipe in packet mode (O_DIRECT) gives one byte a read if the job likes.
  for (int reads = 0; slot == nullptr || reads < kDrainReadsMax; ++reads) {
    const ssize_t got = ::read(collector.pipe.get(), part, sizeof part);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;  // Empty for now.
    // Nothing is an empty packet, not the end: the write end is held.
    HATCHERY_CHECK(got >= 0 && collector.write_end.valid());
    const std::uint64_t room = collector.bytes_max - collector.bytes.size();
    const std::uint64_t kept = std::min<std::uint64_t>(room, static_cast<std::uint64_t>(got));
    collector.no_memory = !try_append(collector.bytes, {part, static_cast<std::size_t>(kept)});
    if (static_cast<std::uint64_t>(got) > room || collector.no_memory) {
      collector.overflown = true;
      if (collector.discards && !collector.no_memory) continue;
      if (slot != nullptr) kill_job(*slot, *collector.job, KillReason::kOutput);
      return;
    }
  }
}

namespace {

/// Notes whether the file is larger than its cap. Returns how much of it is to be read.
std::uint64_t measure_stream_file(Collector& collector) {
  struct stat status {};
  if (::fstat(collector.file.get(), &status) < 0) return 0;
  const auto size = static_cast<std::uint64_t>(status.st_size);
  collector.overflown = size > collector.bytes_max;
  return std::min(size, collector.bytes_max);
}

}  // namespace

void Loop::on_ended(Slot& slot, const protocol::Ended& ended) {
  if (slot.state == SlotState::kDead && slot.job != nullptr) slot.job->ended = ended;
  const bool running = slot.state == SlotState::kRunning;
  // Before it had read a job. A job that is killed just then costs no slot.
  if (ended.phase < protocol::WorkerPhase::kPlanned &&
      !(running && slot.job->killed != KillReason::kNone))
    return lose(slot, Error{.step = Step::kReceiveMessage,
                            .object = "from the worker of slot " + std::to_string(slot.number),
                            .detail = "it died before it had a job",
                            .remedy = "the slot is replaced"});
  if (!running) return;
  slot.apply(SlotEvent::kEnded);
  Job& job = *slot.job;
  job.ended = ended;
  collect(slot, job);
}

void Loop::fill_figures(Slot& slot, Job& job) {
  Report& report = job.report;
  const CgroupFigures figures = slot.cgroup->figures();
  const auto in_ns = [](std::optional<std::uint64_t> value) -> std::optional<Nanoseconds> {
    return value ? std::optional(Nanoseconds(*value)) : std::nullopt;
  };
  report.cpu_time = in_ns(figures.cpu_ns);
  report.cpu_user = in_ns(figures.cpu_user_ns);
  report.cpu_system = in_ns(figures.cpu_system_ns);
  report.memory_peak_bytes = figures.memory_peak_bytes;
  report.oom_kills = figures.oom_kills;
  report.process_peak = figures.process_peak;
  if (figures.process_limit_hits) report.process_limit_hit = *figures.process_limit_hits > 0;
  report.io_read_bytes = figures.io_read_bytes;
  report.io_write_bytes = figures.io_write_bytes;
  report.throttled_time = in_ns(figures.throttled_ns);
  report.cpu_pressure = in_ns(figures.cpu_pressure_ns);
  report.memory_pressure = in_ns(figures.memory_pressure_ns);
  report.io_pressure = in_ns(figures.io_pressure_ns);
  fill_from_end(job);
  if (common_.config.cgroup == CgroupUse::kAuto || job.ended.ended_ns == 0) return;
  report.cpu_user = std::chrono::microseconds(job.ended.user_us);
  report.cpu_system = std::chrono::microseconds(job.ended.system_us);
  report.cpu_time = *report.cpu_user + *report.cpu_system;
}

void Loop::record_end(Job& job) {
  if (!job.submission->group) return;
  job.report.end_order = job.submission->ends++;
  job.held.clear();
}

void Loop::collect(Slot& slot, Job& job) {
  // What its slot has in the timers stays until the reset's own: at worst it finds nothing due.
  job.cpu_due_ns = job.wall_due_ns = job.stuck_due_ns = job.health_due_ns = 0;
  record_end(job);
  fill_figures(slot, job);
  bool quick = job.spec.files_out.empty();
  for (const auto& collector : job.collectors) {
    if (collector->readable) ring_->cancel(*collector->readable);
    if (collector->file.valid())
      quick &= measure_stream_file(*collector) <= kQuickReadBytes;
    else if (!collector->overflown)
      drain_collector(nullptr, *collector);
    collector->write_end.reset();
  }
  if (job.notified) ring_->cancel(*job.notified);
  decide_outcome(job, slot.failure);
  // A job that came near its limit left pages (tmpfs, page cache) that would stifle the zygote's
  // own work.
  if (job.report.outcome == Outcome::kMemoryLimit) slot.cgroup->lift_memory_limit();
  if (quick) return finish_collecting(slot, job, take_outputs(job, {}));
  slot.porter_busy = true;
  const SlotDirectories directories = directories_of(slot, job);
  porter_->run([this, &slot, &job, directories] {
    auto outputs = std::make_shared<std::vector<Output>>(take_outputs(job, directories));
    post([this, &slot, &job, outputs] {
      slot.porter_busy = false;
      finish_collecting(slot, job, std::move(*outputs));
    });
  });
}

std::vector<Output> Loop::take_outputs(Job& job, const SlotDirectories& directories) {
  std::vector<Output> outputs;
  outputs.reserve(job.collectors.size() + job.spec.files_out.size());
  std::uint64_t room = kReportBytesMax;
  for (const auto& collector : job.collectors) {
    Output output{.name = collector->name, .truncated = collector->overflown};
    if (collector->file.valid()) {
      Result<std::string> bytes = read_stream_file(collector->file.get(), collector->bytes_max);
      if (bytes)
        output.bytes = *std::move(bytes);
      else
        output.error = std::move(bytes).error();
    } else {
      output.bytes = std::move(collector->bytes);
    }
    output.size = output.bytes.size();
    room -= std::min(output.size, room);
    outputs.push_back(std::move(output));
  }
  if (job.spec.files_out.empty()) return outputs;
  for (Output& file : copy_out(job.spec.files_out, directories, *common_.files, room))
    outputs.push_back(std::move(file));
  return outputs;
}

void Loop::finish_collecting(Slot& slot, Job& job, std::vector<Output> outputs) {
  Report& report = job.report;
  for (const Output& output : outputs) {
    if (!output.error) continue;
    if (!report.error) report.error = output.error;
    if (report.outcome == Outcome::kAccepted) report.outcome = Outcome::kFileError;
  }
  report.outputs = std::move(outputs);
  if (job.ended.ended_ns != 0) report.steps.read = since(job.ended.ended_ns, monotonic_ns());
  // Its descriptors keep the old tmpfs and its pages: they go before the next job comes.
  job.directories = {};
  --running_;
  slot.job = nullptr;
  job.slot = nullptr;
  // What failed was ours: its slot may be broken.
  const std::optional<Error> broken =
      report.outcome == Outcome::kInternalError ? report.error : std::nullopt;
  // First whoever waits for the report, then the reset: woken the other way round, zygote and next
  // worker took the waiter's CPU (p50 of /bin/true 1.42 instead of 1.15 times posix_spawn).
  deliver(job);
  if (slot.state == SlotState::kDead)
    bury(slot);
  else if (broken)
    lose(slot, *broken);
  else
    ask_for_reset(slot);
}

void Loop::ask_for_reset(Slot& slot) {
  slot.apply(SlotEvent::kCollected);
  // The cache is the old group's.
  const bool keeps_cache = profiles_[slot.profile].profile->cache_kept_bytes > 0;
  if (keeps_cache || !slot.cgroup->wants_new_job_group()) {
    const bool others_ready = !profiles_[slot.profile].ready.empty() || !unheard_.empty();
    if (is_busy() || !others_ready) return send_reset(slot, false);
    slot.reset_due_ns = monotonic_ns() + kReportFirstNs;
    return set_due(slot);
  }
  // Milliseconds, and the slot is nobody's now: on the porter's thread.
  slot.porter_busy = true;
  porter_->run([this, &slot] {
    auto renewed = std::make_shared<Result<void>>(slot.cgroup->renew_job_group());
    post([this, &slot, renewed] {
      slot.porter_busy = false;
      if (slot.state == SlotState::kDead) return bury(slot);
      if (!*renewed) return lose(slot, renewed->error());
      send_reset(slot, true);
    });
  });
}

void Loop::send_reset(Slot& slot, bool new_group) {
  slot.reset_due_ns = 0;
  const protocol::Reset message;
  const int group_fd = slot.cgroup->job_dir_fd();
  if (raw::send_message(slot.socket.get(), &message, sizeof message, &group_fd, new_group ? 1 : 0) <
      0)
    return lose(slot,
                errno_error(Step::kSendMessage, "to the zygote", errno, "the slot is replaced"));
  slot.cgroup->close_launch_files();
  slot.park_due_ns = monotonic_ns() + kResetNs;
  set_due(slot);
}

void Loop::never_ran(Job& job, Outcome outcome, std::optional<Error> error) {
  job.report.outcome = outcome;
  job.report.error = std::move(error);
  record_end(job);
  job.directories = {};
  job.slot = nullptr;
  deliver(job);
}

void Loop::deliver(Job& job) {
  Submission& submission = *job.submission;
  job.report.id = job.spec.id;
  job.report.host = common_.host_name;
  --submission.unreported;
  if (submission.group && job.report.outcome != Outcome::kCancelled &&
      (job.report.outcome == Outcome::kFileError ||
       job.report.outcome == Outcome::kInternalError)) {
    // The others would wait for one that never comes.
    for (const std::unique_ptr<Job>& other : submission.jobs)
      if (other->slot != nullptr && other->handed_over)
        kill_job(*other->slot, *other, KillReason::kCancelled);
  }
  if (submission.unreported > 0) return;
  backlog_.over(submission);
  if (submission.group) {
    std::vector<Report> reports;
    for (const std::unique_ptr<Job>& one : submission.jobs)
      reports.push_back(std::move(one->report));
    submission.group_callback(std::move(reports));
  } else {
    submission.callback(std::move(job.report));
  }
  for (std::unique_ptr<Job>& one : submission.jobs) lingering_.push_back(std::move(one));
  finished_.push_back(submission.ticket);
  backlog_.reported(submission.jobs.size());
}

void Loop::end_unplaced(std::unique_ptr<Submission> submission, Outcome outcome,
                        const std::optional<Error>& error) {
  const std::vector<Job*> jobs = submission->jobs_now();
  live_[submission->ticket] = std::move(submission);
  for (Job* job : jobs) never_ran(*job, outcome, error);
}

void Loop::do_cancel(Submission& submission) {
  submission.cancelled = true;
  for (const std::unique_ptr<Job>& job : submission.jobs)
    if (job && job->slot != nullptr && job->handed_over)
      kill_job(*job->slot, *job, KillReason::kCancelled);
}

}  // namespace hatchery
