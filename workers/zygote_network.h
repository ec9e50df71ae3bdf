// What a slot's network namespace counts: whether a job used it. Runs in: zygote. Thread: the only
// one.
#pragma once

#include <cstddef>
#include <cstring>

namespace hatchery {

/// Every packet, refused connection and failed look-up of a route moves a counter of one of its
/// files (IPv4 with TCP for both, IPv6).
class NetworkSnapshot {
 public:
  /// For the network namespace that the caller is in now. Negative, with errno, when it fails.
  int open_files() noexcept;
  /// Reads them `into` a snapshot, which may be this one. Negative, with errno, when it fails.
  int take(NetworkSnapshot& into) const noexcept;
  bool equals(const NetworkSnapshot& other) const noexcept {
    return size_ == other.size_ && std::memcmp(text_, other.text_, size_) == 0;
  }

 private:
  static constexpr int kFiles = 4;
  int fds_[kFiles] = {-1, -1, -1, -1};
  std::size_t size_ = 0;
  char text_[12 * 1024];
};

}  // namespace hatchery
