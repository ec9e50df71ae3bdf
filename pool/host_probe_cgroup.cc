// cgroups: which hierarchy has which controller, whether groups can be made there, and what a group
// has.
#include <fcntl.h>
#include <linux/sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <string>
#include <string_view>
#include <utility>

#include "core/cgroup.h"
#include "core/error.h"
#include "core/fd.h"
#include "core/files.h"
#include "pool/host_probe.h"

namespace hatchery {
namespace {

/// A group made to be looked at; removed at the end of its life.
class ProbeGroup {
 public:
  explicit ProbeGroup(const CgroupHierarchy& hierarchy)
      : parent_(hierarchy.mount + hierarchy.parent),
        path_(parent_ + "/hatchery-doctor-" + std::to_string(::getpid())) {
    errnum_ = ::mkdir(path_.c_str(), 0755) == 0 ? 0 : errno;
  }
  ~ProbeGroup() {
    if (errnum_ == 0) ::rmdir(path_.c_str());
  }
  ProbeGroup(const ProbeGroup&) = delete;
  ProbeGroup& operator=(const ProbeGroup&) = delete;

  int errnum() const noexcept { return errnum_; }
  const std::string& parent() const noexcept { return parent_; }
  std::string file(const char* name) const { return path_ + "/" + name; }
  bool has(const char* name) const { return ::access(file(name).c_str(), F_OK) == 0; }

