// Wakeup: how other threads wake a loop that sleeps, through an eventfd.
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>

#include "core/fd.h"

namespace hatchery {

class Wakeup {
 public:
  /// Any thread. Costs a system call only when the loop sleeps.
  void wake() {
    if (!sleeping_.exchange(false)) return;
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(fd_.get(), &one, sizeof one);
  }

  // The loop's side.
  /// From now on wake() writes. Whoever gives the loop work first makes it visible, then wakes: so
  /// the loop looks for work once more after this, and sleeps only when there is none.
  void prepare_sleep() { sleeping_.store(true); }
  void awake() { sleeping_.store(false); }
  /// When fd() is readable.
  void swallow() {
    std::uint64_t count = 0;
    [[maybe_unused]] const ssize_t got = ::read(fd_.get(), &count, sizeof count);
  }
  int fd() const noexcept { return fd_.get(); }

 private:
  UniqueFd fd_{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  std::atomic<bool> sleeping_{false};
};

}  // namespace hatchery
