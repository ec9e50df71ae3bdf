#include "pool/host_input.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>

namespace hatchery {
namespace {

/// True when the file's owner, its mode or an access list may let a job open it for writing.
bool a_job_may_write(int fd, const struct stat& status, const PoolConfig& config) {
  const auto is_slots = [&config](std::uint32_t id) {
    return id >= config.uid_base && id - config.uid_base < config.uid_count;
  };
  if ((status.st_mode & S_IWOTH) != 0 || is_slots(status.st_uid) || is_slots(status.st_gid))
    return true;
  return ::fgetxattr(fd, "system.posix_acl_access", nullptr, 0) > 0;
}

/// The same file anew, on a detached read-only copy of its mount: however often the job opens it
/// again, it stays on that mount.
Result<UniqueFd> reopen_read_only(int fd, const std::string& name) {
  const UniqueFd mount(::open_tree(fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH));
  mount_attr read_only{};
  read_only.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
  if (!mount.valid() ||
      ::mount_setattr(mount.get(), "", AT_EMPTY_PATH, &read_only, sizeof read_only) < 0)
    return errno_error(Step::kOpenInput, name, errno,
                       "a job could write it: take the permission from others, or seal the memfd");
  const std::string path = "/proc/self/fd/" + std::to_string(mount.get());
  UniqueFd opened(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!opened.valid()) return errno_error(Step::kOpenInput, name, errno);
  const off_t position = ::lseek(fd, 0, SEEK_CUR);
  if (position > 0 && ::lseek(opened.get(), position, SEEK_SET) < 0)
    return errno_error(Step::kOpenInput, name, errno);
  return opened;
}

/// Null for what a job may have as it is.
Result<UniqueFd> guarded(int fd, const std::string& name, const PoolConfig& config) {
  struct stat status {};
  if (::fstat(fd, &status) < 0) return errno_error(Step::kOpenInput, name, errno);
  if (S_ISDIR(status.st_mode))
    return errno_error(Step::kOpenInput, name, EISDIR,
                       "give a file: a directory of the host would let the job out");
  const int flags = ::fcntl(fd, F_GETFL);
  if (!S_ISREG(status.st_mode) || (flags & O_ACCMODE) != O_RDONLY ||
      !a_job_may_write(fd, status, config))
    return UniqueFd();
  const int seals = ::fcntl(fd, F_GET_SEALS);
  if (seals >= 0 && (seals & F_SEAL_WRITE) != 0) return UniqueFd();
  return reopen_read_only(fd, name);
}

}  // namespace

Result<UniqueFd> open_host_input(const std::string& path, const PoolConfig& config) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (!fd.valid())
    return errno_error(Step::kOpenInput, path, errno,
                       "check that it exists and that the pool may open it");
  Result<UniqueFd> other = guarded(fd.get(), path, config);
  if (!other || other->valid()) return other;
  // Opened so that a FIFO can't stop the submitter; the job expects a blocking descriptor.
  ::fcntl(fd.get(), F_SETFL, 0);
  return fd;
}

Result<UniqueFd> duplicate_lent(int fd, const std::string& name, const PoolConfig& config) {
  UniqueFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (!copy.valid()) return errno_error(Step::kOpenInput, name, errno, "lend an open descriptor");
  Result<UniqueFd> other = guarded(copy.get(), name, config);
  if (!other || other->valid()) return other;
  return copy;
}

}  // namespace hatchery
