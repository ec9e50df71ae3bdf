// What this host gives, for tests that need it: the only reason for which a test may be skipped.
#pragma once

#include <gtest/gtest.h>

#include <string>

namespace hatchery::testing {

/// Where the freezer of cgroup v1 is mounted, if at all.
inline constexpr const char* kFreezerV1 = "/sys/fs/cgroup/freezer";

/// Why the host lacks the feature, or "" when it has it. A feature that nobody knows fails the
/// program. Names: userns, seccomp, io_uring, cgroup_memory, cgroup_pids, cgroup_cpu,
/// cgroup_v1, cgroup_v2 (it has the memory controller), cgroup_cpuset, cgroup_kill, freezer_v1,
/// job_group_kept, ipc_next_id, tmpfs_xattr, two_cpus, selinux_off, timens, clone3, openat2, root
/// (may be a user namespace's), host_root, ia32 (int $0x80 works), gcc, gxx, python3, java, javac,
/// bash, perl, go, rustc, node, fpc, chromium (with its driver), and requests, websockets and
/// selenium of Python.
std::string missing_feature(const std::string& feature);

/// True when HATCHERY_REQUIRE (a list with commas) names it: then its absence is a failure.
bool feature_is_required(const std::string& feature);

}  // namespace hatchery::testing

/// First line of a test that needs `feature`: skips it with the reason when the host lacks the
/// feature, or fails it when HATCHERY_REQUIRE says that this host must have it.
#define HATCHERY_REQUIRE_FEATURE(feature)                                               \
  do {                                                                                  \
    const std::string hatchery_missing = ::hatchery::testing::missing_feature(feature); \
    if (!hatchery_missing.empty()) {                                                    \
      if (::hatchery::testing::feature_is_required(feature))                            \
        FAIL() << "HATCHERY_REQUIRE names " << (feature) << ": " << hatchery_missing;   \
      GTEST_SKIP() << (feature) << ": " << hatchery_missing;                            \
    }                                                                                   \
  } while (false)
