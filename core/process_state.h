// For messages: what a process that does not do its work is doing instead. Any thread.
#pragma once

#include <string>

namespace hatchery {

/// Such as "pid 1234 is in state D, in folio_wait_bit_common"; "gone" for one that is reaped, or
/// whose /proc can't be read. The place in the kernel only where this process may know it.
std::string process_state(int pidfd);

}  // namespace hatchery
