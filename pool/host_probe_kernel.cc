// Kernel version, system calls, namespaces, seccomp and SELinux: each tried in the smallest
// harmless way.
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/sched.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <compare>
#include <csignal>
#include <cstdio>
#include <optional>

#include "core/error.h"
#include "core/fd.h"
#include "core/files.h"
#include "pool/host_probe.h"
#include "workers/raw.h"

namespace hatchery {
namespace {

struct KernelVersion {
  int major = 0, minor = 0, patch = 0;
  auto operator<=>(const KernelVersion&) const = default;
};

KernelVersion parse_version(const char* release) {
  KernelVersion version;
  // NOLINTNEXTLINE(cert-err34-c): what is missing stays 0.
  if (std::sscanf(release, "%d.%d.%d", &version.major, &version.minor, &version.patch) < 2) {
    return {};
  }
  return version;
}

/// Present unless the kernel doesn't know the call, or something in between denies it. The
/// arguments are wrong on purpose, so that a call which is there fails without doing anything.
HostFeature probe_call(const char* name, long number, std::array<long, 6> wrong_arguments,
                       const char* since, const char* consequence) {
  const long result = ::syscall(number, wrong_arguments[0], wrong_arguments[1], wrong_arguments[2],
                                wrong_arguments[3], wrong_arguments[4], wrong_arguments[5]);
  const int errnum = result < 0 ? errno : 0;
  HostFeature feature = {.name = name, .need = FeatureNeed::kRequired};
  feature.present = errnum != ENOSYS && errnum != EPERM && errnum != EACCES;
  feature.value = feature.present ? "yes" : errno_name(errnum);
  feature.consequence = consequence;
  feature.remedy = errnum == ENOSYS ? std::string("use Linux ") + since + " or newer"
                                    : "allow it in the seccomp policy of the container around";
  return feature;
}

HostFeature probe_version(const KernelVersion& version, const char* release) {
  return {.name = "kernel version",
          .need = FeatureNeed::kRequired,
          .present = version >= KernelVersion{5, 14, 0},
          .value = release,
          .consequence = "clone3 into a cgroup, cgroup.kill and id-mapped mounts are not all there",
          .remedy = "use Linux 5.14 or newer; 6.1 and newer is tested"};
}

/// Two holes that a job with read access to a file could write it through.
HostFeature probe_holes(const KernelVersion& version) {
  const bool dirty_cow = version < KernelVersion{4, 8, 3};
  const bool fixed_branch =
      (version >= KernelVersion{5, 10, 102} && version < KernelVersion{5, 11, 0}) ||
      (version >= KernelVersion{5, 15, 25} && version < KernelVersion{5, 16, 0});
  const bool dirty_pipe =
      version >= KernelVersion{5, 8, 0} && version < KernelVersion{5, 16, 11} && !fixed_branch;
  return {.name = "no Dirty COW or Dirty Pipe",
          .need = FeatureNeed::kWanted,
          .present = !dirty_cow && !dirty_pipe,
          .value = dirty_cow    ? "CVE-2016-5195, by version"
                   : dirty_pipe ? "CVE-2022-0847, by version"
                                : "by version",
          .consequence = "a job can write to read-only files of the host",
          .remedy = "update the kernel, unless your distribution has patched this version"};
}

HostFeature probe_io_uring() {
  // No entries: EINVAL where io_uring may be used.
  HostFeature feature =
      probe_call("io_uring", SYS_io_uring_setup, {0, 0}, "5.6", "the pool's loop can't start");
  const std::string disabled = interface_text("/proc/sys/kernel/io_uring_disabled");
  if (!disabled.empty()) feature.value += ", kernel.io_uring_disabled = " + disabled;
  if (!feature.present && disabled != "0" && !disabled.empty()) {
    feature.remedy = "run `sysctl kernel.io_uring_disabled=0`, or 1 and run the pool as root";
  }
  return feature;
}

/// Clones a child that ends at once, into new namespaces. 0 or the errno.
int try_clone(std::uint64_t flags) {
  clone_args args = {};
  args.flags = flags;
  args.exit_signal = SIGCHLD;
  const long child = ::syscall(SYS_clone3, &args, sizeof args);
  if (child < 0) return errno;
  if (child == 0) ::_exit(0);
  int status = 0;
  while (::waitpid(static_cast<pid_t>(child), &status, 0) < 0 && errno == EINTR) {
  }
  return 0;
}

std::string userns_remedy(int errnum) {
  if (interface_text("/proc/sys/user/max_user_namespaces") == "0") {
    return "run `sysctl user.max_user_namespaces=65536`";
  }
  if (interface_text("/proc/sys/kernel/unprivileged_userns_clone") == "0") {
    return "run `sysctl kernel.unprivileged_userns_clone=1`, or run the pool as root";
  }
  if (interface_text("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1") {
    return "run `sysctl kernel.apparmor_restrict_unprivileged_userns=0`, or run the pool as root";
  }
  if (errnum == EPERM) return "allow clone with namespaces in the container around, or run outside";
  return "use a kernel built with namespaces";
}

HostFeature probe_namespace(const char* name, std::uint64_t flag, FeatureNeed need) {
  const int errnum = try_clone(CLONE_NEWUSER | flag);
  return {.name = std::string(name) + " namespace",
          .need = need,
          .present = errnum == 0,
          .value = errnum == 0 ? "yes" : errno_name(errnum),
          .consequence = need == FeatureNeed::kRequired ? "no slot can be made"
                                                        : "jobs see the host's boot time",
          .remedy = userns_remedy(errnum)};
}

HostFeature probe_namespace_limit() {
  const std::string text = interface_text("/proc/sys/user/max_user_namespaces");
  const std::uint64_t limit = leading_number(text).value_or(0);
  return {.name = "user.max_user_namespaces",
          .need = FeatureNeed::kWanted,
          .present = limit >= 64,
          .value = text.empty() ? "absent" : text,
          .consequence = "no more slots than that can be had at once",
          .remedy = "run `sysctl user.max_user_namespaces=65536`"};
}

HostFeature probe_seccomp_action(const char* name, std::uint32_t action, FeatureNeed need,
                                 const char* consequence) {
  const bool known = raw::knows_filter_action(action);
  return {.name = name,
          .need = need,
          .present = known,
          .value = known ? "yes" : errno_name(errno),
          .consequence = consequence,
          .remedy = "use a kernel built with CONFIG_SECCOMP_FILTER, 5.0 or newer"};
}

HostFeature probe_selinux() {
  const std::string enforce = interface_text("/sys/fs/selinux/enforce");
  return {.name = "SELinux",
          .need = FeatureNeed::kInteresting,
          .present = !enforce.empty(),
          .value = enforce.empty()  ? "off"
                   : enforce == "1" ? "enforcing"
                                    : "permissive",
          .consequence = "a profile with selinux_type is refused; all other layers hold",
          .remedy = "enable SELinux if your profiles demand labels"};
}

HostFeature probe_lsms() {
  const std::string list = interface_text("/sys/kernel/security/lsm");
  return {.name = "security modules",
          .need = FeatureNeed::kInteresting,
          .present = true,
          .value = list.empty() ? "unknown (securityfs is not mounted)" : list};
}

}  // namespace

HostFeatureGroup probe_kernel() {
  utsname names = {};
  ::uname(&names);
  const KernelVersion version = parse_version(names.release);
  HostFeatureGroup group = {.name = "kernel", .features = {}};
  group.features.push_back(probe_version(version, names.release));
  group.features.push_back(probe_holes(version));
  group.features.push_back(probe_io_uring());
  group.features.push_back(
      probe_call("clone3", SYS_clone3, {0, 0}, "5.7", "no zygote or worker can be made"));
  group.features.push_back(
      probe_call("pidfd_open", SYS_pidfd_open, {-1, 0}, "5.3", "the pool can't watch its zygotes"));
  group.features.push_back(probe_call("openat2", SYS_openat2, {-1, 0, 0, 0}, "5.6",
                                      "files out can't be had without following a job's links"));
  group.features.push_back(probe_call("mount_setattr", SYS_mount_setattr, {-1, 0, 0, 0, 0}, "5.12",
                                      "binds can't be made read-only as a whole"));
  group.features.push_back(probe_call("close_range", SYS_close_range, {1, 0, 0}, "5.9",
                                      "a worker can't shed its descriptors"));
  group.features.push_back(
      probe_call("execveat", SYS_execveat, {-1, 0, 0, 0, 0}, "3.19", "no job can be executed"));
  return group;
}

HostFeatureGroup probe_namespaces() {
  constexpr FeatureNeed kRequired = FeatureNeed::kRequired;
  HostFeatureGroup group = {.name = "namespaces", .features = {}};
  group.features.push_back(probe_namespace("user", 0, kRequired));
  group.features.push_back(probe_namespace("mount", CLONE_NEWNS, kRequired));
  group.features.push_back(probe_namespace("pid", CLONE_NEWPID, kRequired));
  group.features.push_back(probe_namespace("network", CLONE_NEWNET, kRequired));
  group.features.push_back(probe_namespace("ipc", CLONE_NEWIPC, kRequired));
  group.features.push_back(probe_namespace("uts", CLONE_NEWUTS, kRequired));
  group.features.push_back(probe_namespace("cgroup", CLONE_NEWCGROUP, kRequired));
  group.features.push_back(probe_namespace("time", CLONE_NEWTIME, FeatureNeed::kWanted));
  group.features.push_back(probe_namespace_limit());
  return group;
}

HostFeatureGroup probe_confinement() {
  HostFeatureGroup group = {.name = "confinement", .features = {}};
  group.features.push_back(probe_seccomp_action("seccomp filters", SECCOMP_RET_ERRNO,
                                                FeatureNeed::kRequired, "no job can be run"));
  group.features.push_back(probe_seccomp_action(
      "seccomp user notification", SECCOMP_RET_USER_NOTIF, FeatureNeed::kWanted,
      "policies that kill are refused: forbidden calls can't be named"));
  group.features.push_back(probe_selinux());
  group.features.push_back(probe_lsms());
  return group;
}

}  // namespace hatchery
