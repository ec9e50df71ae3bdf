// A submission on its way through the pool: one job, or a group that is wired together. Owned by
// one thread at a time: the submitter's until it is pushed, the loop's from then on.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/fd.h"
#include "core/ring.h"
#include "pool/file_transfer.h"
#include "pool/job.h"
#include "pool/job_plan.h"
#include "pool/pool.h"
#include "pool/scheduler.h"
#include "workers/protocol.h"

namespace hatchery {

/// Why the pool killed a job; decides the outcome unless the kernel knows better.
enum class KillReason : std::uint8_t {
  kNone,
  kCpu,
  kWall,
  kOutput,
  kForbidden,
  kCancelled,
  kSlotLost
};

/// One stream's bytes on their way into the report.
struct Job;

struct Collector {
  Job* job = nullptr;
  int fd = -1;  ///< The descriptor's number in the job.
  std::string name;
  std::uint64_t bytes_max = 0;
  UniqueFd pipe;  ///< Read end, non-blocking.
  /// Held while the job runs: its end says that no more will come, and each pipe that ends besides
  /// would wake the loop once more, while the job is still on its way out.
  UniqueFd write_end;
  std::size_t sent_at = 0;  ///< Place of the write end among what goes to the worker.
  UniqueFd file;            ///< Instead of the pipe: what the job writes to, open for reading.
  bool discards = false;    ///< What is beyond the cap; else it kills.
  std::string bytes = {};
  bool overflown = false;
  bool no_memory = false;  ///< The pool had none for what came.
  std::optional<Completion> readable = {};
};

struct Slot;
struct Submission;

struct Job {
  JobSpec spec;
  Limits limits;
  EncodedJob plan;
  /// Host files, stored files and the caller's descriptors, opened at submit; by number in the job.
  std::map<int, UniqueFd> opened;
  Submission* submission = nullptr;
  std::size_t index = 0;  ///< Within the submission.
  Slot* slot = nullptr;   ///< While it has one.

  // From placement on.
  std::vector<std::unique_ptr<Collector>> collectors;
  UniqueFd worker_pidfd;
  OpenDirectories directories;  ///< Where it has files to copy.
  UniqueFd listener;
  std::vector<UniqueFd> held;  ///< Copies of its pipes' ends, until its end is recorded.
  std::unique_ptr<Completion> notified;
  bool cpu_by_rlimit = false;  ///< limits.cpu_time is RLIMIT_CPU: CgroupUse::kNone.
  std::uint32_t cpus = 1;      ///< It can use so many at once.
  KillReason killed = KillReason::kNone;
  bool handed_over = false;
  bool process_seen_dead = false;
  std::int64_t leased_ns = 0;
  std::int64_t placed_ns = 0;
  std::int64_t cpu_due_ns = 0;
  std::int64_t wall_due_ns = 0;
  std::int64_t stuck_due_ns = 0;
  std::int64_t health_due_ns = 0;
  protocol::Ended ended;
  Report report;

  /// No kernel operation refers to it any more.
  bool idle() const noexcept {
    if (notified && notified->in_flight()) return false;
    for (const auto& collector : collectors)
      if (collector->readable && collector->readable->in_flight()) return false;
    return true;
  }
};

struct Submission {
  /// A list of its own: what ends the last job takes `jobs` away.
  std::vector<Job*> jobs_now() const {
    std::vector<Job*> list;
    for (const std::unique_ptr<Job>& job : jobs) list.push_back(job.get());
    return list;
  }

  JobTicket ticket = 0;
  std::size_t profile = 0;
  std::string client;
  std::int32_t priority = 0;
  std::int64_t submitted_ns = 0;
  std::vector<std::unique_ptr<Job>> jobs;
  Pool::Callback callback;             ///< For one job.
  Pool::GroupCallback group_callback;  ///< For a group.
  bool group = false;
  /// Read and write ends, while the group is being placed.
  std::vector<std::pair<UniqueFd, UniqueFd>> pipes;
  std::size_t unreported = 0;
  std::size_t ends = 0;
  Scheduler<Submission*>::Position position;
  bool counted = false;    ///< Among those that Profile::running_max bounds.
  std::size_t placed = 0;  ///< Jobs whose placing is over, well or not.
  bool cancelled = false;  ///< By the caller, or since one of the group could not be placed.
};

}  // namespace hatchery
