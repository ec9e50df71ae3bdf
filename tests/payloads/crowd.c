// Uses up what is counted: processes, threads, descriptors, watches, timers, signals, queues; signals
// and touches what is not its own. The attack is argv[1]; argv[2] is mostly how many it tries.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void say(const char *name, long result) {
  printf("%s %s\n", name, result < 0 ? strerrorname_np(errno) : "done");
}

static void counted(long count, long tried) {
  printf("%ld %s\n", count, count < tried ? strerrorname_np(errno) : "all");
}

static void *waiting_thread(void *unused) {
  (void)unused;
  pause();
  return NULL;
}

static int waiting_clone(void *unused) {
  (void)unused;
  pause();
  return 0;
}

/// Makes one of the kind that argv[1] names; −1 with errno.
static long one(const char *kind, long number) {
  static char stacks[64][4096];
  pthread_t thread;
  if (!strcmp(kind, "fork")) {
    const pid_t child = fork();
    if (child == 0) {
      pause();
      _exit(0);
    }
    return child;
  }
  if (!strcmp(kind, "zombie")) {
    const pid_t child = fork();
    if (child == 0) _exit(0);
    if (child > 0) waitid(P_PID, (id_t)child, &(siginfo_t){0}, WEXITED | WNOWAIT);
    return child;
  }
  if (!strcmp(kind, "clone"))  // Shares all that a process can share without being a thread.
    return clone(waiting_clone, stacks[number % 64] + sizeof *stacks,
                 CLONE_VM | CLONE_FILES | CLONE_FS | SIGCHLD, NULL);
  if (!strcmp(kind, "clone3")) {
    unsigned long long args[11] = {0};
    args[4] = SIGCHLD;
    const long child = syscall(SYS_clone3, args, sizeof args);
    if (child == 0) {
      pause();
      _exit(0);
    }
    return child;
  }
  if (!strcmp(kind, "thread")) {
    errno = pthread_create(&thread, NULL, waiting_thread, NULL);
    return errno ? -1 : 0;
  }
  if (!strcmp(kind, "open")) return open("/dev/null", O_RDONLY);
  if (!strcmp(kind, "epoll")) return eventfd(0, 0);
  if (!strcmp(kind, "inotify")) return inotify_init1(0);
  if (!strcmp(kind, "timerfd")) return timerfd_create(CLOCK_MONOTONIC, 0);
  if (!strcmp(kind, "timer")) {
    int timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
    return syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer);
  }
  if (!strcmp(kind, "signal")) {
    const union sigval value = {.sival_int = 0};
    return sigqueue(getpid(), SIGRTMIN, value);
  }
  if (!strcmp(kind, "mq")) {
    char name[32];
    struct mq_attr wanted = {.mq_maxmsg = 10, .mq_msgsize = 8192};
    snprintf(name, sizeof name, "/q%ld", number);
    return mq_open(name, O_CREAT | O_RDWR, 0600, &wanted);
  }
  if (!strcmp(kind, "sem")) return semget(IPC_PRIVATE, 1, IPC_CREAT | 0600);
  if (!strcmp(kind, "rights")) {
    // A descriptor in flight to a socket that is in flight itself: only the kernel's collector
    // finds such a ring.
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) < 0) return -1;
    union {
      struct cmsghdr header;
      char bytes[CMSG_SPACE(sizeof ends)];
    } control = {0};
    struct iovec part = {"x", 1};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof ends);
    memcpy(CMSG_DATA(&control.header), ends, sizeof ends);
    const long sent = sendmsg(ends[0], &message, 0);
    const int saved_errno = errno;
    close(ends[0]);
    close(ends[1]);
    errno = saved_errno;
    return sent;
  }
  return -1;
}

static void as_many(const char *kind, long tried) {
  sigset_t queued;
  sigemptyset(&queued);
  sigaddset(&queued, SIGRTMIN);
  sigprocmask(SIG_BLOCK, &queued, NULL);
  long count = 0;
  errno = 0;
  while (count < tried && one(kind, count) >= 0) ++count;
  counted(count, tried);
  fflush(stdout);
}

static void bomb(const char *kind) {
  // Every process goes on making others, for ever.
  for (;;) {
    if (!strcmp(kind, "fork")) fork();
    if (!strcmp(kind, "vfork")) {
      const pid_t child = vfork();
      // Whoever it is, it goes on in the same memory: the parent waits for this child's end.
      if (child == 0) continue;
    }
    if (!strcmp(kind, "thread")) one("thread", 0);
  }
}