  /// Whether a process can be born in it. 0 or the errno.
  int try_clone_into() const {
    const UniqueFd directory(::open(path_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!directory.valid()) return errno;
    clone_args args = {};
    args.flags = CLONE_INTO_CGROUP;
    args.exit_signal = SIGCHLD;
    args.cgroup = static_cast<__u64>(directory.get());
    const long child = ::syscall(SYS_clone3, &args, sizeof args);
    if (child < 0) return errno;
    if (child == 0) ::_exit(0);
    int status = 0;
    while (::waitpid(static_cast<pid_t>(child), &status, 0) < 0 && errno == EINTR) {
    }
    return 0;
  }

  bool try_write(const char* name, const char* text) const {
    const UniqueFd fd(::open(file(name).c_str(), O_RDWR | O_CLOEXEC));
    return fd.valid() && ::write(fd.get(), text, 1) == 1;
  }

 private:
  const std::string parent_;
  const std::string path_;
  int errnum_ = 0;
};

std::string hierarchy_text(const CgroupHierarchy& hierarchy) {
  return std::string(hierarchy.v2 ? "v2 at " : "v1 at ") + hierarchy.mount + hierarchy.parent;
}

HostFeature probe_controller(const CgroupHost& host, const char* name, FeatureNeed need,
                             const char* consequence) {
  const CgroupHierarchy* hierarchy = host.with(name);
  std::string value = hierarchy != nullptr ? hierarchy_text(*hierarchy) : "missing";
  return {.name = std::string(name) + " controller",
          .need = need,
          .present = hierarchy != nullptr,
          .value = std::move(value),
          .consequence = consequence,
          .remedy = std::string("enable it: under systemd with Delegate=yes, on v2 with `echo +") +
                    name + " > cgroup.subtree_control` in the parent, on v1 by mounting it"};
}

HostFeature probe_io(const CgroupHost& host) {
  HostFeature feature = {
      .name = "io controller",
      .need = FeatureNeed::kInteresting,
      .value = "missing",
      .consequence = "reports have no I/O bytes, and profiles with io_max are refused",
      .remedy = "enable the io controller of cgroup v2 for the pool's group"};
  for (const char* name : {"io", "blkio"}) {  // v2, v1
    const CgroupHierarchy* hierarchy = host.with(name);
    if (hierarchy == nullptr) continue;
    feature.present = counts_io(*hierarchy);
    feature.value = std::string(name) + ", " + hierarchy_text(*hierarchy);
    if (feature.present) return feature;
    feature.value += ", counts no bytes: no throttling policy is active";
  }
  return feature;
}

HostFeature probe_writable(const CgroupHierarchy& hierarchy, const ProbeGroup& group) {
  const std::string controllers = [&] {
    std::string text;
    for (const std::string& name : hierarchy.controllers) text += (text.empty() ? "" : ",") + name;
    return text.empty() ? std::string("no controller") : text;
  }();
  HostFeature feature = {.name = "groups in " + group.parent(), .need = FeatureNeed::kRequired};
  feature.present = group.errnum() == 0;
  feature.value =
      feature.present ? "can be made (" + controllers + ")" : errno_name(group.errnum());
  feature.consequence = "slots can't be limited there, so no pool starts";
  feature.remedy = group.errnum() == EROFS
                       ? "mount it read-write; in a container, give it its own cgroup namespace"
                       : "run as root, or in a delegated group: systemd-run --user --scope -p "
                         "Delegate=yes hatchery …";
  return feature;
}

void probe_v2_group(const ProbeGroup& group, bool has_memory, bool has_pids,
                    std::vector<HostFeature>& features) {
  const int clone_errnum = group.try_clone_into();
  features.push_back({.name = "CLONE_INTO_CGROUP",
                      .need = FeatureNeed::kWanted,
                      .present = clone_errnum == 0,
                      .value = clone_errnum == 0 ? "yes" : errno_name(clone_errnum),
                      .consequence = "jobs can't be born in a v2 group of their own",
                      .remedy = "use Linux 5.7 or newer"});
  features.push_back({.name = "cgroup.kill",
                      .need = FeatureNeed::kWanted,
                      .present = group.has("cgroup.kill"),
                      .value = group.has("cgroup.kill") ? "yes" : "missing",
                      .consequence = "leftovers are killed one by one",
                      .remedy = "use Linux 5.14 or newer"});
  if (has_memory && group.has("memory.current")) {
    const bool resets = group.has("memory.peak") && group.try_write("memory.peak", "1");
    features.push_back({.name = "memory.peak",
                        .need = FeatureNeed::kWanted,
                        .present = group.has("memory.peak"),
                        .value = resets                     ? "yes, can be reset"
                                 : group.has("memory.peak") ? "yes, can't be reset before 6.12"
                                                            : "missing",
                        .consequence = "a report has no memory peak",
                        .remedy = "use Linux 5.19 or newer, best 6.12"});
  }
  if (has_pids && group.has("pids.current")) {
    features.push_back({.name = "pids.peak",
                        .need = FeatureNeed::kInteresting,
                        .present = group.has("pids.peak"),
                        .value = group.has("pids.peak") ? "yes" : "missing",
                        .consequence = "a report has no process peak",
                        .remedy = "use Linux 6.1 or newer"});
  }
}

bool swap_is_on() {
  const Result<std::string> swaps = read_whole_file("/proc/swaps");
  // The first line is the heading.
  return swaps && swaps->find('\n') + 1 < swaps->size();
}

HostFeature probe_swap_limit(const ProbeGroup& group, bool v2) {
  const char* file = v2 ? "memory.swap.max" : "memory.memsw.limit_in_bytes";
  const bool accounted = group.has(file);
  const bool on = swap_is_on();
  return {.name = "swap can be limited",
          .need = FeatureNeed::kRequired,
          .present = accounted || !on,
          .value = accounted ? std::string(file)
                   : on      ? "no"
                             : "no, but swap is off",
          .consequence = "a job could swap beyond its memory limit",
          .remedy = "run `swapoff -a`, or boot with swapaccount=1"};
}

HostFeature probe_socket_memory(const ProbeGroup& group, bool v2) {
  const bool apart = group.try_write("memory.kmem.tcp.limit_in_bytes", "1");
  return {.name = "socket memory",
          .need = FeatureNeed::kWanted,
          .present = v2 || apart,
          .value = v2      ? "in the job's memory"
                   : apart ? "TCP and UDP counted and limited apart (v1)"
                           : "missing",
          .consequence = "buffers of TCP and UDP sockets are charged to nobody",
          .remedy = "boot with systemd.unified_cgroup_hierarchy=1, for cgroup v2"};
}

HostFeature probe_reclaim(const ProbeGroup& group, bool v2) {
  const char* file = v2 ? "memory.reclaim" : "memory.force_empty";
  return {.name = "page cache of jobs can be given back",
          .need = FeatureNeed::kWanted,
          .present = group.has(file),
          .value = group.has(file) ? file : "missing",
          .consequence = "a slot in which much was left is replaced",
          .remedy = "use Linux 5.19 or newer"};
}

}  // namespace

HostFeatureGroup probe_cgroups() {
  HostFeatureGroup result = {.name = "cgroups", .features = {}};
  const Result<CgroupHost> host = CgroupHost::find();
  if (!host) {
    const Error& error = host.error();
    result.features.push_back({.name = "cgroups",
                               .need = FeatureNeed::kRequired,
                               .value = error.detail.empty() ? error.message() : error.detail,
                               .consequence = "no limit can be enforced, so no pool starts",
                               .remedy = error.remedy});
    return result;
  }
  result.features.push_back({.name = "hierarchies", .present = true, .value = host->name()});
  using enum FeatureNeed;
  result.features.push_back(
      probe_controller(*host, "memory", kRequired, "memory can't be limited, so no pool starts"));
  result.features.push_back(
      probe_controller(*host, "pids", kRequired, "processes can't be limited, so no pool starts"));
  result.features.push_back(probe_controller(*host, "cpu", kWanted,
                                             "jobs that ask for a CPU rate or weight are refused"));
  result.features.push_back(
      probe_controller(*host, "cpuset", kWanted,
                       "jobs that ask for a CPU set are refused, and profiles with pin_slots"));
  result.features.push_back(probe_io(*host));
  const CgroupHierarchy* memory = host->with("memory");
  for (const CgroupHierarchy& hierarchy : host->hierarchies) {
    const bool used = hierarchy.v2 || hierarchy.controllers.count("memory") != 0 ||
                      hierarchy.controllers.count("pids") != 0 ||
                      hierarchy.controllers.count("cpu") != 0 ||
                      hierarchy.controllers.count("cpuacct") != 0;
    if (!used) continue;
    const ProbeGroup group(hierarchy);
    result.features.push_back(probe_writable(hierarchy, group));
    if (group.errnum() != 0) continue;
    if (hierarchy.v2) {
      probe_v2_group(group, hierarchy.controllers.count("memory") != 0,
                     hierarchy.controllers.count("pids") != 0, result.features);
    }
    const bool sees_memory = !hierarchy.v2 || group.has("memory.current");
    if (&hierarchy == memory && sees_memory) {
      result.features.push_back(probe_swap_limit(group, hierarchy.v2));
      result.features.push_back(probe_socket_memory(group, hierarchy.v2));
      result.features.push_back(probe_reclaim(group, hierarchy.v2));
    }
  }
  return result;
}

}  // namespace hatchery
