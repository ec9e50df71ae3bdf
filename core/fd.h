// UniqueFd: sole owner of a file descriptor.
#pragma once

#include <unistd.h>

#include <cerrno>
#include <utility>

namespace hatchery {

/// Move-only. No conversion to int or bool: fd 0 is valid, and a raw int must not escape unseen.
class UniqueFd {
 public:
  UniqueFd() noexcept = default;
  explicit UniqueFd(int fd) noexcept : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() { reset(); }

  /// The number, or -1 when it owns nothing. Ownership stays.
  int get() const noexcept { return fd_; }
  bool valid() const noexcept { return fd_ >= 0; }
  /// Gives up ownership: only where the descriptor leaves the process.
  [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }
  /// Closes at most once and keeps errno. close(2) is never retried: on Linux the descriptor is
  /// gone after EINTR, and a retry could close somebody else's.
  void reset() noexcept {
    if (fd_ < 0) return;
    const int saved_errno = errno;
    ::close(std::exchange(fd_, -1));
    errno = saved_errno;
  }

 private:
  int fd_ = -1;
};

}  // namespace hatchery
