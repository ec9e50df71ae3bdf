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

/// The type that jobs get where a profile has `asked`, "" for none. "auto" is hatchery_job_t where
/// we ourselves run in hatchery_t, else none. Errors: "" in hatchery_t, whose policy lets no job
/// run as what starts it.
Result<std::string> job_type(const std::string& asked);

/// Labels for the slot that holds lease `index`. Errors: SELinux is off, the type is unknown to the
/// policy, the index is beyond kCategoryPairs.
Result<SlotLabel> slot_label(const std::string& type, std::uint32_t index);

/// Whether a zygote, executed from the file `zygote_path`, may start processes with that context.
/// Also true where a denial is only logged.
Result<void> check_entry(const std::string& zygote_path, const std::string& exec_context);

/// Whether a job with that context may read and write `fd` as it is opened. The kernel would give
/// it /dev/null instead. `object` is for the message.
Result<void> check_lent(const std::string& exec_context, int fd, const std::string& object);

}  // namespace hatchery
