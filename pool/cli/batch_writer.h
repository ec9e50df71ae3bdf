// BatchWriter: the thread that turns reports into lines. It keeps the pool's loop free of
// formatting and of slow readers, and tells the main thread when there is room for more jobs.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "pool/cli/batch_summary.h"
#include "pool/cli/common.h"
#include "pool/job.h"

namespace hatchery::cli {

/// A line of the input that is no job.
struct RefusedLine {
  std::uint64_t line_number;
  std::string id = {};  ///< When it got that far.
  std::string error;
};

class BatchWriter {
 public:
  /// `fd` and `progress` outlive the writer. With `ordered` lines keep the order of their sequence
  /// numbers.
  BatchWriter(int fd, bool ordered, const WakeUp& progress);
  /// Writes what it has, then ends.
  ~BatchWriter();
  BatchWriter(const BatchWriter&) = delete;
  BatchWriter& operator=(const BatchWriter&) = delete;

  // Thread: main.

  /// Counts one more as in flight and gives it its number, 0, 1, ….
  std::uint64_t begin();
  /// Those that have begun and are not written.
  std::uint64_t in_flight() const noexcept { return begun_ - written_; }
  /// Signals `progress` once no more than this many are in flight.
  void wake_at(std::uint64_t in_flight) noexcept;
  /// Of all written so far.
  std::uint64_t written() const noexcept { return written_; }
  /// True once writing has failed: nothing is written any more.
  bool failed() const noexcept { return failed_; }
  /// Writes what it has and ends the thread. Everything begun has been put.
  void close();

  // Thread: any. One put for each begin().

  void put(std::uint64_t sequence, Report report);
  void put(std::uint64_t sequence, RefusedLine line);

  // After close().

  const BatchSummary& summary() const noexcept { return summary_; }
  const std::optional<Error>& error() const noexcept { return error_; }

 private:
  struct Item {
    std::uint64_t sequence;
    std::variant<Report, RefusedLine> content;
  };

  void put_item(Item item);
  void run();
  void write_items(std::vector<Item> items);
  std::string format(Item item);
  void write(const std::string& text);

  const int fd_;
  const bool ordered_;
  const WakeUp& progress_;
  std::atomic<std::uint64_t> begun_ = 0;
  std::atomic<std::uint64_t> written_ = 0;
  std::atomic<std::uint64_t> wake_at_ = 0;
  std::atomic<bool> failed_ = false;

  std::mutex mutex_ = {};
  std::condition_variable changed_ = {};
  std::vector<Item> items_ = {};
  bool closing_ = false;

  // The thread's own until it has ended.
  std::map<std::uint64_t, std::string> waiting_lines_ = {};
  std::uint64_t next_sequence_ = 0;
  BatchSummary summary_ = {};
  std::optional<Error> error_ = {};
  // Last, so that it starts when all the rest is there.
  std::thread thread_;
};

}  // namespace hatchery::cli
