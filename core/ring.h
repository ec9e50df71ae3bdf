// Ring: one loop's kernel operations and its waiting. The only place that includes liburing is
// ring.cc; a second back end (epoll) can stand behind the same face. Runs in: pool. Thread: the
// loop's alone, from create() on.
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "core/result.h"

namespace hatchery {

/// One operation that the kernel may have in flight. Lives in its owner, which must keep it and the
/// operation's buffers until the callback has run (also after cancel()). Immovable: the kernel
/// holds its address.
class Completion {
 public:
  /// `result` is the operation's: ≥ 0, or −errno (−ECANCELED after cancel()).
  using Callback = std::function<void(int result)>;

  explicit Completion(Callback callback) : callback_(std::move(callback)) {}
  Completion(const Completion&) = delete;
  Completion& operator=(const Completion&) = delete;
  ~Completion();
  /// From the start of an operation until its callback is called.
  bool in_flight() const noexcept { return in_flight_; }

 private:
  friend class Ring;
  Callback callback_;
  Completion* next_ready_ = nullptr;
  int result_ = 0;
  bool in_flight_ = false;
};

class Ring {
 public:
  /// `entries`: operations that may be in flight at once; a power of two is best. EPERM and ENOSYS
  /// come with the setting to change. Memory is charged to the caller.
  static Result<std::unique_ptr<Ring>> create(unsigned entries);
  ~Ring();
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  // Each starts one operation and calls back once, from run_once(). Precondition: not in flight.
  /// result: the poll(2) events that are true.
  void poll(Completion& completion, int fd, unsigned events);
  void read(Completion& completion, int fd, void* buffer, std::size_t size);
  /// MSG_CMSG_CLOEXEC is always on.
  void receive(Completion& completion, int fd, msghdr* message);
  /// Asks the kernel to end it early; the callback still comes. Nothing when it is not in flight.
  void cancel(Completion& completion);

  /// Submits what is new, waits until something completes or `deadline_ns` (CLOCK_MONOTONIC) has
  /// passed, and runs the callbacks. Completions are first reaped, then run: no recursion, and a
  /// callback may start operations.
  Result<void> run_once(std::optional<std::int64_t> deadline_ns);

  std::size_t in_flight() const noexcept { return in_flight_; }

 private:
  struct Queue;  // liburing's types
  explicit Ring(std::unique_ptr<Queue> queue);
  void* next_entry(Completion* completion);
  void reap();

  std::unique_ptr<Queue> queue_;
  std::size_t in_flight_ = 0;
  Completion* ready_first_ = nullptr;
  Completion** ready_last_ = &ready_first_;
};

}  // namespace hatchery