/// Leaves its session and its parent, and keeps stdout.
static void daemon_process(void) {
  if (fork() != 0) _exit(0);
  setsid();
  if (fork() != 0) _exit(0);
  signal(SIGHUP, SIG_IGN);
  signal(SIGTERM, SIG_IGN);
  for (;;) pause();
}

/// Is never there when somebody looks for it: each process lives for a fork.
static void respawn(void) {
  for (;;) {
    const pid_t child = fork();
    if (child > 0) _exit(0);
    if (child < 0) sched_yield();
  }
}

static void name_with(const char *what) {
  prctl(PR_SET_NAME, what);
  // As an exec of a program with such arguments would be.
  if (fork() == 0) {
    prctl(PR_SET_NAME, "\n1 (init) S 0");
    _exit(0);
  }
  wait(NULL);
}

static int on_init(const char *what) {
  siginfo_t info = {.si_signo = SIGUSR1, .si_code = SI_QUEUE};
  struct rlimit limit;
  errno = 0;
  if (!strcmp(what, "kill")) say(what, kill(1, SIGKILL));
  if (!strcmp(what, "stop")) say(what, kill(1, SIGSTOP));
  if (!strcmp(what, "tgkill")) say(what, syscall(SYS_tgkill, 1, 1, SIGUSR1));
  if (!strcmp(what, "queue")) say(what, syscall(SYS_rt_sigqueueinfo, 1, SIGUSR1, &info));
  if (!strcmp(what, "pidfd")) {
    const long fd = syscall(SYS_pidfd_open, 1, 0);
    say(what, fd < 0 ? -1 : syscall(SYS_pidfd_send_signal, fd, SIGUSR1, NULL, 0));
  }
  if (!strcmp(what, "owner")) {
    // A signal at the end of input, to somebody else.
    int ends[2];
    if (pipe(ends) < 0) return 1;
    say(what, fcntl(ends[0], F_SETOWN, 1) < 0 ? -1 : kill(1, 0));
  }
  if (!strcmp(what, "limits")) say(what, prlimit(1, RLIMIT_NOFILE, NULL, &limit));
  if (!strcmp(what, "affinity")) {
    cpu_set_t set;
    sched_getaffinity(0, sizeof set, &set);
    say(what, sched_setaffinity(1, sizeof set, &set));
  }
  return 0;
}

static int raise_limit(int resource, unsigned long long value) {
  const struct rlimit wanted = {value, value};
  errno = 0;
  say("raise", setrlimit((__rlimit_resource_t)resource, &wanted));
  return 0;
}

int main(int argc, char **argv) {
  const char *attack = argc > 1 ? argv[1] : "";
  const char *detail = argc > 2 ? argv[2] : "";
  const long number = atol(detail);
  if (!strcmp(attack, "init")) return on_init(detail);
  if (!strcmp(attack, "raise"))
    return raise_limit((int)number, strtoull(argc > 3 ? argv[3] : "0", NULL, 10));
  if (!strcmp(attack, "bomb")) bomb(detail);
  if (!strcmp(attack, "daemon")) {
    if (fork() == 0) daemon_process();
    wait(NULL);
    return 0;
  }
  if (!strcmp(attack, "respawn")) {
    if (fork() == 0) respawn();
    return 0;
  }
  if (!strcmp(attack, "name")) {
    name_with(") R 1\n\033[2J");
    return 0;
  }
  if (!strcmp(attack, "watches")) {
    const int fd = inotify_init1(0);
    char path[64];
    long count = 0;
    for (errno = 0; count < number; ++count) {
      snprintf(path, sizeof path, "/tmp/%ld", count);
      if (mknod(path, S_IFREG | 0600, 0) < 0 || inotify_add_watch(fd, path, IN_ALL_EVENTS) < 0)
        break;
    }
    counted(count, number);
    return 0;
  }
  if (!strcmp(attack, "key")) {
    // Addresses that no call can read: whoever may call gets EFAULT.
    say("add_key", syscall(SYS_add_key, (void *)1, NULL, NULL, 0, 0));
    say("keyctl", syscall(SYS_keyctl, 0, -3, 0));
    return 0;
  }
  if (!strcmp(attack, "mkdir")) {
    const char *path = argc > 2 ? argv[2] : "";
    say("mkdir", mkdir(path, 0755));
    return 0;
  }
  if (!strcmp(attack, "hold")) {  // hold KIND COUNT: says so on descriptor 3, and stays.
    as_many(detail, atol(argc > 3 ? argv[3] : "0"));
    if (write(3, "x", 1) != 1) return 1;
    for (;;) pause();
  }
  as_many(attack, number);
  return 0;
}
