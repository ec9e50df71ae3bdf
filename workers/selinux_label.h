// SELinux labels through libselinux: whether it is on, and the context of a slot's jobs and files.
// The only place that includes libselinux is the .cc. Runs in: pool; the worker only writes the
// text made here.
#pragma once

#include <cstdint>
#include <string>

#include "core/result.h"

namespace hatchery {

/// True when the kernel has a policy loaded (enforcing or permissive).
bool selinux_enabled();

struct SlotLabel {
  std::string exec_context;  ///< Of the job: "user:role:TYPE:s0:cA,cB".
  std::string file_context;  ///< Of what it makes on the slot's tmpfs: the tmpfs's context= option.
};

/// Two of the 1,024 categories, distinct for each index below kCategoryPairs: jobs in two slots
/// share no pair.
inline constexpr std::uint32_t kCategoryPairs = 1024 * 1023 / 2;
std::string category_pair(std::uint32_t index);

/// Labels for the slot that holds lease `index`. Errors: SELinux is off, the type is unknown to the
/// policy, the index is beyond kCategoryPairs.
Result<SlotLabel> slot_label(const std::string& type, std::uint32_t index);

}  // namespace hatchery
