// The rest of a host: who we are, resource limits, space, and what makes figures noisy.
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cctype>
#include <cerrno>
#include <string>

#include "core/error.h"
#include "core/files.h"
#include "core/user_namespace.h"
#include "pool/config.h"
#include "pool/host_probe.h"
#include "pool/host_state.h"
#include "pool/limits.h"
#include "pool/units.h"

namespace hatchery {
namespace {

/// A pool of a few hundred slots: sockets, pidfds, cgroup files and collectors of each.
constexpr rlim_t kOpenFilesWanted = 16'384;
constexpr std::uint64_t kRunBytesWanted = 16ULL << 20;

HostFeature probe_root() {
  const bool root = may_give_out_ids();
  HostFeature feature = {
      .name = "root",
      .need = FeatureNeed::kRequired,
      .present = root,
      .value = root ? "yes" : "uid " + std::to_string(::geteuid()),
      .consequence = "slots can't be given host uids of their own, so no pool starts",
      .remedy =
          "run as root, or have ids lent: `usermod --add-subuids 100000-165535 "
          "--add-subgids 100000-165535 USER`, package uidmap"};
  if (root && !has_all_ids())
    feature.value =
        "of a user namespace, " + std::to_string(ids_for_slots(0, 65'536).count) + " ids for slots";
  return feature;
}

/// What no user namespace gives, however it is set up: see capabilities(7), "Interaction with user
/// namespaces".
HostFeature probe_host_root() {
  const bool root = has_all_ids() && may_give_out_ids();
  return {.name = "root of the host",
          .need = FeatureNeed::kInteresting,
          .present = root,
          .value = root ? "yes" : "no",
          .consequence =
              "the pool's loop has no real-time priority, so that limits of time are "
              "less exact on a busy host, and jobs at the same time can meet in locks on /dev/null "
              "and its like",
          .remedy = ""};
}

std::string rlimit_text(rlim_t value) {
  return value == RLIM_INFINITY ? "unlimited" : std::to_string(value);
}

HostFeature probe_open_files() {
  rlimit limit = {};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  return {.name = "RLIMIT_NOFILE",
          .need = FeatureNeed::kWanted,
          .present = limit.rlim_max >= kOpenFilesWanted,
          .value = rlimit_text(limit.rlim_cur) + " of " + rlimit_text(limit.rlim_max),
          .consequence = "a pool of many slots runs out of descriptors",
          .remedy = "raise it: LimitNOFILE= in the unit, or `ulimit -n`"};
}

HostFeature probe_locked_memory() {
  rlimit limit = {};
  ::getrlimit(RLIMIT_MEMLOCK, &limit);
  return {.name = "RLIMIT_MEMLOCK",
          .need = FeatureNeed::kInteresting,
          .present = true,
          .value = limit.rlim_cur == RLIM_INFINITY ? "unlimited" : format_bytes(limit.rlim_cur)};
}

HostFeature probe_pid_max() {
  const std::string text = interface_text("/proc/sys/kernel/pid_max");
  return {.name = "kernel.pid_max",
          .need = FeatureNeed::kWanted,
          .present = leading_number(text).value_or(0) >= 32'768,
          .value = text,
          .consequence = "jobs with many processes can use up the host's",
          .remedy = "run `sysctl kernel.pid_max=4194304`"};
}

HostFeature probe_swap() {
  const std::string swaps = interface_text("/proc/swaps");
  const bool on = swaps.find('\n') != std::string::npos;
  return {.name = "swap is off",
          .need = FeatureNeed::kInteresting,
          .present = !on,
          .value = on ? "on" : "yes",
          .consequence = "times of jobs vary when the host swaps; their own memory never is",
          .remedy = "run `swapoff -a` on a host that judges by time"};
}

HostFeature probe_core_pattern() {
  const std::string pattern = interface_text("/proc/sys/kernel/core_pattern");
  const bool pipe = !pattern.empty() && pattern.front() == '|';
  return {.name = "core dumps stay in the sandbox",
          .need = FeatureNeed::kWanted,
          .present = !pipe,
          .value = pattern,
          .consequence =
              "the kernel starts that program on the host where a job dumps core; jobs "
              "have RLIMIT_CORE 0, which a pipe ignores unless it is 1",
          .remedy = "run `sysctl kernel.core_pattern=core`"};
}

HostFeature probe_smt() {
  const std::string active = interface_text("/sys/devices/system/cpu/smt/active");
  return {.name = "SMT is off",
          .need = FeatureNeed::kInteresting,
          .present = active != "1",
          .value = active == "1"    ? "on"
                   : active.empty() ? "unknown"
                                    : "yes",
          .consequence = "two jobs share a core, and each one's CPU time depends on the other",
          .remedy =
              "write off to /sys/devices/system/cpu/smt/control, or give jobs whole cores "
              "with cpu_set"};
}

HostFeature probe_huge_pages() {
  const std::string text = interface_text("/sys/kernel/mm/transparent_hugepage/enabled");
  const bool always = text.find("[always]") != std::string::npos;
  return {.name = "transparent huge pages on request only",
          .need = FeatureNeed::kInteresting,
          .present = !always,
          .value = text.empty() ? "not in this kernel" : text,
          .consequence = "memory peaks are rounded up to 2 MiB and vary",
          .remedy = "write madvise to /sys/kernel/mm/transparent_hugepage/enabled"};
}

HostFeature probe_governor() {
  const std::string governor =
      interface_text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
  return {.name = "CPU frequency is steady",
          .need = FeatureNeed::kInteresting,
          .present = governor.empty() || governor == "performance",
          .value = governor.empty() ? "no scaling seen" : "governor " + governor,
          .consequence = "CPU times vary with the frequency",
          .remedy = "write performance to scaling_governor of every CPU"};
}

HostFeature probe_run_space() {
  struct statvfs space = {};
  // Where the pool's default state directory is made.
  std::string place = usable_state_directory(kStateDirectory);
  place.resize(place.rfind('/'));
  const int errnum = ::statvfs(place.c_str(), &space) == 0 ? 0 : errno;
  const std::uint64_t bytes = errnum == 0 ? space.f_bavail * space.f_frsize : 0;
  const bool writable = ::access(place.c_str(), W_OK) == 0;
  HostFeature feature = {.name = "space in " + place, .need = FeatureNeed::kWanted};
  feature.present = errnum == 0 && writable && bytes >= kRunBytesWanted;
  feature.value = errnum != 0 ? errno_name(errnum)
                  : writable  ? format_bytes(bytes >> 20U << 20U)
                              : "not writable";
  feature.consequence = "the pool's locks have no place";
  feature.remedy = "free some, or set state_directory in the pool's file";
  return feature;
}

HostFeature probe_cpus() {
  return {.name = "CPUs", .present = true, .value = std::to_string(usable_cpus()) + " usable"};
}

}  // namespace

HostFeatureGroup probe_system() {
  HostFeatureGroup group = {.name = "system", .features = {}};
  group.features.push_back(probe_root());
  group.features.push_back(probe_host_root());
  group.features.push_back(probe_cpus());
  group.features.push_back(probe_open_files());
  group.features.push_back(probe_locked_memory());
  group.features.push_back(probe_pid_max());
  group.features.push_back(probe_run_space());
  group.features.push_back(probe_swap());
  group.features.push_back(probe_core_pattern());
  group.features.push_back(probe_smt());
  group.features.push_back(probe_huge_pages());
  group.features.push_back(probe_governor());
  return group;
}

}  // namespace hatchery
