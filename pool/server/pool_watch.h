// PoolWatch: sees every report, for the metrics, the operator's log, and the page and its graphs.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "pool/pool.h"
#include "pool/server/event.h"
#include "pool/server/http.h"
#include "pool/server/metrics.h"

namespace hatchery::server {

class PoolWatch {
 public:
  PoolWatch(const Pool& pool, Metrics& metrics, const EventLog& log)
      : pool_(pool), metrics_(metrics), log_(log) {}

  /// A report, from any face. Any thread.
  void saw(const Report& report);
  /// Takes the second that has passed, and tells whoever follows. One thread, each second.
  void tick();
  /// The last two minutes, then each second as it comes: Server-Sent Events "second".
  void follow(std::shared_ptr<EventStream> listener);
  /// {"seconds": […], "outcomes": {…}, "recent": […], …}
  std::string json();

 private:
  struct Second {
    std::int64_t unix_ms = 0;
    std::uint32_t jobs = 0;
    std::uint32_t queued = 0;
    std::uint32_t running = 0;
    std::uint32_t slots_ready = 0;
    std::uint32_t slots_total = 0;
    double p50_ms = 0;
    double p99_ms = 0;
  };
  static std::string text_of(const Second& second);
  /// A job's figures. Its text is made when it is asked for.
  struct Recent {
    Outcome outcome = Outcome::kAccepted;
    std::string id;
    double latency_ms = 0;
    std::uint32_t slot = 0;
    std::optional<Nanoseconds> cpu_time;
    std::optional<std::uint64_t> memory_peak_bytes;
    std::optional<int> exit_code;
    std::optional<int> signal;
  };
  static std::string text_of(const Recent& recent);

  void log(const Report& report, double latency_ms) const;

  const Pool& pool_;
  Metrics& metrics_;
  const EventLog& log_;
  std::mutex mutex_;
  std::vector<double> latencies_ms_;  ///< Of the second that passes.
  std::uint32_t jobs_ = 0;
  std::map<Outcome, std::uint64_t> outcomes_;
  std::deque<Second> seconds_;
  std::deque<Recent> recent_;  ///< The newest first.
  std::vector<std::shared_ptr<EventStream>> listeners_;
};

}  // namespace hatchery::server
