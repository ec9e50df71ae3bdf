// LiveFilter: asks the kernel itself what loaded seccomp filters answer, without the call being
// made. They are loaded as they are, none of their instructions changed.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tests/policy_table.h"

namespace hatchery::testing {

/// A filter of one answer that lies below the one in question, so that an allowed call, too, ends
/// in the filter. The kernel takes the strongest answer of all loaded filters, and of two errnos
/// that of the younger filter (seccomp(2); seccomp_run_filters() since 3.5):
enum class Floor : std::uint8_t {
  /// Answers with an errno of its own. The policy's errno shows, ALLOW and LOG become the floor's,
  /// and so does a notification, which is weaker.
  kErrno,
  /// Asks a tracer; there is none, so ENOSYS. A notification is stronger and shows.
  kTrace,
  /// No floor: a call that is allowed is made. Only for calls that must be refused.
  kNone,
};

/// Loaded one after the other.
using Filters = std::vector<std::vector<std::uint64_t>>;

/// How a call came back.
struct LiveAnswer {
  /// What the kernel returned: 0 or more, or a negative errno; kFloorErrno for the floor's.
  std::int64_t result = 0;
  /// The last filter's listener was told of exactly this call: number, architecture and arguments.
  bool notified = false;
};
inline constexpr std::int64_t kFloorErrno = 4001;

/// Calls that the kernel makes without asking any filter: uretprobe(2) of x86-64 since 6.14, and
/// uprobe(2) since 6.18. From anywhere but a probe's own trampoline the one raises SIGILL, the
/// other is ENXIO, so a job has nothing of them; but there is no answer of a filter to be compared.
bool passes_every_filter(const Call& call);

/// Makes each call in a child under `filters` (an unprivileged one, should the kernel let one
/// through). An error text, or "" with an answer for each call. `listener`: the last one notifies.
/// The calls are of one architecture; those of i386 need missing_feature("ia32") to be "".
std::string live_answers(const Filters& filters, bool listener, Floor floor,
                         std::span<const Call> calls, std::vector<LiveAnswer>& answers);

/// What seccomp(2) calls the kernel's answer, as table_answer() gives it: from a run over each of
/// the two floors.
std::string live_policy(const Filters& filters, bool listener, std::span<const Call> calls,
                        std::vector<std::uint32_t>& answers);

}  // namespace hatchery::testing
