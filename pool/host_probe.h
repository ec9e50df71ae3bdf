// What this host gives to the pool: every feature that the design needs, probed by trying it, and
// not by guessing from versions. For `hatchery doctor` and for tests that need a feature. Runs in:
// any process with one thread (it clones children for an instant). Thread: main.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hatchery {

enum class FeatureNeed : std::uint8_t {
  kRequired,  ///< Without it no pool starts.
  kWanted,    ///< Without it some protection, limit or figure is missing; `consequence` says which.
  kInteresting,  ///< For measuring and for the operator; no fault.
};

struct HostFeature {
  std::string name = {};
  FeatureNeed need = FeatureNeed::kInteresting;
  bool present = false;
  std::string value = {};        ///< What was found: a version, a path, a number.
  std::string consequence = {};  ///< What follows when it is missing.
  std::string remedy = {};       ///< What to do then.
};

struct HostFeatureGroup {
  std::string name;
  std::vector<HostFeature> features;
};

/// "required", "wanted", "interesting".
const char* feature_need_name(FeatureNeed need) noexcept;

/// Probes all. Leaves nothing behind: groups that it makes it removes.
std::vector<HostFeatureGroup> probe_host();

/// True when nothing required is missing.
bool host_suffices(const std::vector<HostFeatureGroup>& groups);

/// The feature of that name, or null.
const HostFeature* find_feature(const std::vector<HostFeatureGroup>& groups, std::string_view name);

// The groups, each in a file of its own.

HostFeatureGroup probe_kernel();  ///< Versions and system calls.
HostFeatureGroup probe_namespaces();
HostFeatureGroup probe_cgroups();
HostFeatureGroup probe_confinement();  ///< seccomp, SELinux.
HostFeatureGroup probe_system();       ///< Users, limits, space, what disturbs measuring.
/// A file of /proc or /sys without its last newline; empty when there is none.
std::string interface_text(const std::string& path);

}  // namespace hatchery
