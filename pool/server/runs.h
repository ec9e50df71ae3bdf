// Runs: requests of go-judge's face on their way through the pool, with what the server itself does
// for them: pipes that it relays, streams and terminals of a client.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "pool/pool.h"
#include "pool/server/descriptor_pump.h"
#include "pool/server/go_judge_jobs.h"
#include "pool/server/metrics.h"
#include "pool/server/pool_watch.h"
#include "pool/server/stored_files.h"

namespace hatchery::server::go_judge {

/// Where the bytes of streamed descriptors go to and come from.
struct ClientStreams {
  /// On the pump's thread.
  std::function<void(std::size_t index, int fd, std::string_view bytes)> on_output;
  /// Filled by start(): by index and descriptor.
  std::map<std::pair<std::size_t, int>, std::shared_ptr<DescriptorPump::Sink>> inputs = {};
};

/// One request that runs.
class Run {
 public:
  virtual ~Run() = default;
  /// The JSON array of results. Once all has ended, and once; any thread, the work is done here. A
  /// run that is let go without it leaves nothing in the store.
  virtual std::string results() = 0;
  /// Ends it; its results come nevertheless. Any thread but the pool's own.
  virtual void cancel() = 0;
};

class Runs {
 public:
  Runs(Pool& pool, StoredFiles& files, DescriptorPump& pump, Metrics& metrics, PoolWatch& watch)
      : pool_(pool), files_(files), pump_(pump), metrics_(metrics), watch_(watch) {}

  /// Starts it, or says why not. `ended` is called once, on any thread, perhaps before start()
  /// returns: then results() may be asked for.
  std::optional<Refusal> start(PreparedRequest prepared, ClientStreams* streams,
                               std::function<void()> ended, std::shared_ptr<Run>& run);

 private:
  class Started;
  Pool& pool_;
  StoredFiles& files_;
  DescriptorPump& pump_;
  Metrics& metrics_;
  PoolWatch& watch_;
};

}  // namespace hatchery::server::go_judge
