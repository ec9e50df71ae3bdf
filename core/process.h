// Processes that are known by a pidfd: signals to them, and what those that do not do their work
// are doing instead. Any thread.
#pragma once

#include <sys/types.h>

#include <string>

namespace hatchery {

/// Nothing when it is dead already, or `pidfd` is -1.
void send_signal(int pidfd, int number) noexcept;

/// Such as "pid 1234 is in state D, in folio_wait_bit_common"; "gone" for one that is reaped, or
/// whose /proc can't be read. The place in the kernel only where this process may know it.
std::string process_state(int pidfd);

/// Whether it would run if it were given a CPU. False for one that is dead or gone.
bool is_runnable(int pidfd);
bool is_runnable_pid(pid_t pid);

}  // namespace hatchery
