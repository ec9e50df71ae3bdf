// Waiting for what nobody tells: how a test looks again and again until something is so.
#pragma once

#include <poll.h>

namespace hatchery::testing {

/// Returns once `holds()` is true; what hangs is ended by the test's time limit. Between two looks
/// the CPU is free for a millisecond: looking all the time would take it from what is awaited, most
/// of all in a guest, where one thread of the host emulates all CPUs. Not on a path that is
/// measured.
template <typename Condition>
void await(Condition holds) {
  while (!holds()) ::poll(nullptr, 0, 1);
}

}  // namespace hatchery::testing
