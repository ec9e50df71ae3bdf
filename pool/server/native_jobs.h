// Jobs and batches of the native interface: known by an id from their acceptance until some time
// after their end, so that a client may go and come back. Thread: any.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "pool/pool.h"
#include "pool/server/client_gate.h"
#include "pool/server/descriptor_pump.h"
#include "pool/server/http.h"
#include "pool/server/job_log.h"
#include "pool/server/metrics.h"
#include "pool/server/pool_watch.h"
#include "pool/server/stored_files.h"
#include "pool/server/tracked.h"

namespace hatchery::server {

struct NativeJobsConfig {
  std::uint32_t kept_ms = 600'000;              ///< After the end.
  std::uint64_t kept_bytes_max = 256ULL << 20;  ///< Of all that ended; the oldest goes first.
  std::uint32_t kept_max = 10'000;
  std::vector<std::string> src_prefixes = {};  ///< Host directories that jobs may name.
};

class NativeJobs {
 public:
  /// Runs work off the pool's loop, where reports must not be dealt with.
  using Post = std::function<void(std::function<void()>)>;

  NativeJobs(Pool& pool, StoredFiles& files, DescriptorPump& pump, PoolWatch& watch, Post post,
             NativeJobsConfig config);

  /// A job of README's "Job JSON". `log`: stdout and stderr go to a log that can be followed.
  std::optional<NativeRefusal> submit_job(std::string_view text, const ClientGate& gate,
                                          const std::string& peer, bool log,
                                          std::shared_ptr<Tracked>& job);
  /// {"job", "tests", …}: README, "A server".
  std::optional<NativeRefusal> submit_batch(std::string_view text, const ClientGate& gate,
                                            const std::string& peer,
                                            std::shared_ptr<Tracked>& batch);

  /// Null when unknown, or not that client's.
  std::shared_ptr<Tracked> find(const std::string& id, const std::string& client);
  std::shared_ptr<Tracked> find_by_key(const std::string& key, const std::string& client);
  /// Makes it known; under its key, too.
  void keep(const std::shared_ptr<Tracked>& tracked);
  /// Those of that Tracked::kind(), the newest first, at most `count`.
  std::vector<std::shared_ptr<Tracked>> newest(std::size_t count, const std::string& client,
                                               std::string_view kind);
  /// Forgets what has been done for long enough.
  void expire();

  /// Null when it has none.
  static JobLog* log_of(Tracked& tracked);
  /// Null when unknown.
  static const Output* output_of(Tracked& tracked, const std::string& name);

 private:
  friend class TrackedJob;
  friend class TrackedBatch;
  /// Host files within the prefixes, ids of the store resolved.
  std::optional<NativeRefusal> admit(JobSpec& spec);
  /// What went into the pool's store becomes the server's; counts the report.
  void settle(Report& report);

  Pool& pool_;
  StoredFiles& files_;
  DescriptorPump& pump_;
  PoolWatch& watch_;
  const Post post_;
  const NativeJobsConfig config_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Tracked>> tracked_;
  std::list<std::string> order_;  ///< Oldest first.
  std::map<std::string, std::string> keys_;
};

}  // namespace hatchery::server
