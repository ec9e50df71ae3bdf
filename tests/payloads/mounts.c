// Calls that change mounts, one chosen by argv[1]: prints "done" or the errno's name. The "bad-"
// ones have arguments that fail otherwise than with EPERM where the call is let through.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MS_REMOUNT
#define MS_REMOUNT 32
#define MS_BIND 4096
#define MS_SHARED (1 << 20)
#endif
#ifndef SYS_statmount
#define SYS_statmount 457
#define SYS_listmount 458
#endif

static long mount5(const char *source, const char *target, const char *type, unsigned long flags) {
  return syscall(SYS_mount, source, target, type, flags, NULL);
}

static long say(long result) {
  printf("%s\n", result < 0 ? strerrorname_np(errno) : "done");
  return result;
}

static long touch(const char *path) {
  return open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
}

static long set_writable(const char *path) {
  struct mount_attr attr = {.attr_clr = MOUNT_ATTR_RDONLY};
  return syscall(SYS_mount_setattr, AT_FDCWD, path, 0, &attr, sizeof attr);
}

static long new_tmpfs(void) {
  const long context = syscall(SYS_fsopen, "tmpfs", 0);
  if (context < 0) return context;
  if (syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0) return -1;
  const long made = syscall(SYS_fsmount, context, 0, 0);
  if (made < 0) return made;
  return syscall(SYS_move_mount, made, "", AT_FDCWD, "/tmp", MOVE_MOUNT_F_EMPTY_PATH);
}

static long pivot(void) {
  mkdir("/tmp/root", 0755);
  mkdir("/tmp/root/old", 0755);
  if (mount5("tmpfs", "/tmp/root", "tmpfs", 0) < 0) return -1;
  mkdir("/tmp/root/old", 0755);
  return syscall(SYS_pivot_root, "/tmp/root", "/tmp/root/old");
}

static long call(const char *name) {
  if (!strcmp(name, "bad-mount")) return mount5(NULL, NULL, NULL, 0);
  if (!strcmp(name, "bad-umount")) return syscall(SYS_umount2, NULL, 0);
  if (!strcmp(name, "bad-open-tree")) return syscall(SYS_open_tree, -1, NULL, 0);
  if (!strcmp(name, "bad-mount-setattr")) return syscall(SYS_mount_setattr, -1, NULL, 0, NULL, 0);
  if (!strcmp(name, "bad-fsconfig")) return syscall(SYS_fsconfig, -1, 0, NULL, NULL, 0);
  if (!strcmp(name, "bad-statmount")) return syscall(SYS_statmount, NULL, NULL, 0, 0);
  if (!strcmp(name, "bad-listmount")) return syscall(SYS_listmount, NULL, NULL, 0, 0);
  if (!strcmp(name, "fsopen")) return syscall(SYS_fsopen, "tmpfs", 0);
  if (!strcmp(name, "fspick")) return syscall(SYS_fspick, AT_FDCWD, "/tmp", 0);
  if (!strcmp(name, "new-tmpfs")) return new_tmpfs();
  if (!strcmp(name, "mount-tmpfs")) return mount5("tmpfs", "/tmp", "tmpfs", 0);
  if (!strcmp(name, "mount-proc")) return mount5("proc", "/tmp", "proc", 0);
  if (!strcmp(name, "bind-root")) return mount5("/", "/tmp", NULL, MS_BIND);
  if (!strcmp(name, "clone-tree"))
    return syscall(SYS_open_tree, AT_FDCWD, "/", OPEN_TREE_CLONE | AT_RECURSIVE);
  if (!strcmp(name, "unmask")) return syscall(SYS_umount2, "/proc/cmdline", 2);
  if (!strcmp(name, "pivot-root")) return pivot();
  if (!strcmp(name, "share")) return mount5(NULL, "/", NULL, MS_SHARED);
  if (!strcmp(name, "remount-writable")) {
    if (mount5(NULL, "/bound", NULL, MS_REMOUNT | MS_BIND) < 0) return -1;
    return touch("/bound/planted");
  }
  if (!strcmp(name, "setattr-writable"))
    return set_writable("/bound") < 0 ? -1 : touch("/bound/planted");
  if (!strcmp(name, "move-away")) {
    // The read-only /proc/sys goes, the writable one below it comes up.
    const long moved = syscall(SYS_move_mount, AT_FDCWD, "/proc/sys", AT_FDCWD, "/tmp", 0);
    return moved;
  }
  errno = ENOTSUP;
  return -1;
}

int main(int argc, char **argv) {
  return argc < 2 || say(call(argv[1])) < 0 ? 1 : 0;
}
