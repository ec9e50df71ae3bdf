// Finding the hierarchies, and removing whole trees.
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <algorithm>
#include <sstream>

#include "core/cgroup.h"
#include "core/files.h"
#include "core/user_namespace.h"

namespace hatchery {
namespace {

// Those that limit or measure a job. Not "devices": a user namespace makes no device nodes. Not
// "freezer": the end of a pid namespace, or cgroup.kill, needs no freezing first.
constexpr const char* kV1Controllers[] = {"memory", "pids", "cpu", "cpuacct", "cpuset", "blkio"};

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::stringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

std::set<std::string> word_set(const std::string& text) {
  std::stringstream stream(text);
  std::set<std::string> words;
  for (std::string word; stream >> word;) words.insert(word);
  return words;
}

/// Mounts of type cgroup and cgroup2 (proc_pid_mountinfo(5)), the first of each hierarchy.
std::vector<CgroupHierarchy> mounted_hierarchies(const std::string& mountinfo) {
  std::vector<CgroupHierarchy> found;
  for (const std::string& line : split(mountinfo, '\n')) {
    const std::vector<std::string> fields = split(line, ' ');
    const auto dash = std::find(fields.begin(), fields.end(), "-");
    if (fields.size() < 10 || fields.end() - dash < 4) continue;
    CgroupHierarchy hierarchy;
    hierarchy.mount = fields[4];
    hierarchy.v2 = dash[1] == "cgroup2";
    if (!hierarchy.v2 && dash[1] != "cgroup") continue;
    const std::vector<std::string> options = split(dash[3], ',');
    for (const char* controller : kV1Controllers)
      if (!hierarchy.v2 && std::find(options.begin(), options.end(), controller) != options.end())
        hierarchy.controllers.insert(controller);
    if (!hierarchy.v2 && hierarchy.controllers.empty()) continue;
    const bool known = std::any_of(found.begin(), found.end(), [&](const CgroupHierarchy& other) {
      return other.v2 == hierarchy.v2 && other.controllers == hierarchy.controllers;
    });
    if (!known) found.push_back(hierarchy);
  }
  return found;
}

/// The own v2 group when systemd, or whoever made it, delegated it; else the root.
std::string delegated_parent(const CgroupHierarchy& hierarchy, const std::string& self_cgroup) {
  for (const std::string& line : split(self_cgroup, '\n')) {
    if (line.compare(0, 3, "0::") != 0) continue;
    std::string group = line.substr(3);
    // Where an earlier pool of this process, or of its parent, has put it: see make_pool_group().
    const std::string_view moved = kPoolsOwnGroup;
    if (group.ends_with(moved)) group.resize(group.size() - moved.size());
    if (group == "/" || group.find("..") != std::string::npos) return {};
    const std::string path = hierarchy.mount + group;
    char flag[2] = {};
    // systemd sets these on a unit with Delegate=yes (systemd.resource-control(5)).
    for (const char* name : {"trusted.delegate", "user.delegate"})
      if (::getxattr(path.c_str(), name, flag, sizeof flag) == 1 && flag[0] == '1') return group;
    // Without those: where it was given to the user, or to this user namespace, whose root it is.
    struct stat status {};
    if ((::geteuid() != 0 || !has_all_ids()) && ::stat(path.c_str(), &status) == 0 &&
        status.st_uid == ::geteuid())
      return group;
  }
  return {};
}

std::vector<std::string> children(const std::string& directory) {
  std::vector<std::string> names;
  DIR* stream = ::opendir(directory.c_str());
  if (stream == nullptr) return names;
  for (dirent* entry = ::readdir(stream); entry != nullptr; entry = ::readdir(stream))
    if (entry->d_type == DT_DIR && entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  ::closedir(stream);
  return names;
}

/// Depth first: children before parents.
void collect(const std::string& directory, std::vector<std::string>& all) {
  for (const std::string& name : children(directory)) collect(directory + "/" + name, all);
  all.push_back(directory);
}

}  // namespace

Result<CgroupHost> CgroupHost::find(const std::string& parent) {
  Result<std::string> mountinfo = read_whole_file("/proc/self/mountinfo");
  Result<std::string> self_cgroup = read_whole_file("/proc/self/cgroup");
  if (!mountinfo) return std::move(mountinfo).error();
  if (!self_cgroup) return std::move(self_cgroup).error();
  CgroupHost host;
  host.hierarchies = mounted_hierarchies(*mountinfo);
  if (host.hierarchies.empty())
    return Error{
        .step = Step::kFindCgroup,
        .object = "/proc/self/mountinfo",
        .detail = "no cgroup hierarchy is mounted",
        .remedy =
            "mount cgroup2 on /sys/fs/cgroup, or set cgroup = \"none\" where weaker limits do"};
  for (CgroupHierarchy& hierarchy : host.hierarchies) {
    if (hierarchy.v2) {
      const Result<std::string> offered = read_whole_file(hierarchy.mount + "/cgroup.controllers");
      if (offered) hierarchy.controllers = word_set(*offered);
      hierarchy.parent = delegated_parent(hierarchy, *self_cgroup);
    }
    if (!parent.empty()) hierarchy.parent = (parent[0] == '/' ? "" : "/") + parent;
    if (hierarchy.parent == "/") hierarchy.parent.clear();
    if (hierarchy.v2 && !hierarchy.parent.empty()) {
      const Result<std::string> offered =
          read_whole_file(hierarchy.mount + hierarchy.parent + "/cgroup.controllers");
      if (offered) hierarchy.controllers = word_set(*offered);
    }
  }
  return host;
}

const CgroupHierarchy* CgroupHost::with(const std::string& controller) const noexcept {
  for (const CgroupHierarchy& hierarchy : hierarchies)
    if (hierarchy.controllers.contains(controller)) return &hierarchy;
  return nullptr;
}

const CgroupHierarchy* CgroupHost::v2() const noexcept {
  for (const CgroupHierarchy& hierarchy : hierarchies)
    if (hierarchy.v2) return &hierarchy;
  return nullptr;
}

std::string CgroupHost::name() const {
  if (hierarchies.empty()) return "no cgroup: rlimits of each process";
  const bool v1 = std::any_of(hierarchies.begin(), hierarchies.end(),
                              [](const CgroupHierarchy& hierarchy) { return !hierarchy.v2; });
  if (!v1) return "cgroup v2";
  return v2() != nullptr ? "cgroup v1+v2" : "cgroup v1";
}

/// Kills every process in the group and those below, waits until they are gone, removes the groups.
Result<void> remove_cgroup_tree(const std::string& directory, std::uint32_t wait_ms) {
  std::vector<std::string> all;
  collect(directory, all);
  for (std::uint32_t waited_ms = 0;; ++waited_ms) {
    std::string busy;
    for (const std::string& group : all) {
      if (::rmdir(group.c_str()) == 0 || errno == ENOENT) continue;
      if (errno != EBUSY && errno != ENOTEMPTY)
        return errno_error(Step::kRemoveCgroup, group, errno, "remove it by hand with rmdir");
      busy = group;
      const Result<std::string> procs = read_whole_file(group + "/cgroup.procs");
      if (!procs) continue;
      for (const std::string& pid : split(*procs, '\n')) {
        const std::optional<std::uint64_t> number = leading_number(pid);
        // A number read from the group just now: the only way to kill on v1, which has no
        // cgroup.kill.
        if (number && *number > 1) ::kill(static_cast<pid_t>(*number), SIGKILL);
      }
    }
    if (busy.empty()) return {};
    if (waited_ms >= wait_ms)
      return errno_error(Step::kRemoveCgroup, busy, EBUSY,
                         "a process in it can't be killed; see its cgroup.procs");
    ::poll(nullptr, 0, 1);  // The kernel tells nobody on v1 when a group becomes empty.
  }
}

Result<bool> remove_dead_pool_cgroups(const CgroupHost& host, const std::string& pool_name) {
  std::vector<UniqueFd> locks;
  for (const CgroupHierarchy& hierarchy : host.hierarchies) {
    const std::string path = hierarchy.mount + hierarchy.parent + "/hatchery/" + pool_name;
    locks.emplace_back(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (locks.back().valid() && ::flock(locks.back().get(), LOCK_EX | LOCK_NB) < 0) return false;
  }
  return remove_pool_cgroups(host, pool_name);
}

Result<bool> remove_pool_cgroups(const CgroupHost& host, const std::string& pool_name) {
  bool found = false;
  for (const CgroupHierarchy& hierarchy : host.hierarchies) {
    const std::string group = hierarchy.mount + hierarchy.parent + "/hatchery/" + pool_name;
    if (::access(group.c_str(), F_OK) != 0) continue;
    found = true;
    HATCHERY_TRY(remove_cgroup_tree(group, 5'000));
    // Gone only when no other pool uses it.
    ::rmdir((hierarchy.mount + hierarchy.parent + "/hatchery").c_str());
  }
  return found;
}

std::vector<std::string> pool_cgroups(const CgroupHost& host) {
  std::set<std::string> names;
  for (const CgroupHierarchy& hierarchy : host.hierarchies)
    for (const std::string& name : children(hierarchy.mount + hierarchy.parent + "/hatchery"))
      names.insert(name);
  return {names.begin(), names.end()};
}

Result<std::string> io_device(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) < 0)
    return errno_error(Step::kValidateConfig, path, errno, "give a path of the host");
  const dev_t device = S_ISBLK(status.st_mode) ? status.st_rdev : status.st_dev;
  const std::string number = std::to_string(major(device)) + ":" + std::to_string(minor(device));
  const std::string entry = "/sys/dev/block/" + number;
  if (::access(entry.c_str(), F_OK) != 0)
    return errno_error(Step::kValidateConfig, path, ENOTBLK,
                       "give a path on a disk's own file system, or the disk's device in /dev");
  // The kernel limits whole disks only.
  if (::access((entry + "/partition").c_str(), F_OK) != 0) return number;
  Result<std::string> disk = read_whole_file(entry + "/../dev");
  if (disk) disk->resize(std::min(disk->find('\n'), disk->size()));
  return disk;
}

bool counts_io(const CgroupHierarchy& hierarchy) {
  if (hierarchy.v2) return hierarchy.controllers.contains("io");
  if (!hierarchy.controllers.contains("blkio")) return false;
  const Result<std::string> root =
      read_whole_file(hierarchy.mount + "/blkio.throttle.io_service_bytes_recursive");
  return root && root->find(':') != std::string::npos;
}

}  // namespace hatchery
