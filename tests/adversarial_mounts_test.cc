// E80: the calls that change mounts, stopped by the filter, and with the filter off by the lack of
// capabilities.
#include "tests/adversarial_host.h"

namespace hatchery::testing {
namespace {

using protocol::kWithoutCapabilityDrop;
using protocol::kWithoutFilter;
using protocol::kWithoutIdChange;
using ::testing::AnyOf;

constexpr std::uint32_t kPowers = kWithoutFilter | kWithoutCapabilityDrop | kWithoutIdChange;

void without_filter(PoolConfig& config, JobSpec&) { config.testing_without = kWithoutFilter; }

/// A directory of the host that all may write, bound read-only.
void bind_scratch(PoolConfig& config, JobSpec&) {
  host_file("planted", "");
  ::unlink((scratch() + "/planted").c_str());
  config.profiles.front().binds.push_back({.source = scratch(), .target = "/bound"});
}

void bind_without_filter(PoolConfig& config, JobSpec& spec) {
  bind_scratch(config, spec);
  without_filter(config, spec);
}

/// The filter answers before the kernel looks at the arguments.
Attack refused(const std::string& name, const std::string& call,
               const ::testing::Matcher<const std::string&>& allowed) {
  return {.name = name,
          .source = "E80",
          .does = "calls " + call + " with arguments that can't be right",
          .answer = "EPERM",
          .layer = "seccomp filter",
          .job = payload("mounts", {"bad-" + call}),
          .gets = Prints("EPERM"),
          .control = without(kWithoutFilter, "filter", Prints(allowed))};
}

/// Would succeed for who has the capabilities.
Attack filtered(const std::string& name, const std::string& does, const std::string& call) {
  return {
      .name = name,
      .source = "E80",
      .does = does,
      .answer = "EPERM",
      .layer = "seccomp filter, no capabilities",
      .job = payload("mounts", {call}),
      .gets = Prints("EPERM"),
      .control = without(kPowers | protocol::kWithoutOwnInodes,
                         "filter, capability drop, change of ids (and overlay)", Prints("done")),
      .prepare = bind_scratch};
}

/// The same, and the filter is off to begin with.
Attack powerless(const std::string& name, const std::string& does, const std::string& call) {
  Attack attack = filtered(name, does + ", unfiltered", call);
  attack.layer = "no capabilities";
  attack.prepare = bind_without_filter;
  return attack;
}

HATCHERY_ATTACKS(Mounts) {
  const ::testing::Matcher<const std::string&> new_in_6_8 = AnyOf("EFAULT", "ENOSYS");
  return {
      refused("MountIsFiltered", "mount", "EFAULT"),
      refused("UmountIsFiltered", "umount", "EFAULT"),
      refused("OpenTreeIsFiltered", "open-tree", "EFAULT"),
      refused("MountSetattrIsFiltered", "mount-setattr", "EINVAL"),
      refused("FsconfigIsFiltered", "fsconfig", "EINVAL"),
      refused("StatmountIsFiltered", "statmount", new_in_6_8),
      refused("ListmountIsFiltered", "listmount", new_in_6_8),
      filtered("Fsopen", "opens a filesystem context", "fsopen"),
      filtered("Fspick", "opens a mounted filesystem for reconfiguration", "fspick"),
      filtered("PivotRoot", "pivots to a root of its own", "pivot-root"),
      filtered("MoveMount", "moves the read-only /proc/sys away", "move-away"),
      powerless("NewTmpfs", "makes a tmpfs with fsopen, fsmount and move_mount", "new-tmpfs"),
      powerless("MountTmpfs", "mounts a tmpfs", "mount-tmpfs"),
      powerless("BindRoot", "binds the root elsewhere", "bind-root"),
      powerless("CloneTree", "clones the tree of mounts", "clone-tree"),
      powerless("Unmask", "unmounts the cover of a masked file", "unmask"),
      powerless("PivotRootUnfiltered", "pivots to a root of its own", "pivot-root"),
      powerless("ShareRoot", "makes the root mount shared", "share"),
      powerless("RemountWritable", "remounts a read-only bind writable", "remount-writable"),
      powerless("SetattrWritable", "clears a bind's read-only flag", "setattr-writable"),
      powerless("MoveMountUnfiltered", "moves the read-only /proc/sys away", "move-away"),
  };
}

}  // namespace
}  // namespace hatchery::testing
