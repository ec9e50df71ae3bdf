#include "pool/host_state.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstddef>
#include <cstdlib>

#include "pool/config.h"
#include "workers/selinux_label.h"

namespace hatchery {
namespace {

constexpr const char* kRootRemedy = "run as root, or set state_directory to a directory you own";

/// The lock of a pool, taken; invalid when a live pool holds it.
Result<UniqueFd> try_lock(const std::string& path) {
  for (;;) {
    UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!fd.valid()) return errno_error(Step::kLockPool, path, errno, kRootRemedy);
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) < 0) {
      if (errno == EWOULDBLOCK) return UniqueFd();
      return errno_error(Step::kLockPool, path, errno);
    }
    // Its last owner may have removed the name between the open and the lock.
    struct stat status {};
    if (::fstat(fd.get(), &status) == 0 && status.st_nlink > 0) return fd;
  }
}

std::string made_up_name() {
  unsigned char random[6];
  if (::getrandom(random, sizeof random, 0) != sizeof random) random[0] = 0;
  std::string name = "pool-" + std::to_string(::getpid()) + "-";
  for (const unsigned char byte : random) {
    name += "0123456789abcdef"[byte >> 4];
    name += "0123456789abcdef"[byte & 15];
  }
  return name;
}

Result<void> make_directory(const std::string& path, mode_t mode) {
  if (::mkdir(path.c_str(), mode) == 0 || errno == EEXIST) return {};
  return errno_error(Step::kOpenStateDir, path, errno, kRootRemedy);
}

}  // namespace

std::string usable_state_directory(const std::string& configured) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): a library's user sets no environment meanwhile.
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  if (configured != kStateDirectory || runtime == nullptr || runtime[0] != '/' ||
      ::access("/run", W_OK) == 0)
    return configured;
  return std::string(runtime) + "/hatchery";
}

std::string overlay_directory(const std::string& state_directory) {
  return state_directory + "/overlay";
}

Result<HostState> HostState::open(const std::string& state_directory, const std::string& pool_name,
                                  const CgroupHost& cgroups, std::uint32_t uid_base,
                                  std::uint32_t uid_count) {
  HostState state;
  state.directory_ = state_directory;
  HATCHERY_TRY(make_directory(state_directory, 0700));
  const std::string overlay = overlay_directory(state_directory);
  HATCHERY_TRY(make_directory(overlay, 0700));
  // The overlays' root directory takes its mode from "empty" where it shows a directory itself.
  HATCHERY_TRY(make_directory(overlay + "/empty", 0755));
  HATCHERY_TRY(make_directory(overlay + "/mount", 0755));
  for (const std::string& name : pool_cgroups(cgroups)) {
    const std::string path = state_directory + "/" + name + ".lock";
    Result<UniqueFd> lock = try_lock(path);
    if (!lock) return std::move(lock).error();
    if (!lock->valid()) continue;  // Alive.
    // Or alive with another state directory.
    Result<bool> removed = remove_dead_pool_cgroups(cgroups, name);
    if (!removed) return std::move(removed).error();
    if (*removed) state.removed_pools_.push_back(name);
    ::unlink(path.c_str());
  }
  state.pool_name_ = pool_name.empty() ? made_up_name() : pool_name;
  const std::string path = state_directory + "/" + state.pool_name_ + ".lock";
  Result<UniqueFd> lock = try_lock(path);
  if (!lock) return std::move(lock).error();
  if (!lock->valid())
    return errno_error(Step::kLockPool, path, EBUSY,
                       "a running pool has this name: stop it, or choose another `name`");
  state.pool_lock_ = *std::move(lock);
  Result<NumberLocks> uids = NumberLocks::open(state_directory + "/uids.lock", uid_base, 2);
  if (!uids) return std::move(uids).error();
  state.uid_locks_ = *std::move(uids);
  state.uid_base_ = uid_base;
  state.uid_count_ = uid_count;
  Result<std::vector<UniqueFd>> groups = lock_pool_cgroups(cgroups, state.pool_name_);
  if (!groups) {
    // What was made before that, but nothing of a live pool's.
    static_cast<void>(remove_dead_pool_cgroups(cgroups, state.pool_name_).has_value());
    return std::move(groups).error();
  }
  state.group_locks_ = *std::move(groups);
  return state;
}

