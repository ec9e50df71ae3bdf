#include "pool/slot_plan.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <climits>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

#include "core/user_namespace.h"
#include "workers/protocol.h"

namespace hatchery {
namespace {

using protocol::MountKind;
using protocol::MountOp;

/// Collects operations and their texts; offsets are final since the operations' place is reserved
/// first.
class PlanWriter {
 public:
  PlanWriter() { strings_.push_back('\0'); }

  void add(MountKind kind, const std::string& source, const std::string& target,
           std::uint16_t flags = 0) {
    pending_.push_back(
        {kind, flags, text(source), text(target), static_cast<std::uint32_t>(source.size())});
  }
  std::uint32_t text(const std::string& value) {
    if (value.empty()) return 0;
    const auto offset = static_cast<std::uint32_t>(strings_.size());
    strings_.append(value).push_back('\0');
    return offset;
  }
  /// Lays out header, operations, filters, strings.
  std::string finish(protocol::SlotPlan header, const CompiledPolicy& policy) {
    std::vector<std::uint64_t> filters = policy.zygote_filter;
    filters.insert(filters.end(), policy.worker_filter.begin(), policy.worker_filter.end());
    const std::size_t mounts = sizeof header;
    const std::size_t program = mounts + pending_.size() * sizeof(MountOp);
    const std::size_t strings = program + filters.size() * sizeof filters[0];
    const auto base = static_cast<std::uint32_t>(strings);
    for (MountOp& op : pending_) {
      op.source += base;
      op.target += base;
    }
    header.hostname += base;
    header.root_directory += base;
    header.overlay_directory += base;
    header.mounts = static_cast<std::uint32_t>(mounts);
    header.mounts_count = static_cast<std::uint32_t>(pending_.size());
    header.filters = static_cast<std::uint32_t>(program);
    header.zygote_filter_count = static_cast<std::uint32_t>(policy.zygote_filter.size());
    header.worker_filter_count = static_cast<std::uint32_t>(policy.worker_filter.size());
    header.size = static_cast<std::uint32_t>(strings + strings_.size());
    std::string bytes(header.size, '\0');
    std::memcpy(bytes.data(), &header, sizeof header);
    if (!pending_.empty())
      std::memcpy(bytes.data() + mounts, pending_.data(), pending_.size() * sizeof(MountOp));
    if (!filters.empty())
      std::memcpy(bytes.data() + program, filters.data(), filters.size() * sizeof filters[0]);
    std::memcpy(bytes.data() + strings, strings_.data(), strings_.size());
    return bytes;
  }

