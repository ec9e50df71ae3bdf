#include "workers/own_inodes.h"

#include <linux/mount.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "workers/protocol.h"
#include "workers/raw.h"

// <sys/mount.h> of glibc 2.36 has the new mount calls, <linux/mount.h> mount_attr.

namespace hatchery {
namespace {

// The lower layers are named by these in the overlay's options, which a job reads in its mountinfo:
// so no host path, and the same text in every slot. Above all that the launcher has open.
constexpr int kLowerFd = 1022;
constexpr int kEmptyFd = 1023;

int close_keeping_errno(int fd) noexcept {
  const int saved_errno = errno;
  ::close(fd);
  errno = saved_errno;
  return -1;
}

/// Since Linux 5.8 (statx(2), STATX_MNT_ID).
bool identify(int fd, struct statx& status) noexcept {
  return ::statx(fd, "", AT_EMPTY_PATH, STATX_TYPE | STATX_INO | STATX_MNT_ID, &status) == 0 &&
         (status.stx_mask & STATX_MNT_ID) != 0;
}

/// A detached overlay of kLowerFd over the empty kEmptyFd: without an upper layer it needs two.
int new_overlay() noexcept {
  char layers[64];
  ::snprintf(layers, sizeof layers, "/proc/self/fd/%d:/proc/self/fd/%d", kLowerFd, kEmptyFd);
  const int context_fd = ::fsopen("overlay", FSOPEN_CLOEXEC);
  if (context_fd < 0) return -1;
  const bool good =
      ::fsconfig(context_fd, FSCONFIG_SET_STRING, "source", "hatchery", 0) == 0 &&
      ::fsconfig(context_fd, FSCONFIG_SET_STRING, "lowerdir", layers, 0) == 0 &&
      ::fsconfig(context_fd, FSCONFIG_SET_STRING, "redirect_dir", "nofollow", 0) == 0 &&
      ::fsconfig(context_fd, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) == 0;
  const int mount_fd =
      good ? ::fsmount(context_fd, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOATIME) : -1;
  close_keeping_errno(context_fd);
  return mount_fd;
}

}  // namespace

OwnInodes::~OwnInodes() {
  char path[4096];
  ::snprintf(path, sizeof path, "%s/mount", directory_);
  for (std::size_t i = count_; i > 0; --i) {
    ::close(overlays_[i - 1].root_fd);
    ::umount2(path, MNT_DETACH);
  }
}

int OwnInodes::make(int lower_fd) noexcept {
  if (count_ == kOverlaysMax) {
    errno = EMFILE;
    return -1;
  }
  char path[4096];
  ::snprintf(path, sizeof path, "%s/empty", directory_);
  const int empty_fd = ::open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (empty_fd < 0) return -1;
  const bool placed = ::dup3(lower_fd, kLowerFd, O_CLOEXEC) == kLowerFd &&
                      ::dup3(empty_fd, kEmptyFd, O_CLOEXEC) == kEmptyFd;
  close_keeping_errno(empty_fd);
  const int overlay_fd = placed ? new_overlay() : -1;
  close_keeping_errno(kLowerFd);
  close_keeping_errno(kEmptyFd);
  if (overlay_fd < 0) return -1;
  // Before Linux 6.15 only what is attached to the caller's mount namespace can be cloned
  // (open_tree(2)). Several lie one upon the other; each is reached by its own descriptor.
  ::snprintf(path, sizeof path, "%s/mount", directory_);
  const int moved = ::move_mount(overlay_fd, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH);
  if (moved < 0) return close_keeping_errno(overlay_fd);
  return overlay_fd;
}

int OwnInodes::find(const struct statx& lower) const noexcept {
  for (std::size_t i = 0; i < count_; ++i)
    if (overlays_[i].mount_id == lower.stx_mnt_id && overlays_[i].inode == lower.stx_ino)
      return overlays_[i].root_fd;
  return -1;
}

int OwnInodes::open_below(int lower_fd, const char* name) noexcept {
  struct statx status {};
  if (!identify(lower_fd, status)) return -1;
  int root_fd = find(status);
  if (root_fd < 0) {
    root_fd = make(lower_fd);
    if (root_fd < 0) return -1;
    overlays_[count_++] = {root_fd, status.stx_mnt_id, status.stx_ino};
  }
  return ::open_tree(root_fd, name, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);
}

int OwnInodes::open_in_ancestor(const char* real, const struct statx& self) noexcept {
  char path[4096];
  ::snprintf(path, sizeof path, "%s", real);
  // Without symbolic links, so that each directory above is what "/" puts before it.
  for (char* slash = std::strrchr(path, '/'); slash != nullptr; slash = std::strrchr(path, '/')) {
    *slash = '\0';
    const int above_fd = ::open(slash == path ? "/" : path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct statx above {};
    const bool same_mount =
        above_fd >= 0 && identify(above_fd, above) && above.stx_mnt_id == self.stx_mnt_id;
    if (above_fd >= 0) ::close(above_fd);
    if (!same_mount) return -1;
    if (const int root_fd = find(above); root_fd >= 0)
      return ::open_tree(root_fd, real + (slash - path) + 1,
                         OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);
  }
  return -1;
}

int OwnInodes::open(const char* source) noexcept {
  const int source_fd = ::open(source, O_PATH | O_CLOEXEC);
  struct statx self {};
  if (source_fd < 0) return -1;
  char link[64];
  char real[4096];
  ::snprintf(link, sizeof link, "/proc/self/fd/%d", source_fd);
  const ssize_t size = ::readlink(link, real, sizeof real - 1);
  if (size <= 0 || !identify(source_fd, self)) return close_keeping_errno(source_fd);
  real[size] = '\0';
  int tree_fd = open_in_ancestor(real, self);
  char* const slash = std::strrchr(real, '/');
  const bool directory = S_ISDIR(self.stx_mode);
  if (tree_fd < 0) errno = ENOTSUP;
  if (tree_fd < 0 && slash != nullptr && !(directory && slash == real)) {
    // Below its parent, together with its neighbours: "/etc/services" and "/etc/ssl".
    *slash = '\0';
    const int parent_fd = ::open(slash == real ? "/" : real, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct statx parent {};
    if (parent_fd < 0) return close_keeping_errno(source_fd);
    errno = ENOTSUP;
    if (identify(parent_fd, parent) && parent.stx_mnt_id == self.stx_mnt_id)
      tree_fd = open_below(parent_fd, slash + 1);
    else
      errno = ENOTSUP;
    close_keeping_errno(parent_fd);
  }
  // A directory of the root's, a mount point, or one whose parent holds our own "empty" (ELOOP).
  if (tree_fd < 0 && directory && (errno == ENOTSUP || errno == ELOOP))
    tree_fd = open_below(source_fd, ".");
  close_keeping_errno(source_fd);
  return tree_fd;
}

}  // namespace hatchery
