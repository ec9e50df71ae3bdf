// StreamPump: copies what a job writes to descriptors of ours while it runs, and counts it: the
// pool can't count what goes to a descriptor that a caller lends. One thread for all streams of the
// job.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "core/fd.h"
#include "core/result.h"
#include "pool/cli/common.h"

namespace hatchery::cli {

class StreamPump {
 public:
  /// Called on the pump's thread, once, when a stream has brought more than its limit.
  using OverflowCallback = std::function<void()>;

  /// `bytes_max` holds for each stream; absent: no limit.
  static Result<std::unique_ptr<StreamPump>> create(std::optional<std::uint64_t> bytes_max);
  /// Abandons what is left.
  ~StreamPump();
  StreamPump(const StreamPump&) = delete;
  StreamPump& operator=(const StreamPump&) = delete;

  /// Adds a stream to `target_fd`, which stays open until the pump is gone; returns the descriptor
  /// to lend to the job. `name` is for messages. Before start().
  Result<int> add(int target_fd, std::string name);
  /// Closes our copies of the lent descriptors (the pool has its own by now) and starts the thread.
  void start(OverflowCallback on_overflow);
  /// Tells the thread that no process of the job is alive: it copies what is in the pipes and ends.
  void finish() noexcept;
  /// Tells the thread to end at once.
  void abandon() noexcept;
  /// Readable when the thread has ended.
  int done_fd() const noexcept { return done_.fd(); }

  /// Waits for the thread, at once when done_fd() is readable. Needed before what follows.
  void join();

  // After join().

  bool overflowed() const noexcept { return overflowed_; }
  /// True when a target had no reader any more (EPIPE): the user's pipeline has ended, no error.
  bool reader_gone() const noexcept { return reader_gone_; }
  /// The first error of writing to a target.
  const std::optional<Error>& error() const noexcept { return error_; }

 private:
  struct Flow {
    UniqueFd read_end;
    UniqueFd write_end;
    int target_fd = -1;
    std::string name = {};
    std::uint64_t bytes_left = 0;
    /// Bytes that a write takes at most once poll says that it won't block.
    std::size_t write_max = 0;
  };

  StreamPump(std::uint64_t bytes_max, WakeUp wake, WakeUp done)
      : bytes_max_(bytes_max), wake_(std::move(wake)), done_(std::move(done)) {}

  void run();
  /// False when there is nothing to wait for any more.
  bool wait_for_input();
  void copy_some(Flow& flow);
  void write_to_target(Flow& flow, std::string_view bytes);
  bool wait_for_room(const Flow& flow);
  void overflow(Flow& flow);

  const std::uint64_t bytes_max_;
  WakeUp wake_;
  WakeUp done_;
  std::vector<Flow> flows_ = {};
  std::vector<char> buffer_ = {};
  OverflowCallback on_overflow_ = {};
  std::atomic<bool> finishing_ = false;
  std::atomic<bool> abandoned_ = false;
  // Written by the thread, read by others after done_.
  bool overflowed_ = false;
  bool reader_gone_ = false;
  std::optional<Error> error_ = {};
  // Last, so that it starts when all the rest is there.
  std::thread thread_ = {};
};

}  // namespace hatchery::cli