 private:
  std::vector<MountOp> pending_;
  std::string strings_;
};

void add_devices(PlanWriter& writer) {
  // The kernel opens no device on a filesystem that was mounted in a user namespace, as the overlay
  // is then: there they are the host's own inodes.
  const std::uint16_t device =
      static_cast<std::uint16_t>(protocol::kMountIsFile | protocol::kMountDevice |
                                 (has_all_ids() ? 0 : protocol::kMountShared));
  for (const char* name : {"null", "zero", "full", "random", "urandom"}) {
    const std::string path = std::string("/dev/") + name;
    writer.add(MountKind::kBind, path, path, device);
  }
  writer.add(MountKind::kSymlink, "/proc/self/fd", "/dev/fd");
  writer.add(MountKind::kSymlink, "/proc/self/fd/0", "/dev/stdin");
  writer.add(MountKind::kSymlink, "/proc/self/fd/1", "/dev/stdout");
  writer.add(MountKind::kSymlink, "/proc/self/fd/2", "/dev/stderr");
  writer.add(MountKind::kDirectory, "", "/dev/shm");
}

void add_etc(PlanWriter& writer, const Profile& profile) {
  writer.add(MountKind::kFile,
             "root:x:0:0:root:/:/usr/sbin/nologin\n"
             "job:x:1000:1000:job:/w:/bin/sh\n"
             "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n",
             "/etc/passwd");
  writer.add(MountKind::kFile, "root:x:0:\njob:x:1000:\nnogroup:x:65534:\n", "/etc/group");
  writer.add(MountKind::kFile,
             "127.0.0.1 localhost " + profile.hostname + "\n::1 localhost ip6-localhost\n",
             "/etc/hosts");
  writer.add(MountKind::kFile, profile.hostname + "\n", "/etc/hostname");
  writer.add(MountKind::kFile,
             "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n",
             "/etc/nsswitch.conf");
  if (profile.network == NetworkMode::kHost)
    writer.add(MountKind::kBind, "/etc/resolv.conf", "/etc/resolv.conf",
               protocol::kMountIsFile | protocol::kMountOptional);
}

using MountPoints = std::vector<std::string>;

MountPoints mount_points() {
  MountPoints points;
  std::ifstream mountinfo("/proc/self/mountinfo");
  for (std::string line; std::getline(mountinfo, line);) {
    std::istringstream fields(line);
    std::string skipped, point;
    fields >> skipped >> skipped >> skipped >> skipped >> point;
    points.push_back(std::move(point));
  }
  return points;
}

/// An overlay shows one filesystem; what is mounted below it would be missing.
bool has_mounts_below(const std::string& source, const MountPoints& points) {
  std::error_code error;
  const std::string real = std::filesystem::canonical(source, error).string() + '/';
  if (error) return false;
  return std::any_of(points.begin(), points.end(),
                     [&real](const std::string& point) { return point.starts_with(real); });
}

void add_bind(PlanWriter& writer, const BindMount& bind, const MountPoints& points) {
  struct stat status {};
  if (::lstat(bind.source.c_str(), &status) == 0 && S_ISLNK(status.st_mode) &&
      bind.source == bind.target) {
    // A merged /usr: /bin is a link into it, and stays one.
    char link[PATH_MAX];
    const ssize_t size = ::readlink(bind.source.c_str(), link, sizeof link);
    if (size > 0) {
      writer.add(MountKind::kSymlink, std::string(link, static_cast<std::size_t>(size)),
                 bind.target);
      return;
    }
  }
  std::uint16_t flags = 0;
  if (::stat(bind.source.c_str(), &status) == 0 && !S_ISDIR(status.st_mode))
    flags |= protocol::kMountIsFile;
  if (bind.writable) flags |= protocol::kMountWritable;
  if (!bind.executable) flags |= protocol::kMountNoExec;
  if (bind.optional) flags |= protocol::kMountOptional;
  if (has_mounts_below(bind.source, points)) flags |= protocol::kMountShared;
  writer.add(MountKind::kBind, bind.source, bind.target, flags);
}

}  // namespace

std::string encode_slot_plan(const Profile& profile, const CompiledPolicy& policy,
                             const std::string& overlay_directory, std::uint32_t without) {
  PlanWriter writer;
  protocol::SlotPlan header{};
  const bool own_root = !profile.root_directory.empty();
  for (const char* path : {"/proc", "/dev", "/tmp", "/w"})
    writer.add(MountKind::kDirectory, "", path);
  if (own_root) {
    writer.add(MountKind::kTmpfs, "", "/dev");
  } else {
    for (const char* path : {"/etc", "/home", "/run", "/var"})
      writer.add(MountKind::kDirectory, "", path);
    writer.add(MountKind::kSymlink, "/tmp", "/var/tmp");
    add_etc(writer, profile);
  }
  add_devices(writer);
  writer.add(MountKind::kFile, "", protocol::kMaskFile, protocol::kMountNoAccess);
  writer.add(MountKind::kDirectory, "", protocol::kMaskDirectory);
  const MountPoints points = mount_points();
  for (const BindMount& bind : profile.binds) add_bind(writer, bind, points);
  writer.add(MountKind::kProc, "", "/proc");
  for (const std::string& path : profile.masked_paths) writer.add(MountKind::kMask, "", path);
  for (const char* path : {"/proc/sys", "/proc/irq", "/proc/bus", "/proc/fs"})
    writer.add(MountKind::kReadOnly, "", path);
  if (own_root) writer.add(MountKind::kSeal, "", "/dev");

  header.version = protocol::kProtocolVersion;
  header.hostname = writer.text(profile.hostname);
  header.root_directory = writer.text(profile.root_directory);
  header.tmp_bytes = profile.tmp_bytes;
  header.work_bytes = profile.work_bytes;
  header.shm_bytes = profile.shm_bytes;
  header.tmpfs_inodes = profile.tmpfs_inodes;
  header.network_host = profile.network == NetworkMode::kHost ? 1 : 0;
  header.time_namespace =
      profile.time_namespace && ::access("/proc/self/ns/time", F_OK) == 0 ? 1 : 0;
  header.filter_listener = policy.needs_listener ? 1 : 0;
  header.filter_late = policy.loads_before_job ? 0 : 1;
  header.without = without;
  if (!profile.share_inodes && (without & protocol::kWithoutOwnInodes) == 0)
    header.overlay_directory = writer.text(overlay_directory);
  return writer.finish(header, policy);
}

std::optional<MountTexts> mount_texts(int plan_fd, int index) {
  protocol::SlotPlan header{};
  MountOp op{};
  const auto at = [](std::uint64_t offset) { return static_cast<off_t>(offset); };
  if (index < 0 || ::pread(plan_fd, &header, sizeof header, 0) != sizeof header ||
      static_cast<std::uint32_t>(index) >= header.mounts_count ||
      ::pread(plan_fd, &op, sizeof op,
              at(header.mounts + static_cast<std::uint64_t>(index) * sizeof op)) != sizeof op)
    return std::nullopt;
  const auto text = [&](std::uint32_t offset) {
    char bytes[PATH_MAX] = {};
    const ssize_t size = ::pread(plan_fd, bytes, sizeof bytes - 1, at(offset));
    return size > 0 ? std::string(bytes) : std::string();
  };
  return MountTexts{op.kind == MountKind::kBind ? text(op.source) : "", text(op.target)};
}

Result<UniqueFd> sealed_memfd(const char* name, const std::string& bytes, MemfdUse use) {
  UniqueFd fd(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.valid()) return errno_error(Step::kCreateMemfd, name, errno);
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t wrote = ::write(fd.get(), bytes.data() + done, bytes.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return errno_error(Step::kCreateMemfd, name, errno);
    done += static_cast<std::size_t>(wrote);
  }
  int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW;
  if (use == MemfdUse::kShared) seals |= F_SEAL_WRITE;
  if (::fcntl(fd.get(), F_ADD_SEALS, seals) < 0 || ::lseek(fd.get(), 0, SEEK_SET) < 0)
    return errno_error(Step::kCreateMemfd, name, errno);
  return fd;
}

}  // namespace hatchery
