// Calls on paths, one chosen by argv[1]; argv[2] and argv[3] are its paths. Prints "done" or the
// errno's name. /bound is a directory of the host in which all may write, by its mode.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#define FILE_BOUND "/bound/file"

static int reopen(const char *path) {
  char name[64];
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fd;
  snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
  return open(name, O_RDWR | O_CLOEXEC);
}

/// With what it says already: nothing changes where it succeeds.
static int rewrite(const char *path) {
  char text[4096];
  const int from = open(path, O_RDONLY | O_CLOEXEC);
  const ssize_t size = from < 0 ? 0 : read(from, text, sizeof text);
  const int to = open(path, O_WRONLY | O_CLOEXEC);
  if (to < 0) return to;
  return size > 0 && write(to, text, (size_t)size) < 0 ? -1 : 0;
}

/// The pipe's buffers keep their flags after they are drained; the spliced page got into one.
static int dirty_pipe(void) {
  char bytes[4096] = {0};
  int ends[2];
  const int file = open(FILE_BOUND, O_RDONLY | O_CLOEXEC);
  if (file < 0 || pipe2(ends, O_CLOEXEC) < 0) return -1;
  const int size = fcntl(ends[1], F_GETPIPE_SZ);
  for (int done = 0; done < size;) done += (int)write(ends[1], bytes, sizeof bytes);
  for (int done = 0; done < size;) done += (int)read(ends[0], bytes, sizeof bytes);
  loff_t offset = 0;
  if (splice(file, &offset, ends[1], NULL, 1, 0) != 1) return -1;
  if (write(ends[1], "hacked!", 7) != 7) return -1;
  const ssize_t got = pread(file, bytes, sizeof bytes, 0);
  printf("%.*s", (int)got, bytes);
  return 0;
}

static int call(const char *name, const char *path, const char *other) {
  if (!strcmp(name, "open")) return open(path, O_RDONLY | O_CLOEXEC);
  if (!strcmp(name, "rewrite")) return rewrite(path);
  if (!strcmp(name, "remove")) return unlink(path);
  if (!strcmp(name, "link")) return link(path, other);
  if (!strcmp(name, "write")) return open(FILE_BOUND, O_WRONLY | O_CLOEXEC);
  if (!strcmp(name, "reopen")) return reopen(FILE_BOUND);
  if (!strcmp(name, "truncate")) return truncate(FILE_BOUND, 0);
  if (!strcmp(name, "unlink")) return unlink(FILE_BOUND);
  if (!strcmp(name, "rename")) return rename("/bound/tool", FILE_BOUND);
  if (!strcmp(name, "touch")) return utimensat(AT_FDCWD, FILE_BOUND, NULL, 0);
  if (!strcmp(name, "mark")) return setxattr(FILE_BOUND, "user.mark", "x", 1, 0);
  if (!strcmp(name, "create")) return creat("/bound/created", 0644);
  if (!strcmp(name, "symlink")) return symlink("/", "/bound/symlink");
  if (!strcmp(name, "mknod")) return mknod("/tmp/node", S_IFBLK | 0600, makedev(254, 0));
  // Of a host file given as input.
  if (!strcmp(name, "reopen-input")) return open("/proc/self/fd/0", O_RDWR | O_CLOEXEC);
  if (!strcmp(name, "chmod-input")) return fchmod(0, 0600);
  if (!strcmp(name, "truncate-input")) return truncate("/proc/self/fd/0", 0);
  if (!strcmp(name, "mark-input")) return setxattr("/proc/self/fd/0", "user.mark", "x", 1, 0);
  if (!strcmp(name, "write-input")) return write(0, "x", 1) == 1 ? 0 : -1;
  errno = ENOTSUP;
  return -1;
}

int main(int argc, char **argv) {
  const char *name = argc > 1 ? argv[1] : "";
  if (!strcmp(name, "euid")) {
    printf("%d\n", (int)geteuid());
    return 0;
  }
  if (!strcmp(name, "pipe")) {
    if (dirty_pipe() < 0) printf("%s\n", strerrorname_np(errno));
    return 0;
  }
  const int result = call(name, argc > 2 ? argv[2] : "", argc > 3 ? argv[3] : "");
  printf("%s\n", result < 0 ? strerrorname_np(errno) : "done");
  return 0;
}
