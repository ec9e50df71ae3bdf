#include "workers/zygote_network.h"

#include "workers/raw.h"

namespace hatchery {
namespace {

// Flow labels outlive their socket by seconds, and move no counter (ipv6(7), IPV6_FLOWLABEL_MGR).
// A Unix socket that only a queue still holds is closed by the kernel's collector, some time
// later: the first line of sockstat has the number of sockets, the others are of the whole host.
constexpr int kSockets = 3;
constexpr const char* kPaths[] = {"/proc/self/net/snmp", "/proc/self/net/snmp6",
                                  "/proc/self/net/ip6_flowlabel", "/proc/self/net/sockstat"};

}  // namespace

int NetworkSnapshot::open_files() noexcept {
  for (int i = 0; i < kFiles; ++i) {
    if (fds_[i] >= 0) ::close(fds_[i]);
    const int fd = ::open(kPaths[i], O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno != ENOENT) return -1;  // ENOENT: a kernel without IPv6.
    fds_[i] = fd < 0 ? -1 : raw::move_up(fd, protocol::kPrivateFdBase);
  }
  return 0;
}

int NetworkSnapshot::take(NetworkSnapshot& into) const noexcept {
  into.size_ = 0;
  for (int i = 0; i < kFiles; ++i) {
    if (fds_[i] < 0) continue;
    char* const text = into.text_ + into.size_;
    ssize_t got = ::pread(fds_[i], text, sizeof text_ - into.size_, 0);
    if (got < 0) return -1;
    const void* const end =
        i == kSockets ? std::memchr(text, '\n', static_cast<std::size_t>(got)) : nullptr;
    if (end != nullptr) got = static_cast<const char*>(end) - text;
    into.size_ += static_cast<std::size_t>(got);
  }
  return 0;
}

}  // namespace hatchery
