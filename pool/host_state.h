// What pools on one host share: a state directory with a lock a pool and a lock a leased host uid;
// and, whatever their state directories, a name a leased pair of SELinux categories. Locks and
// names belong to open files, so the kernel frees them whatever way a pool ends. Runs in: pool.
// Thread: any, but for open().
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/cgroup.h"
#include "core/fd.h"
#include "core/result.h"

namespace hatchery {

/// Host ids of one slot: `uid` for its zygote, `uid` + 1 for its jobs. Freed by release_uid().
struct UidLease {
  std::uint32_t uid = 0;
  std::uint32_t index = 0;  ///< 0, 1, 2, … within the range.
};

/// Numbers that the pools of this host lease from each other, as locked bytes of a file: the kernel
/// frees a dead pool's.
class NumberLocks {
 public:
  /// `first` and `width`: number n is the bytes from first + n * width on.
  static Result<NumberLocks> open(const std::string& path, std::uint64_t first,
                                  std::uint32_t width);
  /// The lowest number below `count` that nobody has; absent when all are taken.
  Result<std::optional<std::uint32_t>> lease(std::uint32_t count);
  void release(std::uint32_t number);

 private:
  int set_lock(std::uint32_t number, short type);
  std::string path_;
  UniqueFd file_;
  std::uint64_t first_ = 0;
  std::uint32_t width_ = 1;
  /// Such locks don't conflict within one open file: what this pool itself holds.
  std::vector<bool> held_;
};

/// Pairs of SELinux categories that the pools of this host lease from each other, an ordinary
/// user's from root's too: each is an abstract name (unix(7)) that only one socket of the network
/// namespace can have. One that a stranger took is passed over. Pools in several network namespaces
/// do not see each other's.
class CategoryNames {
 public:
  /// The lowest that nobody has, as category_pair() numbers them; absent when all are taken.
  Result<std::optional<std::uint32_t>> lease();
  void release(std::uint32_t pair) { held_.erase(pair); }

 private:
  std::map<std::uint32_t, UniqueFd> held_;
};

/// `configured`; where that is the default and /run can't be written, "hatchery" in
/// $XDG_RUNTIME_DIR, which is the user's own.
std::string usable_state_directory(const std::string& configured);

/// Where the launcher finds the empty directories that OwnInodes needs.
std::string overlay_directory(const std::string& state_directory);

class HostState {
 public:
  /// Makes the directory, removes cgroups of pools that are dead, locks `pool_name` ("" makes one
  /// up), makes the groups of that name and locks them too. EBUSY: a live pool has that name. Who
  /// opens it removes them with remove_pool_cgroups().
  static Result<HostState> open(const std::string& state_directory, const std::string& pool_name,
                                const CgroupHost& cgroups, std::uint32_t uid_base,
                                std::uint32_t uid_count);

  HostState(HostState&&) = default;
  HostState& operator=(HostState&&) = delete;
  ~HostState();

  const std::string& pool_name() const noexcept { return pool_name_; }
  /// EUSERS when the range is used up.
  Result<UidLease> lease_uid();
  void release_uid(const UidLease& lease);
  /// The number of a pair of SELinux categories that no live slot of the host has, whatever range
  /// of ids its pool has. EUSERS when none is left.
  Result<std::uint32_t> lease_categories();
  void release_categories(std::uint32_t pair);
  /// Names of dead pools whose leftovers were removed at open().
  const std::vector<std::string>& removed_pools() const noexcept { return removed_pools_; }

 private:
  HostState() = default;
  std::string directory_;
  std::string pool_name_;
  UniqueFd pool_lock_;
  std::vector<UniqueFd> group_locks_;
  NumberLocks uid_locks_;
  CategoryNames categories_;
  /// Of both.
  std::unique_ptr<std::mutex> mutex_ = std::make_unique<std::mutex>();
  std::uint32_t uid_base_ = 0;
  std::uint32_t uid_count_ = 0;
  std::vector<std::string> removed_pools_;
};

}  // namespace hatchery
