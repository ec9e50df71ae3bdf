#include "workers/slot_setup.h"

#include <linux/mount.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "workers/own_inodes.h"
#include "workers/raw.h"

// <sys/mount.h> of glibc 2.36 has the new mount calls; <linux/mount.h> is included first for
// mount_attr.

namespace hatchery {
namespace {

using protocol::Failure;
using protocol::MountKind;
using protocol::MountOp;

using protocol::kDone;
using raw::failed;
using raw::open_in_root;

/// Copies the directory part of `path` to `parent` and returns the last component, or null when it
/// is too long.
const char* split_path(const char* path, char (&parent)[4096]) noexcept {
  const char* last = std::strrchr(path, '/');
  if (last == nullptr || static_cast<std::size_t>(last - path) >= sizeof parent) {
    errno = ENAMETOOLONG;
    return nullptr;
  }
  std::memcpy(parent, path, static_cast<std::size_t>(last - path));
  parent[last - path] = '\0';
  return last + 1;
}

/// mkdir -p below the root; what exists is left alone.
int make_directories(int root_fd, const char* path) noexcept {
  char prefix[4096];
  const std::size_t size = std::strlen(path);
  if (size >= sizeof prefix) {
    errno = ENAMETOOLONG;
    return -1;
  }
  for (std::size_t end = 1; end <= size; ++end) {
    if (path[end] != '/' && path[end] != '\0') continue;
    std::memcpy(prefix, path, end);
    prefix[end] = '\0';
    const int found = open_in_root(root_fd, prefix, O_PATH);
    if (found >= 0) {
      ::close(found);
      continue;
    }
    char parent[4096];
    const char* name = split_path(prefix, parent);
    const int parent_fd =
        name == nullptr ? -1 : open_in_root(root_fd, parent, O_PATH | O_DIRECTORY);
    if (parent_fd < 0) return -1;
    const int made = ::mkdirat(parent_fd, name, 0755);
    const int saved_errno = errno;
    ::close(parent_fd);
    errno = saved_errno;
    if (made < 0 && errno != EEXIST) return -1;
  }
  return 0;
}

/// An open descriptor in the parent of `path`, whose directories are made; `name` is the last
/// component.
int open_parent(int root_fd, const char* path, const char** name) noexcept {
  char parent[4096];
  *name = split_path(path, parent);
  if (*name == nullptr) return -1;
  const int found = open_in_root(root_fd, parent, O_PATH | O_DIRECTORY);
  if (found >= 0 || errno != ENOENT || make_directories(root_fd, parent) < 0) return found;
  return open_in_root(root_fd, parent, O_PATH | O_DIRECTORY);
}

int make_file(int root_fd, const char* path, const char* bytes, std::size_t size,
              mode_t mode = 0644) noexcept {
  const char* name = nullptr;
  const int parent_fd = open_parent(root_fd, path, &name);
  if (parent_fd < 0) return -1;
  const int fd = ::openat(parent_fd, name, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, mode);
  const ssize_t written = fd < 0 || size == 0 ? 0 : ::write(fd, bytes, size);
  const int saved_errno = errno;
  if (fd >= 0) ::close(fd);
  ::close(parent_fd);
  errno = saved_errno;
  return fd >= 0 && written == static_cast<ssize_t>(size) ? 0 : -1;
}

int make_symlink(int root_fd, const char* path, const char* text) noexcept {
  const char* name = nullptr;
  const int parent_fd = open_parent(root_fd, path, &name);
  if (parent_fd < 0) return -1;
  const int made = ::symlinkat(text, parent_fd, name);
  const int saved_errno = errno;
  ::close(parent_fd);
  errno = saved_errno;
  return made < 0 && errno != EEXIST ? -1 : 0;
}

/// Attaches the detached mount `tree_fd` on `target_fd`, and closes that.
int attach_on(int target_fd, int tree_fd) noexcept {
  if (target_fd < 0) return -1;
  const int moved =
      ::move_mount(tree_fd, "", target_fd, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
  const int saved_errno = errno;
  ::close(target_fd);
  errno = saved_errno;
  return moved;
}

/// On `path` below the root.
int attach(int root_fd, int tree_fd, const char* path) noexcept {
  return attach_on(open_in_root(root_fd, path, O_PATH), tree_fd);
}

int restrict_mount(int tree_fd, std::uint64_t attributes, unsigned flags) noexcept {
  mount_attr attr{};
  attr.attr_set = attributes;
  // The access time settings are a field, not bits (mount_setattr(2)).
  if ((attributes & MOUNT_ATTR_NOATIME) != 0) attr.attr_clr = MOUNT_ATTR__ATIME;
  return ::mount_setattr(tree_fd, "", AT_EMPTY_PATH | flags, &attr, sizeof attr);
}

/// Without what the control of a test leaves out.
std::uint64_t guards(const SlotSetup& setup, std::uint64_t attributes) noexcept {
  constexpr std::uint64_t kGuards = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  return setup.without(protocol::kWithoutMountFlags) ? attributes & ~kGuards : attributes;
}

/// A detached copy of the mount at `fd`; with AT_RECURSIVE of those below it too.
int copy_mount(int fd, unsigned flags = 0) noexcept {
  return ::open_tree(fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | flags);
}

/// Lays a restricted copy of what is at `place_fd` over it, and closes that. Returns the copy.
int bind_on_itself(int place_fd, std::uint64_t attributes, unsigned flags) noexcept {
  const int copy_fd = copy_mount(place_fd, flags);
  if (copy_fd < 0 || restrict_mount(copy_fd, attributes, flags) < 0 ||
      attach_on(place_fd, copy_fd) < 0)
    return -1;
  return copy_fd;
}

/// `host_inodes` becomes true where its inodes are the host's.
int open_source(const SlotSetup& setup, const MountOp& op, OwnInodes* own,
                bool& host_inodes) noexcept {
  constexpr std::uint16_t kHostInodes = protocol::kMountShared | protocol::kMountWritable;
  if (own != nullptr && (op.flags & kHostInodes) == 0) {
    const int tree_fd = own->open(setup.text(op.source));
    if (tree_fd >= 0 || errno != ENOTSUP) return tree_fd;
  }
  host_inodes = true;
  return ::open_tree(AT_FDCWD, setup.text(op.source),
                     OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
}

/// A detached, restricted copy of a host tree. −1 with errno; ENOENT where the source is missing.
int open_bind(const SlotSetup& setup, const MountOp& op, OwnInodes* own) noexcept {
  bool host_inodes = false;
  const int tree_fd = open_source(setup, op, own, host_inodes);
  if (tree_fd < 0) return -1;
  std::uint64_t attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOATIME;
  if ((op.flags & protocol::kMountDevice) == 0) attributes |= MOUNT_ATTR_NODEV;
  if ((op.flags & protocol::kMountNoExec) != 0) attributes |= MOUNT_ATTR_NOEXEC;
  const bool writable = (op.flags & protocol::kMountWritable) != 0;
  if (!writable && !setup.without(protocol::kWithoutReadOnly)) attributes |= MOUNT_ATTR_RDONLY;
  int restricted = setup.injected(Step::kSlotBindReadOnly)
                       ? -1
                       : restrict_mount(tree_fd, guards(setup, attributes), AT_RECURSIVE);
  // In a user namespace the host's way with access times is locked (mount_namespaces(7)); only what
  // has the host's inodes comes so far: in a container also /dev/null and the like, which are
  // mounts.
  if (restricted < 0 && errno == EPERM && host_inodes)
    restricted = restrict_mount(
        tree_fd, guards(setup, attributes & ~std::uint64_t{MOUNT_ATTR__ATIME}), AT_RECURSIVE);
  if (restricted < 0) {
    const int saved_errno = errno;
    ::close(tree_fd);
    errno = saved_errno;
    return -1;
  }
  return tree_fd;
}

/// A detached mount of a new filesystem with up to three "key", "value" pairs.
int new_filesystem(const char* type, const char* const (&options)[3][2],
                   unsigned attributes) noexcept {
  const int context_fd = ::fsopen(type, FSOPEN_CLOEXEC);
  if (context_fd < 0) return -1;
  bool good = true;
  for (const auto& option : options)
    good = good && (option[0] == nullptr ||
                    ::fsconfig(context_fd, FSCONFIG_SET_STRING, option[0], option[1], 0) == 0);
  good = good && ::fsconfig(context_fd, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) == 0;
  const int mount_fd = good ? ::fsmount(context_fd, FSMOUNT_CLOEXEC, attributes) : -1;
  const int saved_errno = errno;
  ::close(context_fd);
  errno = saved_errno;
  return mount_fd;
}

Failure mount_bind(SlotSetup& setup, int root_fd, std::uint32_t index) noexcept {
  const MountOp& op = setup.mounts()[index];
  int tree_fd = setup.bind_fds[index];
  const auto at = static_cast<int>(index);
  if (tree_fd < 0) tree_fd = open_bind(setup, op, nullptr);
  if (tree_fd < 0) {
    if (errno == ENOENT && (op.flags & protocol::kMountOptional) != 0) return kDone;
    return failed(
        setup.injected(Step::kSlotBindReadOnly) ? Step::kSlotBindReadOnly : Step::kSlotBind, at);
  }
  const char* target = setup.text(op.target);
  const bool is_file = (op.flags & protocol::kMountIsFile) != 0;
  int target_fd = open_in_root(root_fd, target, O_PATH);
  if (target_fd < 0) {
    if ((is_file ? make_file(root_fd, target, nullptr, 0) : make_directories(root_fd, target)) < 0)
      return failed(Step::kSlotMakeMountPoint, at);
    target_fd = open_in_root(root_fd, target, O_PATH);
  }
  const bool device = (op.flags & protocol::kMountDevice) != 0;
  const Step step = device ? Step::kSlotMakeDevice : Step::kSlotBind;
  if (setup.injected(step) || attach_on(target_fd, tree_fd) < 0) return failed(step, at);
  ::close(tree_fd);
  setup.bind_fds[index] = -1;
  return kDone;
}

Failure mount_proc(SlotSetup& setup, int root_fd, const char* target) noexcept {
  // hidepid: a job sees only processes of its own uid, so neither the zygote nor a parked worker.
  const char* const options[3][2] = {
      {setup.without(protocol::kWithoutHidepid) ? nullptr : "hidepid", "invisible"},
      {nullptr, nullptr},
      {nullptr, nullptr}};
  const int proc_fd =
      new_filesystem("proc", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
  if (proc_fd < 0 || setup.injected(Step::kSlotMountProc) || attach(root_fd, proc_fd, target) < 0)
    return failed(Step::kSlotMountProc);
  // The slot's own processes write through a mount that nobody can walk to; what lies over it at
  // /proc is read-only. Its files below the job's own ids would else be the job's: oom_score_adj,
  // by which it would let the OOM killer take the zygote, or somebody on the host, in its stead.
  // Copied once it is attached: before Linux 6.15 only such a mount can be.
  const int shown_fd = copy_mount(proc_fd);
  const bool read_only =
      !setup.without(protocol::kWithoutReadOnly) && !setup.without(protocol::kWithoutReadOnlyProc);
  if (shown_fd < 0 || (read_only && restrict_mount(shown_fd, MOUNT_ATTR_RDONLY, 0) < 0) ||
      attach(root_fd, shown_fd, target) < 0)
    return failed(Step::kSlotMountProc);
  ::close(shown_fd);
  // High: a job's low numbers stay free.
  setup.proc_fd = raw::move_up(proc_fd, protocol::kPrivateFdBase);
  const int last_pid_fd =
      ::openat(setup.proc_fd, "sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
  setup.last_pid_fd = raw::move_up(last_pid_fd, protocol::kPrivateFdBase);
  // For good: what is 0 here can't be raised by anything inside.
  if (!setup.without(protocol::kWithoutUserNamespaceLimit)) {
    if (setup.injected(Step::kSlotForbidUserNamespaces) ||
        raw::write_file(setup.proc_fd, "sys/user/max_user_namespaces", "0", 1) < 0)
      return failed(Step::kSlotForbidUserNamespaces);
  }
  return kDone;
}

/// The read-only mount that covers masked directories, or files. It is attached where it comes
/// from: before Linux 6.15 only such a mount can be copied.
int cover(SlotSetup& setup, int root_fd, bool directory) noexcept {
  int& cover_fd = setup.cover_fds[directory ? 1 : 0];
  if (cover_fd >= 0) return cover_fd;
  // Of the slot's own root, not a filesystem each: every memory cgroup of the host has a word for
  // every mounted filesystem (shrinker_info), which is most of what a slot costs among thousands.
  const int place_fd =
      open_in_root(root_fd, directory ? protocol::kMaskDirectory : protocol::kMaskFile, O_PATH);
  if (place_fd >= 0)
    cover_fd = bind_on_itself(
        place_fd, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, 0);
  return cover_fd;
}

Failure mask(SlotSetup& setup, int root_fd, std::uint32_t index) noexcept {
  if (setup.without(protocol::kWithoutMasks)) return kDone;
  const char* target = setup.text(setup.mounts()[index].target);
  const auto at = static_cast<int>(index);
  const int target_fd = open_in_root(root_fd, target, O_PATH);
  if (target_fd < 0) return errno == ENOENT ? kDone : failed(Step::kSlotMaskPath, at);
  struct stat status {};
  if (::fstat(target_fd, &status) < 0) return failed(Step::kSlotMaskPath, at);
  const int cover_fd = cover(setup, root_fd, S_ISDIR(status.st_mode));
  const int copy_fd = cover_fd < 0 ? -1 : copy_mount(cover_fd);
  if (copy_fd < 0 || setup.injected(Step::kSlotMaskPath) || attach_on(target_fd, copy_fd) < 0)
    return failed(Step::kSlotMaskPath, at);
  ::close(copy_fd);
  return kDone;
}

/// Binds a path on itself, read-only; or, with `seal`, restricts the mount that is there.
Failure make_read_only(const SlotSetup& setup, int root_fd, std::uint32_t index) noexcept {
  if (setup.without(protocol::kWithoutReadOnly)) return kDone;
  const MountOp& op = setup.mounts()[index];
  const char* target = setup.text(op.target);
  const auto at = static_cast<int>(index);
  const int target_fd = open_in_root(root_fd, target, O_PATH);
  if (target_fd < 0) return errno == ENOENT ? kDone : failed(Step::kSlotBindReadOnly, at);
  if (op.kind == MountKind::kSeal) {
    const int sealed = restrict_mount(target_fd, MOUNT_ATTR_RDONLY, 0);
    ::close(target_fd);
    return sealed < 0 ? failed(Step::kSlotBindReadOnly, at) : kDone;
  }
  const int copy_fd = bind_on_itself(target_fd, MOUNT_ATTR_RDONLY, AT_RECURSIVE);
  if (copy_fd < 0) return failed(Step::kSlotBindReadOnly, at);
  ::close(copy_fd);
  return kDone;
}

Failure mount_small_tmpfs(const SlotSetup& setup, int root_fd, std::uint32_t index) noexcept {
  const char* const options[3][2] = {{"size", "64k"}, {"nr_inodes", "128"}, {"mode", "0755"}};
  const int tmpfs_fd =
      new_filesystem("tmpfs", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
  if (tmpfs_fd < 0 || setup.injected(Step::kSlotMountTmpfs) ||
      attach(root_fd, tmpfs_fd, setup.text(setup.mounts()[index].target)) < 0)
    return failed(Step::kSlotMountTmpfs, static_cast<int>(index));
  ::close(tmpfs_fd);
  return kDone;
}

Failure apply(SlotSetup& setup, int root_fd, std::uint32_t index) noexcept {
  const MountOp& op = setup.mounts()[index];
  const char* target = setup.text(op.target);
  const auto at = static_cast<int>(index);
  switch (op.kind) {
    case MountKind::kDirectory:
      if (setup.injected(Step::kSlotMakeMountPoint) || make_directories(root_fd, target) < 0)
        return failed(Step::kSlotMakeMountPoint, at);
      return kDone;
    case MountKind::kBind: return mount_bind(setup, root_fd, index);
    case MountKind::kSymlink:
      if (setup.injected(Step::kSlotMakeSymlink) ||
          make_symlink(root_fd, target, setup.text(op.source)) < 0)
        return failed(Step::kSlotMakeSymlink, at);
      return kDone;
    case MountKind::kFile:
      if (setup.injected(Step::kSlotWriteFile) ||
          make_file(root_fd, target, setup.text(op.source), op.source_size,
                    (op.flags & protocol::kMountNoAccess) != 0 ? 0 : 0644) < 0)
        return failed(Step::kSlotWriteFile, at);
      return kDone;
    case MountKind::kProc: return mount_proc(setup, root_fd, target);
    case MountKind::kMask: return mask(setup, root_fd, index);
    case MountKind::kReadOnly:
    case MountKind::kSeal: return make_read_only(setup, root_fd, index);
    case MountKind::kTmpfs: return mount_small_tmpfs(setup, root_fd, index);
  }
  errno = EPROTO;
  return failed(Step::kSlotBind, at);
}

MountOp root_bind(const SlotSetup& setup) noexcept {
  return {MountKind::kBind, 0, setup.plan->root_directory, 0, 0};
}

/// The new root, attached over "/": paths of the host go on resolving below it until pivot_root.
int open_new_root(const SlotSetup& setup) noexcept {
  int root_fd = -1;
  if (*setup.text(setup.plan->root_directory) != '\0') {
    root_fd = setup.root_fd >= 0 ? setup.root_fd : open_bind(setup, root_bind(setup), nullptr);
  } else {
    const char* const options[3][2] = {{"size", "1m"}, {"nr_inodes", "2048"}, {"mode", "0755"}};
    root_fd =
        new_filesystem("tmpfs", options,
                       static_cast<unsigned>(guards(setup, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)));
  }
  if (root_fd < 0 || setup.injected(Step::kSlotMountRoot)) return -1;
  return ::move_mount(root_fd, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0 ? -1 : root_fd;
}

Failure enter_root(const SlotSetup& setup, int root_fd) noexcept {
  // pivot_root(".", "."): the old root ends up on top of the new one and is detached
  // (pivot_root(2)).
  if (setup.injected(Step::kSlotPivotRoot) || ::fchdir(root_fd) < 0 ||
      ::syscall(SYS_pivot_root, ".", ".") < 0 || ::umount2(".", MNT_DETACH) < 0 || ::chdir("/") < 0)
    return failed(Step::kSlotPivotRoot);
  if (setup.injected(Step::kSlotRootReadOnly) ||
      (!setup.without(protocol::kWithoutReadOnly) &&
       restrict_mount(root_fd,
                      MOUNT_ATTR_RDONLY | guards(setup, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV),
                      0) < 0))
    return failed(Step::kSlotRootReadOnly);
  ::close(root_fd);
  return kDone;
}

}  // namespace

bool SlotSetup::injected(Step step) const noexcept {
  if (fault_step != static_cast<std::uint32_t>(step)) return false;
  errno = fault_errnum;
  return true;
}

protocol::Failure open_bind_sources(SlotSetup& setup) noexcept {
  for (std::uint32_t i = 0; i < kMountsMax; ++i) setup.bind_fds[i] = -1;
  const char* overlay_directory = setup.text(setup.plan->overlay_directory);
  OwnInodes overlays(overlay_directory);
  OwnInodes* const own = *overlay_directory == '\0' ? nullptr : &overlays;
  if (own != nullptr && setup.injected(Step::kSlotOwnInodes)) return failed(Step::kSlotOwnInodes);
  for (std::uint32_t i = 0; i < setup.plan->mounts_count; ++i) {
    const MountOp& op = setup.mounts()[i];
    if (op.kind != MountKind::kBind) continue;
    setup.bind_fds[i] = open_bind(setup, op, own);
    if (setup.bind_fds[i] >= 0 || (own == nullptr && errno == EPERM)) continue;
    if (errno == ENOENT && (op.flags & protocol::kMountOptional) != 0) continue;
    const Step step = setup.injected(Step::kSlotBindReadOnly) ? Step::kSlotBindReadOnly
                      : own != nullptr && errno != ENOENT     ? Step::kSlotOwnInodes
                                                              : Step::kSlotBind;
    return failed(step, static_cast<int>(i));
  }
  if (*setup.text(setup.plan->root_directory) != '\0') {
    setup.root_fd = open_bind(setup, root_bind(setup), own);
    if (setup.root_fd < 0 && own != nullptr) return failed(Step::kSlotMountRoot);
  }
  return kDone;
}

protocol::Failure build_slot(SlotSetup& setup) noexcept {
  if (setup.injected(Step::kSlotPrivatiseMounts) ||
      ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0)
    return failed(Step::kSlotPrivatiseMounts);
  const int root_fd = open_new_root(setup);
  if (root_fd < 0) return failed(Step::kSlotMountRoot);
  for (std::uint32_t i = 0; i < setup.plan->mounts_count; ++i) {
    const Failure failure = apply(setup, root_fd, i);
    if (failure.step != Step::kNone) return failure;
  }
  for (const int fd : setup.cover_fds)
    if (fd >= 0) ::close(fd);
  const Failure entered = enter_root(setup, root_fd);
  if (entered.step != Step::kNone) return entered;
  const char* hostname = setup.text(setup.plan->hostname);
  if (!setup.without(protocol::kWithoutUtsNamespace) &&
      (setup.injected(Step::kSlotSetHostname) ||
       ::sethostname(hostname, std::strlen(hostname)) < 0))
    return failed(Step::kSlotSetHostname);
  const bool own_network =
      setup.plan->network_host == 0 && !setup.without(protocol::kWithoutNetworkNamespace);
  if (own_network && (setup.injected(Step::kSlotLoopbackUp) || bring_loopback_up() < 0))
    return failed(Step::kSlotLoopbackUp);
  return kDone;
}

int bring_loopback_up() noexcept {
  const int socket_fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket_fd < 0) return -1;
  ifreq request{};
  std::memcpy(request.ifr_name, "lo", 3);
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  const int result = ::ioctl(socket_fd, SIOCSIFFLAGS, &request);
  const int saved_errno = errno;
  ::close(socket_fd);
  errno = saved_errno;
  return result;
}

}  // namespace hatchery
