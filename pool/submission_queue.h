// SubmissionQueue: from any thread to the loop, through Boost.Lockfree and an eventfd. The only
// place that includes Boost.Lockfree.
#pragma once

#include <sys/eventfd.h>

#include <atomic>
#include <boost/lockfree/queue.hpp>
#include <cstdint>

#include "core/check.h"
#include "core/fd.h"

namespace hatchery {

/// `T*` travels; ownership with it. Bounded by a count that push() takes and the receiver gives
/// back with release() when the item is no longer queued anywhere.
template <typename T>
class SubmissionQueue {
 public:
  explicit SubmissionQueue(std::size_t count_max)
      : queue_(count_max + 1),
        count_max_(count_max),
        wake_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  ~SubmissionQueue() {
    T* left = nullptr;
    HATCHERY_CHECK(!queue_.pop(left));
  }

  /// False when full: the caller keeps `item`. Any thread.
  bool push(T* item) {
    if (!reserve()) return false;
    HATCHERY_CHECK(queue_.push(item));
    wake();
    return true;
  }
  /// Any thread. Costs a system call only when the loop sleeps.
  void wake() {
    if (!sleeping_.exchange(false)) return;
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(wake_fd_.get(), &one, sizeof one);
  }
  /// `count` items have left the queue for good.
  void release(std::size_t count) { count_.fetch_sub(count); }
  std::size_t count() const noexcept { return count_.load(); }

  // The loop's side.
  /// Null when empty.
  T* pop() {
    T* item = nullptr;
    return queue_.pop(item) ? item : nullptr;
  }
  /// Before the loop sleeps: from now on push() wakes. True when it may sleep: nothing came in
  /// between.
  bool prepare_sleep() {
    sleeping_.store(true);
    if (queue_.empty()) return true;
    sleeping_.store(false);
    return false;
  }
  /// After the loop woke: swallows the eventfd.
  void awake() {
    sleeping_.store(false);
    std::uint64_t count = 0;
    [[maybe_unused]] const ssize_t got = ::read(wake_fd_.get(), &count, sizeof count);
  }
  int wake_fd() const noexcept { return wake_fd_.get(); }

 private:
  bool reserve() {
    std::size_t count = count_.load();
    while (count < count_max_)
      if (count_.compare_exchange_weak(count, count + 1)) return true;
    return false;
  }

  boost::lockfree::queue<T*> queue_;
  const std::size_t count_max_;
  UniqueFd wake_fd_;
  std::atomic<std::size_t> count_{0};
  std::atomic<bool> sleeping_{false};
};

}  // namespace hatchery
