// What a good configuration is. Reading and writing TOML: config_toml.cc and config_write.cc.
#include "pool/config.h"

#include <algorithm>
#include <array>
#include <set>

#include "pool/limits.h"
#include "pool/nearest_name.h"
#include "pool/units.h"

namespace hatchery {
namespace {

constexpr std::uint32_t kLoopsMax = 64;
constexpr std::uint32_t kQueueMax = 1U << 20U;
// Below lie the host's own users.
constexpr std::uint32_t kUidBaseMin = 65'536;
// The last uid: -1 means "no change" to the kernel, and -2 is taken for the overflow uid by many
// tools.
constexpr std::uint64_t kUidEnd = 0xFFFF'FFFEULL;
constexpr std::uint32_t kUidsPerSlot = 2;
constexpr std::uint32_t kShutdownMsMax = 3'600'000;
constexpr std::uint64_t kBytesMax = 1ULL << 50U;
constexpr std::size_t kNameLengthMax = 64;
constexpr std::size_t kIoMaximaMax = 16;
constexpr std::uint64_t kIoOperationsMax = 1'000'000'000;
// The launcher takes a slot plan of 256 mount operations at most, and up to 40 of them are the
// sandbox's own.
constexpr std::size_t kMountPointsMax = 216;
// tmpfs(5) takes size=0 and nr_inodes=0 for "no limit"; a few inodes go to the directories the
// sandbox makes.
constexpr std::uint64_t kTmpfsBytesMin = 4'096;
constexpr std::uint64_t kTmpfsInodesMin = 16;

constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

Error wrong(std::string object, std::string detail, std::string remedy) {
  return Error{Step::kValidateConfig, std::move(object), 0, std::move(detail), std::move(remedy)};
}

Result<void> check_range(std::string object, std::uint64_t value, std::uint64_t min,
                         std::uint64_t max) {
  if (value >= min && value <= max) return {};
  return wrong(std::move(object), std::to_string(value) + " is out of range",
               "give " + std::to_string(min) + " to " + std::to_string(max));
}

Result<void> check_size(std::string object, std::uint64_t value, std::uint64_t min) {
  if (value >= min && value <= kBytesMax) return {};
  return wrong(std::move(object), format_bytes(value) + " is out of range",
               "give " + format_bytes(min) + " to " + format_bytes(kBytesMax));
}

/// Letters, digits and `others`, 1 to 64 of them.
Result<void> check_name(std::string object, std::string_view name, std::string_view others) {
  const std::string allowed = std::string(kLetters) + "0123456789" + std::string(others);
  std::string remedy = "give 1 to 64 letters, digits";
  for (const char character : others) remedy += std::string(", '") + character + "'";
  if (name.empty()) return wrong(std::move(object), "is empty", std::move(remedy));
  if (name.size() <= kNameLengthMax && name.find_first_not_of(allowed) == std::string::npos) {
    return {};
  }
  return wrong(std::move(object), quote(name) + " is not a name", std::move(remedy));
}

/// A path with neither ".", ".." nor empty parts can be compared with another as text.
bool is_plain_path(std::string_view path) {
  std::size_t start = 0;
  while (start <= path.size()) {
    const std::size_t end = std::min(path.find('/', start), path.size());
    const std::string_view part = path.substr(start, end - start);
    if (part.empty() || part == "." || part == "..") return false;
    start = end + 1;
  }
  return path.find('\0') == std::string_view::npos;
}

Result<void> check_absolute(std::string object, std::string_view path) {
  if (path.starts_with('/') && (path.size() == 1 || is_plain_path(path.substr(1)))) return {};
  return wrong(std::move(object), quote(path) + " is not a plain absolute path",
               "begin with '/', and leave out \".\", \"..\", \"//\" and a '/' at the end");
}

bool is_below(std::string_view path, std::string_view directory) {
  return path.size() > directory.size() && path.starts_with(directory) &&
         path[directory.size()] == '/';
}

/// The sandbox's own mounts, which come after the binds or are emptied between jobs.
Result<void> check_bind_target(std::string object, std::string_view target) {
  constexpr std::array<std::string_view, 4> kOwn = {"/proc", "/tmp", "/w", "/dev/shm"};
  HATCHERY_TRY(check_absolute(object, target));
  bool taken = target == "/" || target == "/dev";
  for (const std::string_view own : kOwn) taken = taken || target == own || is_below(target, own);
  if (!taken) return {};
  return wrong(std::move(object), quote(target) + " belongs to the sandbox itself",
               "choose a target that isn't /, /dev or in /proc, /tmp, /w or /dev/shm");
}

Result<void> check_binds(const Profile& profile, const std::string& prefix) {
  const std::size_t mount_points = profile.binds.size() + profile.masked_paths.size();
  if (mount_points > kMountPointsMax) {
    return wrong(prefix + "bind",
                 std::to_string(mount_points) + " binds and masked paths are too many",
                 "give at most " + std::to_string(kMountPointsMax) + " together");
  }
  std::set<std::string_view> targets;
  for (std::size_t index = 0; index < profile.binds.size(); ++index) {
    const BindMount& bind = profile.binds[index];
    const std::string object = prefix + "bind[" + std::to_string(index) + "].";
    HATCHERY_TRY(check_absolute(object + "source", bind.source));
    HATCHERY_TRY(check_bind_target(object + "target", bind.target));
    if (!targets.insert(bind.target).second) {
      return wrong(object + "target", quote(bind.target) + " is the target of two binds",
                   "remove one of them");
    }
  }
  return {};
}

Result<void> check_io_maxima(const std::vector<IoMax>& io_max, const std::string& prefix) {
  if (io_max.size() > kIoMaximaMax)
    return wrong(prefix + "io_max", std::to_string(io_max.size()) + " disks are too many",
                 "give at most " + std::to_string(kIoMaximaMax));
  for (std::size_t index = 0; index < io_max.size(); ++index) {
    const IoMax& limit = io_max[index];
    const std::string object = prefix + "io_max[" + std::to_string(index) + "].";
    HATCHERY_TRY(check_absolute(object + "path", limit.path));
    HATCHERY_TRY(check_size(object + "read_bytes", limit.read_bytes.value_or(1), 1));
    HATCHERY_TRY(check_size(object + "write_bytes", limit.write_bytes.value_or(1), 1));
    HATCHERY_TRY(check_range(object + "read_operations", limit.read_operations.value_or(1), 1,
                             kIoOperationsMax));
    HATCHERY_TRY(check_range(object + "write_operations", limit.write_operations.value_or(1), 1,
                             kIoOperationsMax));
    if (!limit.read_bytes && !limit.write_bytes && !limit.read_operations &&
        !limit.write_operations)
      return wrong(object + "path", "is limited in nothing",
                   "give read_bytes, write_bytes, read_operations or write_operations");
  }
  return {};
}

Result<void> check_env(const std::vector<std::string>& env, const std::string& prefix) {
  for (std::size_t index = 0; index < env.size(); ++index) {
    const std::string& entry = env[index];
    const std::size_t equals = entry.find('=');
    if (equals != 0 && equals != std::string::npos && entry.find('\0') == std::string::npos) {
      continue;
    }
    return wrong(prefix + "env[" + std::to_string(index) + "]", quote(entry) + " is not a variable",
                 "write NAME=value");
  }
  return {};
}

Result<void> check_sandbox(const Profile& profile, const std::string& prefix) {
  if (!profile.root_directory.empty()) {
    HATCHERY_TRY(check_absolute(prefix + "root_directory", profile.root_directory));
  } else if (profile.binds.empty()) {
    return wrong(prefix + "bind", "the sandbox would have no files: no root_directory and no binds",
                 "give a root_directory or binds");
  }
  HATCHERY_TRY(check_binds(profile, prefix));
  for (std::size_t index = 0; index < profile.masked_paths.size(); ++index) {
    const std::string object = prefix + "masked_paths[" + std::to_string(index) + "]";
    HATCHERY_TRY(check_absolute(object, profile.masked_paths[index]));
    if (profile.masked_paths[index] == "/") {
      return wrong(object, "\"/\" would hide everything", "name files or directories below it");
    }
  }
  HATCHERY_TRY(check_size(prefix + "tmp", profile.tmp_bytes, kTmpfsBytesMin));
  HATCHERY_TRY(check_size(prefix + "work", profile.work_bytes, kTmpfsBytesMin));
  HATCHERY_TRY(check_size(prefix + "shm", profile.shm_bytes, kTmpfsBytesMin));
  HATCHERY_TRY(
      check_range(prefix + "tmpfs_inodes", profile.tmpfs_inodes, kTmpfsInodesMin, 1ULL << 31U));
  HATCHERY_TRY(check_name(prefix + "hostname", profile.hostname, "-."));
  if (profile.seccomp_policy.find('\0') != std::string::npos) {
    return wrong(prefix + "seccomp_policy", "has a NUL byte", "give the path of a file");
  }
  if (!profile.selinux_type.empty()) {
    HATCHERY_TRY(check_name(prefix + "selinux_type", profile.selinux_type, "_"));
  }
  return check_env(profile.env, prefix);
}

/// A job that asks for nothing must be allowed: the defaults themselves are within the maximums.
Result<void> check_profile_limits(const Profile& profile, const std::string& prefix) {
  HATCHERY_TRY(check_limits(profile.defaults, Step::kValidateConfig, prefix + "defaults."));
  HATCHERY_TRY(check_limits(profile.maximums, Step::kValidateConfig, prefix + "maximums."));
  const Result<Limits> filled = effective_limits({}, profile);
  if (filled) return {};
  const Error& error = filled.error();
  const std::string_view key = std::string_view(error.object).substr(sizeof("limits.") - 1);
  return wrong(prefix + "defaults." + std::string(key), error.detail,
               "lower the default or raise the maximum");
}

Result<void> check_profile(const Profile& profile, const std::string& prefix) {
  HATCHERY_TRY(check_name(prefix + "name", profile.name, "-_."));
  HATCHERY_TRY(check_sandbox(profile, prefix));
  if (profile.pin_slots && profile.defaults.cpu_set) {
    return wrong(prefix + "defaults.cpu_set",
                 "contradicts pin_slots, which gives each slot its CPU",
                 "leave one of them out; maximums.cpu_set says which CPUs slots are pinned to");
  }
  HATCHERY_TRY(check_io_maxima(profile.io_max, prefix));
  HATCHERY_TRY(check_size(prefix + "cache_kept", profile.cache_kept_bytes, 0));
  HATCHERY_TRY(check_range(prefix + "slots_max", profile.slots_max, 1, kSlotsMax));
  HATCHERY_TRY(check_range(prefix + "slots_min", profile.slots_min, 1, profile.slots_max));
  HATCHERY_TRY(check_range(prefix + "running_max", profile.running_max, 0, kSlotsMax));
  return check_profile_limits(profile, prefix);
}

Result<void> check_profiles(const PoolConfig& config) {
  if (config.profiles.empty()) {
    return wrong("profile", "there is none", "give at least one [[profile]]");
  }
  std::set<std::string_view> names;
  std::uint64_t uids = 0;
  for (std::size_t index = 0; index < config.profiles.size(); ++index) {
    const Profile& profile = config.profiles[index];
    const std::string prefix = "profile[" + std::to_string(index) + "].";
    HATCHERY_TRY(check_profile(profile, prefix));
    if (!names.insert(profile.name).second) {
      return wrong(prefix + "name", "two profiles are called " + quote(profile.name),
                   "give each [[profile]] a name of its own");
    }
    uids += std::uint64_t{profile.slots_max} * kUidsPerSlot;
  }
  if (uids <= config.uid_count) return {};
  return wrong("uid_count",
               std::to_string(config.uid_count) + " is too few: each slot has two uids, and all " +
                   "profiles' slots_max together need " + std::to_string(uids),
               "raise uid_count or lower slots_max");
}

}  // namespace

Result<void> PoolConfig::validate() const {
  HATCHERY_TRY(check_range("queue_max", queue_max, 1, kQueueMax));
  HATCHERY_TRY(check_range("loops", loops, 0, kLoopsMax));
  HATCHERY_TRY(check_range("uid_base", uid_base, kUidBaseMin, kUidEnd - kUidsPerSlot));
  HATCHERY_TRY(check_range("uid_count", uid_count, kUidsPerSlot, kUidEnd - uid_base));
  if (!name.empty()) HATCHERY_TRY(check_name("name", name, "-_"));
  HATCHERY_TRY(check_absolute("state_directory", state_directory));
  if (!cgroup_parent.empty() && !is_plain_path(cgroup_parent)) {
    return wrong("cgroup_parent", quote(cgroup_parent) + " is not a plain relative path",
                 "give it relative to the hierarchy's mount, like \"system.slice/hatchery\"");
  }
  if (!cgroup_parent.empty() && cgroup == CgroupUse::kNone)
    return wrong("cgroup_parent", "contradicts cgroup = \"none\"", "leave one of them out");
  if (zygote_path.find('\0') != std::string::npos) {
    return wrong("zygote_path", "has a NUL byte", "give the path of hatchery-zygote");
  }
  HATCHERY_TRY(check_range("shutdown_ms", shutdown_ms, 1, kShutdownMsMax));
  HATCHERY_TRY(check_size("store_bytes_max", store_bytes_max, 0));
  return check_profiles(*this);
}

}  // namespace hatchery
