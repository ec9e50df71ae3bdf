#include "pool/outcome.h"

#include <signal.h>
#include <sys/wait.h>

namespace hatchery {
namespace {

const char* exec_remedy(int errnum) {
  switch (errnum) {
    case ENOENT:
      return "check the name and PATH, and that the profile binds its directory and interpreter";
    case EACCES:
      return "it must be a regular file, executable for everybody, in directories open to "
             "everybody, of a type that SELinux lets jobs execute";
    case E2BIG:
      return "shorten args and env, or raise limits.stack: the kernel takes a quarter of it, at "
             "most 6 MiB, and 128 KiB for one string";
    case ENOEXEC:
      return "check that it is a program for this machine, or a script that begins with #!";
    case ENOMEM: return "raise limits.memory or limits.address_space";
    default: return "check that it is a program for this machine";
  }
}

/// Before exec the worker is our code: what failed is the command, the directory, or ours.
Outcome before_exec(Job& job) {
  const protocol::Failure& failure = job.ended.failure;
  Error error = errno_error(failure.step, "", failure.errnum);
  Outcome outcome = Outcome::kInternalError;
  if (failure.step == Step::kWorkerExec) {
    error.object = job.spec.args[0];
    error.remedy = exec_remedy(failure.errnum);
    outcome = Outcome::kFileError;
  } else if (failure.step == Step::kWorkerChangeDirectory) {
    error.object = job.spec.working_directory;
    error.remedy = "give a directory that exists in the sandbox";
    outcome = Outcome::kFileError;
  } else if (failure.index >= 0) {
    error.object = "item " + std::to_string(failure.index);
  }
  job.report.error = std::move(error);
  return outcome;
}

bool limit_reached(const std::optional<Nanoseconds>& used,
                   const std::optional<Nanoseconds>& limit) {
  return used && limit && *used >= *limit;
}

/// Above the limit, and nothing was killed: the kernel lets pass what can't wait, as what arrives
/// at sockets (try_charge_memcg, GFP_ATOMIC), and on v1 counts sockets apart. Little of it is no
/// job's fault: pages of files fill a group up to its limit.
bool memory_exceeded(const Job& job) {
  const std::optional<std::uint64_t>& used = job.report.memory_peak_bytes;
  const std::optional<std::uint64_t>& limit = job.limits.memory_bytes;
  return used && limit && *used > *limit + *limit / 16 + (2ULL << 20);
}

const Collector* without_memory(const Job& job) {
  for (const auto& collector : job.collectors)
    if (collector->no_memory) return collector.get();
  return nullptr;
}

/// RLIMIT_CPU counts by ticks, the figure by nanoseconds: the figure may still be below the limit.
bool ended_by_cpu_rlimit(const Job& job, int signal) {
  if (!job.cpu_by_rlimit || !job.limits.cpu_time) return false;
  return signal == SIGXCPU ||
         (signal == SIGKILL && job.killed == KillReason::kNone &&
          job.report.cpu_time.value_or(Nanoseconds(0)) * 2 >= *job.limits.cpu_time);
}

Outcome by_exit(const Job& job) {
  const int status = job.ended.wait_status;
  if (WIFSIGNALED(status)) {
    const int signal = WTERMSIG(status);
    if (ended_by_cpu_rlimit(job, signal)) return Outcome::kTimeLimit;
    return signal == SIGXFSZ ? Outcome::kOutputLimit : Outcome::kSignalled;
  }
  return WEXITSTATUS(status) == 0 ? Outcome::kAccepted : Outcome::kNonzeroExit;
}

Outcome decide(Job& job) {
  const Report& report = job.report;
  bool overflown = false;
  bool discarded = false;
  for (const auto& collector : job.collectors)
    (collector->discards ? discarded : overflown) |= collector->overflown;
  // First what can only have happened once: then what was killed for, then what the figures say.
  if (report.forbidden_syscall) return Outcome::kForbiddenSyscall;
  if (job.killed == KillReason::kCancelled) return Outcome::kCancelled;
  if (report.oom_kills.value_or(0) > 0) return Outcome::kMemoryLimit;
  if (const Collector* lost = without_memory(job)) {
    job.report.error = errno_error(Step::kReceiveMessage, "output " + lost->name, ENOMEM,
                                   "give the pool more memory, or lower limits.output");
    return Outcome::kFileError;
  }
  if (overflown || job.killed == KillReason::kOutput) return Outcome::kOutputLimit;
  if (job.killed == KillReason::kCpu || limit_reached(report.cpu_time, job.limits.cpu_time))
    return Outcome::kTimeLimit;
  if (job.killed == KillReason::kWall || limit_reached(report.wall_time, job.limits.wall_time))
    return Outcome::kWallLimit;
  if (job.killed == KillReason::kSlotLost) return Outcome::kInternalError;
  if (memory_exceeded(job)) return Outcome::kMemoryLimit;
  const Outcome outcome = by_exit(job);
  return outcome == Outcome::kAccepted && discarded ? Outcome::kOutputLimit : outcome;
}

}  // namespace

void fill_from_end(Job& job) {
  Report& report = job.report;
  const protocol::Ended& ended = job.ended;
  if (ended.ended_ns == 0) return;  // The zygote is lost, and what only it knew.
  report.minor_faults = ended.minor_faults;
  report.major_faults = ended.major_faults;
  report.voluntary_switches = ended.voluntary_switches;
  report.involuntary_switches = ended.involuntary_switches;
  if (ended.planned_ns != 0) report.steps.handed_over = since(job.placed_ns, ended.planned_ns);
  if (ended.exec_ns == 0) return;
  report.steps.exec_done = since(ended.planned_ns, ended.exec_ns);
  report.steps.ended = since(ended.exec_ns, ended.ended_ns);
  report.wall_time = since(ended.exec_ns, ended.exited_ns);
}

void decide_outcome(Job& job, const std::optional<Error>& slot_failure) {
  Report& report = job.report;
  if (job.ended.failure.step != Step::kNone) {
    report.outcome = job.killed == KillReason::kCancelled ? Outcome::kCancelled : before_exec(job);
    return;
  }
  const bool has_status = job.ended.ended_ns != 0;
  if (has_status && WIFEXITED(job.ended.wait_status))
    report.exit_code = WEXITSTATUS(job.ended.wait_status);
  if (has_status && WIFSIGNALED(job.ended.wait_status))
    report.signal = WTERMSIG(job.ended.wait_status);
  report.outcome = decide(job);
  if (report.outcome == Outcome::kInternalError && !report.error) report.error = slot_failure;
}

}  // namespace hatchery
