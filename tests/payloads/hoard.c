// Uses memory: of every kind that a job can make the kernel hold for it. argv[1] is the kind,
// argv[2] how much: MiB, unless said otherwise. Ends 0 when it has got it.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <mqueue.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#define MIB (1L << 20)

static char zeros[1 << 16];
/// Costs nothing until it is touched.
static char big_array[64 * MIB];

static void say(const char *name, long result) {
  printf("%s %s\n", name, result < 0 ? strerrorname_np(errno) : "done");
}

static void touch(char *memory, long bytes) {
  for (long at = 0; at < bytes; at += 4096) ((volatile char *)memory)[at] = 1;
}

static void *map(long bytes, int flags) {
  void *memory =
      mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | flags, -1, 0);
  return memory == MAP_FAILED ? NULL : memory;
}

static void anonymous(long mib, int flags) {
  char *memory = map(mib * MIB, flags);
  if (memory) touch(memory, mib * MIB);
}

static int write_mib(int fd, long mib) {
  for (long done = 0; done < mib * MIB; done += (long)sizeof zeros)
    if (write(fd, zeros, sizeof zeros) < 0) return -1;
  return 0;
}

/// One that the OOM killer takes ends this.
static void end_with_a_child(int signal) {
  (void)signal;
  _exit(1);
}

static void children(long count, long mib) {
  int touched[2];
  if (pipe(touched) < 0) exit(1);
  signal(SIGCHLD, end_with_a_child);
  for (long i = 0; i < count; ++i) {
    const pid_t child = fork();
    if (child < 0) exit(1);
    if (child == 0) {
      anonymous(mib, MAP_PRIVATE);
      if (write(touched[1], "", 1) != 1) exit(1);
      pause();
    }
  }
  // Until all of them have their memory at once.
  char byte;
  for (long i = 0; i < count; ++i)
    if (read(touched[0], &byte, 1) != 1) exit(1);
  exit(0);
}

static long recurse(long bytes) {
  volatile char frame[4096];
  frame[0] = frame[sizeof frame - 1] = (char)bytes;
  if (bytes <= 0) return frame[0];
  return recurse(bytes - (long)sizeof frame) + frame[0];
}

static void pipes(long mib) {
  for (long done = 0; done < mib * MIB; done += 65536) {
    int ends[2];
    if (pipe2(ends, O_NONBLOCK) < 0) exit(1);
    while (write(ends[1], zeros, sizeof zeros) > 0) continue;
  }
}

static void unix_sockets(long mib) {
  for (long done = 0; done < mib * MIB;) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) < 0) exit(1);
    for (long sent; (sent = send(ends[0], zeros, sizeof zeros, 0)) > 0;) done += sent;
  }
}

/// Prints how many MiB were taken by `count` pairs.
static void tcp(long count) {
  long total = 0;
  for (long i = 0; i < count; ++i) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    const int sender = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&address, size) < 0 || listen(listener, 1) < 0 ||
        getsockname(listener, (struct sockaddr *)&address, &size) < 0 ||
        connect(sender, (struct sockaddr *)&address, size) < 0)
      exit(1);
    fcntl(sender, F_SETFL, O_NONBLOCK);
    accept(listener, NULL, NULL);
    for (long sent; (sent = send(sender, zeros, sizeof zeros, MSG_NOSIGNAL)) > 0;) total += sent;
  }
  printf("%s\n", total / MIB > 32 ? "unbounded" : "bounded");
}

static void udp(long count) {
  const int sender = socket(AF_INET, SOCK_DGRAM, 0);
  long total = 0;
  for (long i = 0; i < count; ++i) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    const int receiver = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    const int wanted = 1 << 20;
    setsockopt(receiver, SOL_SOCKET, SO_RCVBUF, &wanted, sizeof wanted);
    if (bind(receiver, (struct sockaddr *)&address, size) < 0 ||
        getsockname(receiver, (struct sockaddr *)&address, &size) < 0)
      exit(1);
    for (int sent = 0; sent < 200; ++sent)
      sendto(sender, zeros, 60000, 0, (struct sockaddr *)&address, size);
    // The kernel's own account of what waits there: SK_MEMINFO_RMEM_ALLOC comes first.
    uint32_t info[9] = {0};
    socklen_t info_size = sizeof info;
    if (getsockopt(receiver, SOL_SOCKET, SO_MEMINFO, info, &info_size) == 0) total += info[0];
  }
  printf("%s\n", total / MIB > 20 ? "unbounded" : "bounded");
}

