// A profile as the zygote reads it: the mount operations, the compiled filter and the sizes, in one
// sealed memfd made once a profile. Runs in: pool. Thread: any.
#pragma once

#include <optional>
#include <string>

#include "core/fd.h"
#include "core/result.h"
#include "pool/config.h"
#include "workers/syscall_policy.h"

namespace hatchery {

/// The bytes of a protocol::SlotPlan. `overlay_directory` is HostState's; `without` are
/// protocol::Protection bits (tests only).
std::string encode_slot_plan(const Profile& profile, const CompiledPolicy& policy,
                             const std::string& overlay_directory, std::uint32_t without);

enum class MemfdUse : std::uint8_t {
  kShared,  ///< By several jobs: nobody can change it any more.
  /// One job has it, which may overwrite it for itself, not make it larger. Sealed against writing
  /// too it would take 20 us: the kernel first drains its lists of pages (memfd_wait_for_pins).
  kOneJob,
};
/// A memfd with these bytes, read from its start.
Result<UniqueFd> sealed_memfd(const char* name, const std::string& bytes, MemfdUse use);

/// What operation `index` of the plan in `plan_fd` mounts, for messages; absent when there is none.
struct MountTexts {
  std::string source;  ///< "" where the kind has none, or it is content.
  std::string target;
};
std::optional<MountTexts> mount_texts(int plan_fd, int index);

}  // namespace hatchery
