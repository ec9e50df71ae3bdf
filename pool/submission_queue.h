// SubmissionQueue: from any thread to the loops, through Boost.Lockfree. The only place that
// includes it.
#pragma once

#include <atomic>
#include <boost/lockfree/queue.hpp>
#include <cstddef>
#include <new>

#include "core/check.h"

namespace hatchery {

/// `T*` travels; ownership with it. Bounded by a count that push() takes and the receiver gives
/// back with release() when the item waits no longer, here or elsewhere.
template <typename T>
class SubmissionQueue {
 public:
  /// Its nodes are made when first needed, and kept: thousands at once would take a millisecond.
  explicit SubmissionQueue(std::size_t count_max) : queue_(1), count_max_(count_max) {}
  ~SubmissionQueue() {
    T* left = nullptr;
    HATCHERY_CHECK(!queue_.pop(left));
  }

  // Any thread.
  /// False when full, or without memory for it: the caller keeps `item`.
  bool push(T* item) {
    if (!reserve()) return false;
    try {
      HATCHERY_CHECK(queue_.push(item));
      return true;
    } catch (const std::bad_alloc&) {
      release(1);
      return false;
    }
  }
  /// Null when empty.
  T* pop() {
    T* item = nullptr;
    return queue_.pop(item) ? item : nullptr;
  }
  bool empty() const { return queue_.empty(); }
  /// `count` items wait no longer.
  void release(std::size_t count) { count_.fetch_sub(count); }
  std::size_t count() const noexcept { return count_.load(); }

 private:
  bool reserve() {
    std::size_t count = count_.load();
    while (count < count_max_)
      if (count_.compare_exchange_weak(count, count + 1)) return true;
    return false;
  }

  boost::lockfree::queue<T*> queue_;
  const std::size_t count_max_;
  std::atomic<std::size_t> count_{0};
};

}  // namespace hatchery