static void page_tables(long mib) {
  // A table of 4 KiB maps 2 MiB; the page behind it is the kernel's one page of zeros.
  const long span = mib * 256 * 2 * MIB;
  char *memory = map(span, MAP_PRIVATE | MAP_NORESERVE);
  if (!memory) exit(1);
  madvise(memory, (size_t)span, MADV_NOHUGEPAGE);
  for (long at = 0; at < span; at += 2 * MIB) (void)*(volatile char *)(memory + at);
}

static void areas(long count) {
  char *memory = map(count * 4096, MAP_PRIVATE | MAP_NORESERVE);
  if (!memory) exit(1);
  for (long i = 0; i < count; i += 2)
    if (mprotect(memory + i * 4096, 4096, PROT_NONE) < 0) break;  // vm.max_map_count
}

static void queues(long mib) {
  static struct {
    long type;
    char text[8192];
  } message = {1, {0}};
  int queue = -1;
  for (long done = 0; done < mib * MIB;) {
    if (queue >= 0 && msgsnd(queue, &message, sizeof message.text, IPC_NOWAIT) == 0)
      done += 8192;
    else if ((queue = msgget(IPC_PRIVATE, 0600)) < 0)
      exit(1);
  }
}

static void files(const char *directory, long count) {
  char path[256];
  for (long i = 0; i < count; ++i) {
    snprintf(path, sizeof path, "%s/%ld", directory, i);
    if (mknod(path, S_IFREG | 0600, 0) < 0) exit(1);
  }
}

static void attributes(long mib) {
  const int fd = open("/tmp/attributes", O_CREAT | O_RDWR, 0600);
  for (long i = 0; i < mib * 16; ++i) {
    char name[64];
    snprintf(name, sizeof name, "user.%ld", i);
    if (fsetxattr(fd, name, zeros, sizeof zeros, 0) < 0) {
      printf("xattr %s\n", strerrorname_np(errno));
      return;
    }
  }
  puts("xattr done");
}

static void missing_names(const char *directory, long count) {
  char path[300];
  struct stat status;
  for (long i = 0; i < count; ++i) {
    snprintf(path, sizeof path, "%s/%0200ld", directory, i);
    stat(path, &status);
  }
}

static int ipc(const char *what) {
  const key_t key = 0x6a6f62;
  if (!strcmp(what, "leave")) {
    say("shm", shmget(key, 4096, IPC_CREAT | 0600));
    say("msg", msgget(key, IPC_CREAT | 0600));
    say("mq", mq_open("/left", O_CREAT | O_RDWR, 0600, NULL));
  } else {
    const int shm = shmget(key, 0, 0), msg = msgget(key, 0);
    const mqd_t mq = mq_open("/left", O_RDWR);
    printf("%s %s %s\n", shm < 0 ? "-" : "shm", msg < 0 ? "-" : "msg", mq < 0 ? "-" : "mq");
    // Without a namespace of its own it is the host's.
    shmctl(shm, IPC_RMID, NULL);
    msgctl(msg, IPC_RMID, NULL);
    mq_unlink("/left");
  }
  return 0;
}

static int queue(const char *what) {
  say("mq", mq_open("/queue", O_CREAT | O_RDWR, 0600, NULL));
  return strcmp(what, "gone") ? 0 : mq_unlink("/queue");
}