HostState::~HostState() {
  if (pool_lock_.valid()) ::unlink((directory_ + "/" + pool_name_ + ".lock").c_str());
}

Result<NumberLocks> NumberLocks::open(const std::string& path, std::uint64_t first,
                                      std::uint32_t width) {
  NumberLocks locks;
  locks.path_ = path;
  locks.file_ = UniqueFd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!locks.file_.valid()) return errno_error(Step::kLeaseUid, path, errno, kRootRemedy);
  locks.first_ = first;
  locks.width_ = width;
  return locks;
}

int NumberLocks::set_lock(std::uint32_t number, short type) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = static_cast<off_t>(first_ + std::uint64_t{number} * width_);
  lock.l_len = width_;
  return ::fcntl(file_.get(), F_OFD_SETLK, &lock);
}

Result<std::optional<std::uint32_t>> NumberLocks::lease(std::uint32_t count) {
  for (std::uint32_t number = 0; number < count; ++number) {
    if (number < held_.size() && held_[number]) continue;
    if (set_lock(number, F_WRLCK) < 0) {
      if (errno == EAGAIN || errno == EACCES) continue;  // Another pool's.
      return errno_error(Step::kLeaseUid, path_, errno);
    }
    if (number >= held_.size()) held_.resize(number + 1);
    held_[number] = true;
    return std::optional(number);
  }
  return std::optional<std::uint32_t>();
}

void NumberLocks::release(std::uint32_t number) {
  set_lock(number, F_UNLCK);
  held_[number] = false;
}

Result<std::optional<std::uint32_t>> CategoryNames::lease() {
  for (std::uint32_t pair = 0; pair < kCategoryPairs; ++pair) {
    if (held_.contains(pair)) continue;
    const std::string name = "hatchery/categories/" + std::to_string(pair);
    UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!socket.valid()) return errno_error(Step::kSelinuxLabel, name, errno);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    // Abstract: after a NUL.
    name.copy(address.sun_path + 1, sizeof address.sun_path - 1);
    const std::size_t size = offsetof(sockaddr_un, sun_path) + 1 + name.size();
    const auto* any = reinterpret_cast<const sockaddr*>(&address);
    if (::bind(socket.get(), any, static_cast<socklen_t>(size)) == 0) {
      held_.emplace(pair, std::move(socket));
      return std::optional(pair);
    }
    if (errno != EADDRINUSE) return errno_error(Step::kSelinuxLabel, name, errno);
  }
  return std::optional<std::uint32_t>();
}

Result<UidLease> HostState::lease_uid() {
  const std::lock_guard lock(*mutex_);
  Result<std::optional<std::uint32_t>> index = uid_locks_.lease(uid_count_ / 2);
  if (!index) return std::move(index).error();
  if (!*index)
    return errno_error(Step::kLeaseUid, "", EUSERS, "raise uid_count, or run fewer slots");
  return UidLease{uid_base_ + **index * 2, **index};
}

void HostState::release_uid(const UidLease& lease) {
  const std::lock_guard lock(*mutex_);
  uid_locks_.release(lease.index);
}

Result<std::uint32_t> HostState::lease_categories() {
  const std::lock_guard lock(*mutex_);
  Result<std::optional<std::uint32_t>> pair = categories_.lease();
  if (!pair) return std::move(pair).error();
  if (!*pair) return errno_error(Step::kSelinuxLabel, "category pairs", EUSERS, "run fewer slots");
  return **pair;
}

void HostState::release_categories(std::uint32_t pair) {
  const std::lock_guard lock(*mutex_);
  categories_.release(pair);
}

}  // namespace hatchery
