// The user namespace that this process is in, and how an ordinary user gets one of its own.
// Runs in: pool. Thread: any, but enter_user_namespace() the only one.
#pragma once

#include <cstdint>
#include <vector>

#include "core/result.h"

namespace hatchery {

/// Ids as this process counts them: [first, first + count).
struct IdRange {
  std::uint32_t first = 0;
  std::uint32_t count = 0;
  bool operator==(const IdRange&) const = default;
};

/// Whether the process has CAP_SETUID and CAP_SETGID in its user namespace: root of the host, or of
/// a namespace.
bool may_give_out_ids() noexcept;

/// Whether the user namespace is the host's, as far as its ids tell: it has all of them.
bool has_all_ids();

/// What is both a uid and a gid of the user namespace this process is in (user_namespaces(7)), in
/// ascending order.
std::vector<IdRange> ids_of_this_namespace();

/// What [base, base + count) becomes where this namespace lacks some of it: the ids that are free
/// for slots in the largest range that it has, at most `count`, above those of users and daemons.
/// Empty: it has none.
IdRange ids_for_slots(std::uint32_t base, std::uint32_t count);

/// Makes an ordinary user root of a user namespace of its own, with the ids that /etc/subuid and
/// /etc/subgid lend it. newuidmap(1) maps them: it belongs to root, and checks. Files of the user
/// then belong to 0. Nothing happens to whoever may_give_out_ids(). Only before the first thread
/// is made: a process with several can't change its user namespace (EINVAL, unshare(2)).
Result<void> enter_user_namespace();

}  // namespace hatchery