static int refused(const char *what) {
  errno = 0;
  // No length, no such address: whoever may ask gets EINVAL, and ENOMEM.
  if (!strcmp(what, "huge-map"))
    say(what, (long)mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0));
  if (!strcmp(what, "huge-file")) say(what, memfd_create((const char *)1, MFD_HUGETLB));
  if (!strcmp(what, "huge-segment")) say(what, shmget(IPC_PRIVATE, 0, IPC_CREAT | SHM_HUGETLB));
  if (!strcmp(what, "merge"))
    say(what, madvise((void *)0x10000, 4096, MADV_MERGEABLE));
  if (!strcmp(what, "netlink")) say(what, socket(AF_NETLINK, SOCK_RAW, 0));
  if (!strcmp(what, "lock")) say(what, mlock(big_array, 1 * MIB));
  if (!strcmp(what, "lock-all")) {
    say("future", mlockall(MCL_FUTURE));
    errno = 0;
    say("map", map(1 * MIB, MAP_PRIVATE) ? 0 : -1);
  }
  if (!strcmp(what, "score")) {
    const int fd = open("/proc/self/oom_score_adj", O_WRONLY);
    say(what, fd < 0 ? -1 : write(fd, "0", 1));
  }
  if (!strcmp(what, "terabyte"))
    say(what, map(1L << 40, MAP_PRIVATE | MAP_NORESERVE) ? 0 : -1);
  return 0;
}

int main(int argc, char **argv) {
  const char *kind = argc > 1 ? argv[1] : "";
  const char *detail = argc > 2 ? argv[2] : "";
  const long much = atol(detail);
  if (!strcmp(kind, "ask")) return refused(detail);
  if (!strcmp(kind, "ipc")) return ipc(detail);
  if (!strcmp(kind, "queue")) return queue(detail);
  if (!strcmp(kind, "private")) anonymous(much, MAP_PRIVATE);
  if (!strcmp(kind, "shared")) anonymous(much, MAP_SHARED);
  if (!strcmp(kind, "array")) touch(big_array, much * MIB);
  if (!strcmp(kind, "peak")) {
    char *memory = map(much * MIB, MAP_PRIVATE);
    if (!memory) return 1;
    touch(memory, much * MIB);
    munmap(memory, (size_t)(much * MIB));
  }
  if (!strcmp(kind, "child")) {
    // The parent lives, and says that all is well.
    const pid_t child = fork();
    if (child == 0) {
      anonymous(much, MAP_PRIVATE);
      _exit(0);
    }
    waitpid(child, NULL, 0);
  }
  if (!strcmp(kind, "children")) children(4, much);
  if (!strcmp(kind, "file")) {
    const int fd = open(argc > 3 ? argv[3] : "", O_CREAT | O_WRONLY, 0600);
    const int result = fd < 0 ? -1 : write_mib(fd, much);
    say("write", result);
  }
  if (!strcmp(kind, "memfd")) return write_mib(memfd_create("hoard", 0), much) < 0;
  if (!strcmp(kind, "unlinked")) {
    const int fd = open("/tmp/unlinked", O_CREAT | O_WRONLY, 0600);
    unlink("/tmp/unlinked");
    return write_mib(fd, much) < 0;
  }
  if (!strcmp(kind, "segment")) {
    const int id = shmget(IPC_PRIVATE, (size_t)(much * MIB), IPC_CREAT | 0600);
    char *memory = shmat(id, NULL, 0);
    if (memory == (void *)-1) return 1;
    touch(memory, much * MIB);
  }
  if (!strcmp(kind, "stack")) return recurse(much * MIB) == 12345;
  if (!strcmp(kind, "pipes")) pipes(much);
  if (!strcmp(kind, "unix")) unix_sockets(much);
  if (!strcmp(kind, "tcp")) tcp(much);
  if (!strcmp(kind, "udp")) udp(much);
  if (!strcmp(kind, "tables")) page_tables(much);
  if (!strcmp(kind, "areas")) areas(much);
  if (!strcmp(kind, "queues")) queues(much);
  if (!strcmp(kind, "files")) files("/tmp", much);
  if (!strcmp(kind, "attributes")) attributes(much);
  if (!strcmp(kind, "names")) missing_names(argv[3], much);
  if (!strcmp(kind, "huge")) {
    char *memory = map(much * MIB, MAP_PRIVATE);
    if (!memory) return 1;
    madvise(memory, (size_t)(much * MIB), MADV_HUGEPAGE);
    for (long at = 0; at < much * MIB; at += 2 * MIB) memory[at] = 1;
  }
  if (!strcmp(kind, "hello")) puts("hello");
  return 0;
}
