// Slot: one prepared place for a job, as the loop sees it: its state, its links, its cgroup.
// Runs in: pool. Thread: the loop's.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/cgroup.h"
#include "core/fd.h"
#include "core/ring.h"
#include "pool/host_state.h"
#include "pool/slot_message.h"
#include "pool/slot_state.h"
#include "workers/protocol.h"

namespace hatchery {

struct Job;
struct Slot;

/// Slots by when something is due for them.
using SlotTimers = std::set<std::pair<std::int64_t, Slot*>>;

struct Slot {
  Slot(std::uint32_t number_in, std::size_t profile_in) : number(number_in), profile(profile_in) {}

  const std::uint32_t number;  ///< Never reused within a pool.
  const std::size_t profile;
  SlotState state = SlotState::kStarting;
  UidLease lease;
  std::optional<SlotCgroup> cgroup;
  UniqueFd socket;
  UniqueFd zygote_pidfd;
  Inbox inbox{};
  std::unique_ptr<Completion> received;
  std::unique_ptr<Completion> zygote_died;

  UniqueFd root_dir;  ///< O_PATH; from its first worker on.
  // What the parked worker sent.
  UniqueFd worker_pidfd;
  UniqueFd listener;
  std::int64_t reset_ns = 0;
  std::string exec_context;  ///< SELinux, "" for none.
  /// The number of its pair of SELinux categories.
  std::optional<std::uint32_t> categories;
  std::optional<std::uint32_t> cpu;  ///< Its zygote's home, and its jobs' where slots are pinned.

  Job* job = nullptr;
  bool ever_ready = false;
  bool start_answered = false;  ///< The launcher's SlotStarted has come.
  bool porter_busy = false;     ///< Files are being copied in or out.
  bool removing = false;
  bool buried = false;    ///< In the loop's list of dead slots.
  bool given_up = false;  ///< Its zygote does not die, though it was killed.
  std::optional<Error> failure;
  std::int64_t ready_since_ns = 0;
  std::int64_t due_ns = 0;         ///< Key in the loop's timer set; 0: none.
  SlotTimers::node_type timer;     ///< Of that set, while it is not in it.
  std::int64_t lost_due_ns = 0;    ///< When a zygote that won't die is given up.
  std::int64_t reset_due_ns = 0;   ///< When its zygote is asked for the reset; 0: asked, or later.
  std::int64_t starved_ns = 0;     ///< Since when it is late because it has no CPU; 0: it is not.
  std::int64_t remove_due_ns = 0;  ///< When the removal of its groups is tried again.
  std::int64_t park_due_ns = 0;    ///< When a slot that does not get ready is given up.

  void apply(SlotEvent event) { state = next_slot_state(state, event); }
  bool idle() const noexcept {
    return !(received && received->in_flight()) && !(zygote_died && zygote_died->in_flight()) &&
           !porter_busy;
  }
};

}  // namespace hatchery
