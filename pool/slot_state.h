// A slot's life as a table: states × events, every cell written. Pure: no IO, no clock. An illegal
// event is our own bug and aborts.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "core/check.h"

namespace hatchery {

enum class SlotState : std::uint8_t {
  kStarting,    ///< The launcher is asked for it, or its zygote builds it.
  kReady,       ///< A worker is parked.
  kPlacing,     ///< Leased: limits are written, files copied in.
  kRunning,     ///< The worker has the job.
  kCollecting,  ///< The job is dead; figures and outputs are read.
  kResetting,   ///< The zygote makes it new.
  kDead,        ///< Its zygote is gone or being killed; only removal is left.
};
inline constexpr std::size_t kSlotStates = 7;

enum class SlotEvent : std::uint8_t {
  kParked,      ///< A worker says that it is ready.
  kLeased,      ///< A job is given to it.
  kHandedOver,  ///< The plan is sent.
  kUnleased,    ///< The job was cancelled before it was handed over.
  kEnded,       ///< The zygote says that all processes of the job are dead.
  kCollected,   ///< Report made, reset asked for.
  kLost,        ///< Zygote died, is stuck, failed to set up or reset; or the slot is retired.
};
inline constexpr std::size_t kSlotEvents = 7;

namespace slot_table {

inline constexpr std::uint8_t kIllegal = 0xff;
constexpr std::uint8_t to(SlotState state) { return static_cast<std::uint8_t>(state); }

// Rows are states, columns events, both in the order of their enums.
inline constexpr std::array<std::array<std::uint8_t, kSlotEvents>, kSlotStates> kNext = {{
    // Parked                  Leased                   HandedOver              Unleased
    // Ended                   Collected                Lost
    {{to(SlotState::kReady), kIllegal, kIllegal, kIllegal, kIllegal, kIllegal,
      to(SlotState::kDead)}},  // Starting
    {{kIllegal, to(SlotState::kPlacing), kIllegal, kIllegal, kIllegal, kIllegal,
      to(SlotState::kDead)}},  // Ready
    {{kIllegal, kIllegal, to(SlotState::kRunning), to(SlotState::kDead), kIllegal, kIllegal,
      to(SlotState::kDead)}},  // Placing: a half-filled slot is never given on
    {{kIllegal, kIllegal, kIllegal, kIllegal, to(SlotState::kCollecting), kIllegal,
      to(SlotState::kDead)}},  // Running
    {{kIllegal, kIllegal, kIllegal, kIllegal, kIllegal, to(SlotState::kResetting),
      to(SlotState::kDead)}},  // Collecting
    {{to(SlotState::kReady), kIllegal, kIllegal, kIllegal, kIllegal, kIllegal,
      to(SlotState::kDead)}},  // Resetting
    {{to(SlotState::kDead), kIllegal, kIllegal, kIllegal, to(SlotState::kDead), kIllegal,
      to(SlotState::kDead)}},  // Dead: late messages change nothing
}};

}  // namespace slot_table

constexpr bool slot_event_is_legal(SlotState state, SlotEvent event) {
  return slot_table::kNext[static_cast<std::size_t>(state)][static_cast<std::size_t>(event)] !=
         slot_table::kIllegal;
}

/// The state after `event`. CHECKs that the event is legal.
constexpr SlotState next_slot_state(SlotState state, SlotEvent event) {
  HATCHERY_CHECK(slot_event_is_legal(state, event));
  return static_cast<SlotState>(
      slot_table::kNext[static_cast<std::size_t>(state)][static_cast<std::size_t>(event)]);
}

}  // namespace hatchery
