// What Pool::create() checks and makes before any loop starts. Runs in: pool. Thread: the caller's.
#pragma once

#include <cstdint>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/cgroup.h"
#include "core/fd.h"
#include "core/result.h"
#include "pool/backlog.h"
#include "pool/config.h"
#include "pool/file_store.h"
#include "pool/host_state.h"

namespace hatchery {

/// What all loops of a pool need for a profile.
struct ProfileSetup {
  std::vector<std::uint32_t> pin_cpus;  ///< That slots are pinned to; empty: they are not.
  std::vector<std::string> io_max;      ///< Lines for SlotCgroup::limit_io().
  /// The first slot's SELinux exec context, which stands for all in whether it exists and what it
  /// may; "" for none.
  std::string label;
};

/// What is one loop's alone.
struct LoopShare {
  std::vector<std::uint32_t> slots_min;  ///< One a profile.
  std::vector<std::uint32_t> slots_max;  ///< One a profile; 0: none of its slots are here.
  std::vector<std::uint32_t> cpus;       ///< Homes for its slots.
};

/// What the loops of a pool have in common. It outlives them.
struct PoolCommon {
  PoolConfig config = {.profiles = {}};  ///< That of prepare_pool(), at its end.
  CgroupHost cgroups;
  std::string host_name;  ///< CgroupHost::name().
  std::string zygote_path;
  std::vector<ProfileSetup> profiles;
  /// One a profile, made on a thread of their own meanwhile: the first reader waits. With an error
  /// in one Pool::create() fails.
  std::shared_future<std::vector<Result<UniqueFd>>> slot_plans;
  std::vector<LoopShare> shares;
  std::unique_ptr<CgroupFileBudget> cgroup_files;
  std::optional<HostState> host;
  std::unique_ptr<FileStore> files;
  std::unique_ptr<Backlog> backlog;
};

/// Checks host and profiles, and removes what a killed pool left behind. The locks of this one are
/// held from then on.
Result<PoolCommon> prepare_pool(PoolConfig config);

/// Every limit must be enforceable here, or the job is refused (never run with less).
Result<void> check_controllers(const Limits& limits, const CgroupHost& cgroups, CgroupUse cgroup);

}  // namespace hatchery
