// A slot's tmpfs for jobs: mounted, looked at between jobs, and renewed when somebody used them.
#include <stdio.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "workers/raw.h"
#include "workers/slot_setup.h"

namespace hatchery {
namespace {

using protocol::Failure;

using protocol::kDone;
using raw::failed;

int mount_one_tmpfs(const SlotSetup& setup, const char* target, std::uint64_t bytes,
                    const char* options, unsigned long flags) noexcept {
  char text[128 + protocol::kLabelBytes];
  const int size = ::snprintf(text, sizeof text, "size=%llu,nr_inodes=%llu,%s",
                              static_cast<unsigned long long>(bytes),
                              static_cast<unsigned long long>(setup.plan->tmpfs_inodes), options);
  // Quoted: a context holds commas (mount(8), "context").
  if (setup.file_context[0] != '\0')
    ::snprintf(text + size, sizeof text - static_cast<std::size_t>(size), ",context=\"%s\"",
               setup.file_context);
  if (!setup.without(protocol::kWithoutMountFlags)) flags |= MS_NOSUID | MS_NODEV;
  return ::mount("tmpfs", target, "tmpfs", MS_NOATIME | flags, text);
}

// The one that most jobs write to last: see renew_tmpfs().
constexpr const char* kTmpfsTargets[kTmpfsCount] = {"/dev/shm", "/tmp", "/w"};

int mount_tmpfs(const SlotSetup& setup, int index) noexcept {
  const protocol::SlotPlan& plan = *setup.plan;
  const char* target = kTmpfsTargets[index];
  if (index == 1) return mount_one_tmpfs(setup, target, plan.tmp_bytes, "mode=1777", 0);
  if (index == 0)
    return mount_one_tmpfs(setup, target, plan.shm_bytes, "mode=1777",
                           setup.without(protocol::kWithoutMountFlags) ? 0 : MS_NOEXEC);
  const bool own = !setup.without(protocol::kWithoutIdChange);
  return mount_one_tmpfs(setup, target, plan.work_bytes,
                         own ? "mode=0755,uid=1000,gid=1000" : "mode=0755", 0);
}

/// The number that a new inode gets: one more each time, whoever asks (tmpfs counts by mount).
ino_t next_inode(const char* target) noexcept {
  struct stat status {};
  const int fd = ::open(target, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
  if (fd < 0 || ::fstat(fd, &status) < 0) status.st_ino = 0;
  if (fd >= 0) ::close(fd);
  return status.st_ino;
}

int remember(int index, TmpfsState& state) noexcept {
  state.next_inode = next_inode(kTmpfsTargets[index]) + 1;
  return ::stat(kTmpfsTargets[index], &state.root);
}

/// True when nobody made an inode on it (not even one without a name), or changed its root
/// directory.
bool is_untouched(int index, TmpfsState& state) noexcept {
  const char* target = kTmpfsTargets[index];
  struct stat now {};
  const auto same = [](const timespec& a, const timespec& b) noexcept {
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
  };
  if (::stat(target, &now) < 0 || now.st_mode != state.root.st_mode ||
      now.st_uid != state.root.st_uid || now.st_gid != state.root.st_gid ||
      now.st_nlink != state.root.st_nlink || now.st_size != state.root.st_size ||
      !same(now.st_mtim, state.root.st_mtim) || !same(now.st_ctim, state.root.st_ctim) ||
      !same(now.st_atim, state.root.st_atim) || ::listxattr(target, nullptr, 0) != 0)
    return false;
  return next_inode(target) == state.next_inode++;
}

}  // namespace

int first_touched_tmpfs(TmpfsStates& states) noexcept {
  int index = 0;
  while (index < kTmpfsCount && is_untouched(index, states[index])) ++index;
  return index;
}

protocol::Failure renew_tmpfs(const SlotSetup& setup, TmpfsStates& states, int from,
                              bool first) noexcept {
  if (setup.injected(Step::kResetTmpfs)) return failed(Step::kResetTmpfs);
  for (int i = from; i < kTmpfsCount; ++i) {
    if ((!first && ::umount2(kTmpfsTargets[i], MNT_DETACH) < 0) || mount_tmpfs(setup, i) < 0 ||
        remember(i, states[i]) < 0)
      return failed(Step::kResetTmpfs, i);
  }
  return kDone;
}

}  // namespace hatchery
