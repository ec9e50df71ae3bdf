// Pool: slots of one or more profiles, their scheduler and their loops. The library's front door.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "core/result.h"
#include "pool/config.h"
#include "pool/file_store.h"
#include "pool/job.h"

namespace hatchery {

/// Handle of a submitted job, for cancel(). Unique within a pool.
using JobTicket = std::uint64_t;

/// A snapshot of counters that go on: they need not add up exactly while jobs come and go. Jobs of
/// a group count one by one.
struct PoolStats {
  std::uint64_t submitted = 0;    ///< Jobs accepted since the start.
  std::uint64_t reported = 0;     ///< Of those, jobs whose report was delivered.
  std::uint32_t queued = 0;       ///< Jobs accepted that do not run yet.
  std::uint32_t running = 0;      ///< Jobs from the hand-over to the report.
  std::uint32_t slots_ready = 0;  ///< Slots with a parked worker, waiting for a job.
  std::uint32_t slots_total = 0;  ///< All slots, with those that start, run, reset or are removed.
  /// Slots given up since the start because their zygote died or was stopped, or their set-up or
  /// reset failed; idle slots that were retired don't count.
  std::uint64_t slots_replaced = 0;
};

class Pool {
 public:
  /// Called once for each accepted job, on the thread of the loop that has it: return quickly,
  /// don't call drain(). Where the pool has several loops (PoolConfig::loops), perhaps at the same
  /// time as another job's.
  using Callback = std::function<void(Report)>;
  /// Reports in the order of the specs.
  using GroupCallback = std::function<void(std::vector<Report>)>;

  /// Checks host and profiles, removes what a killed pool left behind, starts the loop, the
  /// launcher and slots_min slots. Returns when the first slot of each profile is ready. Any
  /// thread.
  static Result<std::unique_ptr<Pool>> create(PoolConfig config);

  /// Drains for at most shutdown_ms, then kills; every accepted job has its report by then.
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  /// Accepts or refuses at once, without blocking. Errors: kValidateJob names the field; kQueueJob
  /// with EAGAIN when the queue is full (remedy says when to retry); kOpenInput. Any thread.
  Result<JobTicket> submit(JobSpec spec, Callback callback);
  Result<std::future<Report>> submit(JobSpec spec);

  /// Several jobs wired by pipes (PipeStream), each in its own slot, started together. At most
  /// slots_max jobs, with several loops those of one; the group waits until that many slots are
  /// free. One that can't start ends the others.
  Result<JobTicket> submit_group(std::vector<JobSpec> specs, GroupCallback callback);
  Result<std::future<std::vector<Report>>> submit_group(std::vector<JobSpec> specs);

  /// Asks for the end of a queued or running job (or group): its report will say cancelled, unless
  /// it has just ended by itself. False when it is unknown or has been reported. Any thread.
  bool cancel(JobTicket ticket);

  /// Blocks until every accepted job is reported. Not from a callback.
  void drain();

  PoolStats stats() const;
  /// Files kept between jobs; safe from any thread.
  FileStore& files();
  const PoolConfig& config() const;
  /// As in Report::host.
  std::string host() const;
  /// Of "cpu", "cpuset", "memory", "pids" and "io" the cgroup controllers that this pool has.
  std::vector<std::string> controllers() const;

 private:
  class Impl;
  explicit Pool(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace hatchery
