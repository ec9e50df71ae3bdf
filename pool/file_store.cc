#include "pool/file_store.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>

#include "pool/nearest_name.h"
#include "pool/random_id.h"

namespace hatchery {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
constexpr const char* kFullRemedy = "remove files from the store or raise store_bytes_max";

Result<void> write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      return errno_error(Step::kStoreFile, "memfd", errno, "free memory of the pool's host");
    }
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

/// Sealed first, measured then: the size can't change in between.
Result<std::uint64_t> seal(int memfd) {
  const int seals = ::fcntl(memfd, F_GET_SEALS);
  if (seals < 0) {
    return errno_error(Step::kStoreFile, "adopted descriptor", errno,
                       "hand in a memfd made with MFD_ALLOW_SEALING");
  }
  if ((seals & kSeals) != kSeals && ::fcntl(memfd, F_ADD_SEALS, kSeals) != 0) {
    return errno_error(Step::kStoreFile, "seal memfd", errno,
                       "unmap it everywhere and make it with MFD_ALLOW_SEALING");
  }
  struct ::stat status = {};
  if (::fstat(memfd, &status) != 0) return errno_error(Step::kStoreFile, "memfd", errno);
  // A job that reads it may open /proc/self/fd/N anew. Seals keep the bytes, but whoever may write
  // may also leave extended attributes (tmpfs, since 6.6), for the next job to find.
  if (::fchmod(memfd, status.st_mode & 0555) != 0)
    return errno_error(Step::kStoreFile, "memfd", errno, "hand in a memfd of your own");
  return static_cast<std::uint64_t>(status.st_size);
}

Error full(std::uint64_t size, std::uint64_t held, std::uint64_t bytes_max) {
  return Error{Step::kStoreFile, std::to_string(size) + " bytes", ENOSPC,
               "the store holds " + std::to_string(held) + " of " + std::to_string(bytes_max),
               kFullRemedy};
}

}  // namespace

Result<FileId> FileStore::put(std::string_view bytes) {
  {
    // Refused before memory is taken; adopt() decides.
    const std::lock_guard lock(mutex_);
    if (bytes.size() > bytes_max_ - bytes_) return full(bytes.size(), bytes_, bytes_max_);
  }
  UniqueFd memfd(::memfd_create("hatchery-file", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!memfd.valid()) return errno_error(Step::kCreateMemfd, "hatchery-file", errno);
  HATCHERY_TRY(write_all(memfd.get(), bytes));
  return adopt(std::move(memfd));
}

Result<FileId> FileStore::adopt(UniqueFd memfd) {
  Result<std::uint64_t> size = seal(memfd.get());
  if (!size) return std::move(size).error();
  Result<FileId> id = random_id();
  if (!id) return std::move(id).error();
  const std::lock_guard lock(mutex_);
  if (*size > bytes_max_ - bytes_) return full(*size, bytes_, bytes_max_);
  const bool is_new = entries_.try_emplace(*id, Entry{std::move(memfd), *size}).second;
  HATCHERY_CHECK(is_new);
  bytes_ += *size;
  return id;
}

Result<UniqueFd> FileStore::open(const FileId& id) const {
  // Under the lock until it is open: remove() would close the number, and another file could get
  // it.
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(id);
  if (found == entries_.end()) {
    return errno_error(Step::kStoreFile, quote(id), ENOENT,
                       "give the id of a stored file that hasn't been removed");
  }
  // A duplicate would share its offset and be writable; a new description does neither.
  const std::string path = "/proc/self/fd/" + std::to_string(found->second.memfd.get());
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return errno_error(Step::kStoreFile, path, errno, "mount /proc for the pool");
  return fd;
}

Result<std::string> FileStore::read(const FileId& id) const {
  Result<UniqueFd> fd = open(id);
  if (!fd) return std::move(fd).error();
  struct ::stat status = {};
  if (::fstat(fd->get(), &status) != 0) return errno_error(Step::kStoreFile, id, errno);
  std::string bytes(static_cast<std::size_t>(status.st_size), '\0');
  std::size_t filled = 0;
  while (filled < bytes.size()) {
    const ssize_t got = ::read(fd->get(), bytes.data() + filled, bytes.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno_error(Step::kStoreFile, id, errno);
    // Sealed against shrinking.
    HATCHERY_CHECK(got != 0);
    filled += static_cast<std::size_t>(got);
  }
  return bytes;
}

bool FileStore::remove(const FileId& id) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(id);
  if (found == entries_.end()) return false;
  bytes_ -= found->second.size;
  entries_.erase(found);
  return true;
}

std::uint64_t FileStore::bytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

std::uint64_t FileStore::bytes_free() const {
  const std::lock_guard lock(mutex_);
  return bytes_max_ - bytes_;
}

std::size_t FileStore::count() const {
  const std::lock_guard lock(mutex_);
  return entries_.size();
}

}  // namespace hatchery
