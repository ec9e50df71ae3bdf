// OwnInodes: read-only binds that share no inode with the host or another slot. File locks, leases,
// inotify, dnotify and access times belong to an inode: on one that two running jobs can both open
// they would be a channel. A read-only overlay over the source's directory has inodes of its own
// over the host's page cache, and costs an exec 2 to 3 %. Runs in: launcher, which must have a
// mount namespace of its own. Thread: the only one.
#pragma once

#include <sys/stat.h>

#include <cstddef>

namespace hatchery {

/// The overlays of one slot while it is being set up. One overlay serves all sources of a
/// directory, and what lies deeper in it.
class OwnInodes {
 public:
  /// `directory` holds two empty directories, "empty" and "mount". Borrowed.
  explicit OwnInodes(const char* directory) noexcept : directory_(directory) {}
  OwnInodes(const OwnInodes&) = delete;
  OwnInodes& operator=(const OwnInodes&) = delete;
  /// Takes the overlays from the mount namespace again; trees that were opened stay.
  ~OwnInodes();

  /// A detached mount of that file or directory; −1 with errno. Symlinks are followed. Other
  /// filesystems mounted below it don't show. ENOTSUP: it is a file that something is mounted on,
  /// which no overlay can show.
  int open(const char* source) noexcept;

 private:
  static constexpr std::size_t kOverlaysMax = 64;
  struct Overlay {
    int root_fd;
    /// Which directory it shows.
    unsigned long long mount_id;
    unsigned long long inode;
  };
  int open_below(int lower_fd, const char* name) noexcept;
  int open_in_ancestor(const char* real, const struct statx& self) noexcept;
  int find(const struct statx& lower) const noexcept;
  int make(int lower_fd) noexcept;

  const char* directory_;
  Overlay overlays_[kOverlaysMax];
  std::size_t count_ = 0;
};

}  // namespace hatchery
