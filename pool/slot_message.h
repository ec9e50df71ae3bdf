// What comes back from the helpers of a pool: the launcher, a slot's zygote, its parked worker. One
// datagram becomes one checked value; descriptors that came with it are owned from the first
// moment. Pure but for closing those descriptors. Runs in: pool. Thread: the loop's.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "core/fd.h"
#include "workers/protocol.h"

namespace hatchery {

/// Of a zygote or worker. Every field is one that our own helpers can send: a step that has a name,
/// a phase there is, times that are no negative numbers, and as many descriptors as belong to it.
struct SlotMessage {
  /// std::monostate: no such message. The sender is dead (no bytes), or not to be trusted.
  std::variant<std::monostate, protocol::Parked, protocol::Ended, protocol::SetupFailed> body;
  std::vector<UniqueFd> fds;  ///< Of Parked only: worker's pidfd, /w, /tmp and maybe a listener.
};

/// Of the launcher: `pidfd` is valid exactly when nothing failed.
struct LauncherMessage {
  protocol::SlotStarted body;
  UniqueFd pidfd;
};

/// One datagram, with the kernel's view of the buffers. Immovable.
struct Inbox {
  alignas(8) char bytes[256];
  // One descriptor more than the longest message has: too many are noticed.
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * 5)];
  iovec part;
  msghdr header;

  /// Ready for the next datagram.
  msghdr* prepare();
  /// What recvmsg(2) left here, whose result was `result`. nullopt: no SlotStarted.
  SlotMessage take_slot_message(int result);
  std::optional<LauncherMessage> take_launcher_message(int result);

 private:
  std::vector<UniqueFd> take_fds();
  template <typename T>
  std::optional<T> as(int result) const;
};

}  // namespace hatchery
