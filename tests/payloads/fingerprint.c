// Records all that a job can see and reach, a line a fact: "name value". What is another for each
// slot by its nature (ids of namespaces and mounts, the host ids behind the job's) is left out, or
// stands in parentheses, which the comparison skips. Static: it sees its own world only.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/ioprio.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <sys/xattr.h>
#include <unistd.h>

extern char **environ;

static void lines_of(const char *name, const char *path) {
  char line[4096];
  FILE *file = fopen(path, "re");
  if (!file) {
    printf("%s: %s\n", name, strerrorname_np(errno));
    return;
  }
  while (fgets(line, sizeof line, file)) {
    line[strcspn(line, "\n")] = 0;
    printf("%s: %s\n", name, line);
  }
  fclose(file);
}

/// Mount and parent ids and device numbers are new with every mount; the rest must be alike.
static void mounts(void) {
  char line[8192];
  FILE *file = fopen("/proc/self/mountinfo", "re");
  if (!file) return;
  while (fgets(line, sizeof line, file)) {
    line[strcspn(line, "\n")] = 0;
    char *rest = line;
    for (int i = 0; i < 3 && rest; ++i) rest = strchr(rest, ' ') ? strchr(rest, ' ') + 1 : NULL;
    // The host ids behind the slot's, in a tmpfs' options.
    for (char *id = rest; id && (id = strstr(id, "id="));) {
      id += 3;
      memmove(id, id + strspn(id, "0123456789"), strlen(id + strspn(id, "0123456789")) + 1);
    }
    if (rest) printf("mount: %s\n", rest);
  }
  fclose(file);
}

static int compare_names(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

/// Entries of a directory, sorted; the caller frees nothing: the process is short.
static int entries_of(const char *path, char ***names) {
  int count = 0, room = 64;
  *names = malloc((size_t)room * sizeof **names);
  DIR *directory = opendir(path);
  if (!directory) return -1;
  for (struct dirent *entry; (entry = readdir(directory));) {
    if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
    if (count == room) *names = realloc(*names, (size_t)(room *= 2) * sizeof **names);
    (*names)[count++] = strdup(entry->d_name);
  }
  closedir(directory);
  qsort(*names, (size_t)count, sizeof **names, compare_names);
  return count;
}

/// What may be read and written below /proc and /sys, but for the processes' own directories.
static void reachable(const char *path, int depth) {
  char **names;
  const int count = entries_of(path, &names);
  const int directory = open(path, O_PATH | O_DIRECTORY);
  for (int i = 0; i < count; ++i) {
    char below[4096];
    if (depth == 0 && (names[i][0] >= '0' && names[i][0] <= '9')) continue;
    if (depth == 0 && (!strcmp(names[i], "self") || !strcmp(names[i], "thread-self"))) continue;
    snprintf(below, sizeof below, "%s/%s", path, names[i]);
    struct stat status;
    if (fstatat(directory, names[i], &status, AT_SYMLINK_NOFOLLOW) < 0) continue;
    const int readable = faccessat(directory, names[i], R_OK, 0) == 0;
    const int writable = faccessat(directory, names[i], W_OK, 0) == 0;
    printf("path:%s %o %s%s\n", below, status.st_mode, readable ? "r" : "-", writable ? "w" : "-");
    if (S_ISDIR(status.st_mode) && depth < 8) reachable(below, depth + 1);
  }
  close(directory);
}

static void own_proc(void) {
  char **names;
  const int count = entries_of("/proc/self", &names);
  for (int i = 0; i < count; ++i) {
    char path[512];
    snprintf(path, sizeof path, "/proc/self/%s", names[i]);
    printf("own:%s %s%s\n", names[i], access(path, R_OK) == 0 ? "r" : "-",
           access(path, W_OK) == 0 ? "w" : "-");
  }
  const int processes = entries_of("/proc", &names);
  int numbers = 0;
  for (int i = 0; i < processes; ++i) numbers += names[i][0] >= '0' && names[i][0] <= '9';
  printf("processes: %d\n", numbers);
}

static void namespaces(void) {
  char **names;
  const int count = entries_of("/proc/self/ns", &names);
  for (int i = 0; i < count; ++i) {
    char path[512], target[512];
    snprintf(path, sizeof path, "/proc/self/ns/%s", names[i]);
    const ssize_t size = readlink(path, target, sizeof target - 1);
    if (size < 0) continue;
    target[size] = 0;
    printf("namespace: %s\n", names[i]);
    printf("(namespace.%s) %s\n", names[i], target);
  }
}

static void descriptor(int fd) {
  char path[64], target[4096];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  const ssize_t size = readlink(path, target, sizeof target - 1);
  target[size < 0 ? 0 : size] = 0;
  if (strchr(target, '[')) *strchr(target, '[') = 0;  // Inode numbers.
  printf("fd:%d %s %x %x\n", fd, target, fcntl(fd, F_GETFD), fcntl(fd, F_GETFL));
}

/// Asks poll, which takes many at once: a call for each would be most of this program's time.
static void descriptors(void) {
  struct pollfd asked[512];
  const int many = (int)(sizeof asked / sizeof *asked);
  for (int first = 0; first < 65536; first += many) {
    for (int i = 0; i < many; ++i) asked[i] = (struct pollfd){.fd = first + i};
    if (poll(asked, (nfds_t)many, 0) < 0) printf("fd:%d poll %d\n", first, errno);
    for (int i = 0; i < many; ++i)
      if (!(asked[i].revents & POLLNVAL)) descriptor(first + i);
  }
}

static void limits(void) {
  for (int i = 0; i < RLIM_NLIMITS; ++i) {
    struct rlimit limit;
    if (getrlimit((__rlimit_resource_t)i, &limit) == 0)
      printf("rlimit:%d %llu %llu\n", i, (unsigned long long)limit.rlim_cur,
             (unsigned long long)limit.rlim_max);
  }
}

static void identity(void) {
  uid_t r, e, s;
  getresuid(&r, &e, &s);
  printf("uids: %d %d %d\n", r, e, s);
  getresgid(&r, &e, &s);
  printf("gids: %d %d %d\n", r, e, s);
  printf("groups: %d\n", getgroups(0, NULL));
  printf("pids: %d %d %d %d\n", getpid(), getppid(), getpgrp(), getsid(0));
  char line[512];
  FILE *file = fopen("/proc/self/status", "re");
  while (file && fgets(line, sizeof line, file)) {
    static const char *const kKept[] = {"Cap",  "NoNewPrivs", "Seccomp",           "Sig",
                                        "Shd",  "Umask",      "TracerPid",         "Threads",
                                        "Cpus", "Mems",       "Speculation_Store", "NSpid",
                                        "CoreDumping", "THP_enabled"};
    line[strcspn(line, "\n")] = 0;
    for (size_t i = 0; i < sizeof kKept / sizeof *kKept; ++i)
      if (!strncmp(line, kKept[i], strlen(kKept[i]))) printf("status: %s\n", line);
  }
  if (file) fclose(file);
  static const int kOptions[] = {PR_GET_DUMPABLE, PR_GET_KEEPCAPS,  PR_GET_SECUREBITS,
                                 PR_GET_SECCOMP,  PR_GET_TIMERSLACK, PR_GET_TSC,
                                 PR_GET_THP_DISABLE, PR_GET_NO_NEW_PRIVS};
  for (size_t i = 0; i < sizeof kOptions / sizeof *kOptions; ++i) {
    int value = 0;
    const long result = kOptions[i] == PR_GET_TSC ? prctl(PR_GET_TSC, &value)
                                                  : prctl(kOptions[i], 0, 0, 0, 0);
    printf("prctl:%d %ld %d\n", kOptions[i], result, value);
  }
  int signal = 0, reaper = 0;
  prctl(PR_GET_PDEATHSIG, &signal);
  prctl(PR_GET_CHILD_SUBREAPER, &reaper);
  printf("prctl: death signal %d, subreaper %d\n", signal, reaper);
  printf("personality: %x\n", (unsigned)personality(0xffffffff));
  lines_of("cgroup", "/proc/self/cgroup");
  lines_of("oom", "/proc/self/oom_score_adj");
  lines_of("label", "/proc/self/attr/current");
  lines_of("coredump", "/proc/self/coredump_filter");
  lines_of("timens", "/proc/self/timens_offsets");
  lines_of("login", "/proc/self/loginuid");
  printf("keyring: %ld %s\n", syscall(SYS_keyctl, 0, -4, 0), strerrorname_np(errno));
}

static void scheduling(void) {
  cpu_set_t set;
  struct sched_param param = {0};
  CPU_ZERO(&set);
  sched_getaffinity(0, sizeof set, &set);
  sched_getparam(0, &param);
  printf("scheduling: policy %d priority %d nice %d io %ld cpus", sched_getscheduler(0),
         param.sched_priority, getpriority(PRIO_PROCESS, 0),
         syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0));
  for (int i = 0; i < CPU_SETSIZE; ++i)
    if (CPU_ISSET(i, &set)) printf(" %d", i);
  printf("\n");
  for (int which = ITIMER_REAL; which <= ITIMER_PROF; ++which) {
    struct itimerval timer = {0};
    getitimer((__itimer_which_t)which, &timer);
    printf("itimer:%d %ld %ld\n", which, (long)timer.it_value.tv_sec, (long)timer.it_interval.tv_sec);
  }
  lines_of("timers", "/proc/self/timers");
}

static void directory(const char *path, int list) {
  struct stat status;
  if (lstat(path, &status) < 0) {
    printf("file:%s %s\n", path, strerrorname_np(errno));
    return;
  }
  printf("file:%s mode %o owner %d:%d links %lu size %ld device %lx attributes %zd\n", path,
         status.st_mode, status.st_uid, status.st_gid,
         // /proc counts the host's processes there.
         strcmp(path, "/proc") ? (unsigned long)status.st_nlink : 0UL,
         (long)status.st_size, S_ISDIR(status.st_mode) ? 0UL : (unsigned long)status.st_rdev,
         listxattr(path, NULL, 0));
  char **names;
  const int count = list && S_ISDIR(status.st_mode) ? entries_of(path, &names) : 0;
  for (int i = 0; i < count; ++i) {
    char below[4096];
    snprintf(below, sizeof below, "%s/%s", strcmp(path, "/") ? path : "", names[i]);
    directory(below, list - 1);
  }
}

static void space(const char *path) {
  struct statfs status;
  if (statfs(path, &status) < 0) return;
  printf("space:%s type %lx blocks %lu free %lu inodes %lu free %lu flags %lx\n", path,
         (unsigned long)status.f_type, (unsigned long)status.f_blocks,
         (unsigned long)status.f_bfree, (unsigned long)status.f_files,
         (unsigned long)status.f_ffree, (unsigned long)status.f_flags);
}

/// Kernel memory of sockets and what the host has of them are the host's figures, not the slot's.
static void network(void) {
  static const char *const kFiles[] = {"tcp",   "tcp6", "udp",   "udp6",  "raw",     "raw6",
                                       "unix",  "netlink", "packet", "dev", "route", "ipv6_route",
                                       "arp",   "igmp", "igmp6", "if_inet6", "ip6_flowlabel",
                                       "snmp",  "snmp6", "netstat", "ptype", "fib_trie", "mcfilter",
                                       "mcfilter6", "anycast6", "udplite", "udplite6", "icmp",
                                       "icmp6", "rt_acct", "psched", "dev_mcast", "protocols"};
  for (size_t i = 0; i < sizeof kFiles / sizeof *kFiles; ++i) {
    char path[128], name[128];
    snprintf(path, sizeof path, "/proc/net/%s", kFiles[i]);
    snprintf(name, sizeof name, "net.%s", kFiles[i]);
    if (!strcmp(kFiles[i], "netlink") || !strcmp(kFiles[i], "protocols")) continue;
    lines_of(name, path);
  }
}

int main(int argc, char **argv) {
  setvbuf(stdout, NULL, _IOFBF, 1 << 20);
  descriptors();  // First: what follows opens some.
  printf("arguments: %d %s\n", argc, argv[0]);
  for (char **entry = environ; *entry; ++entry) printf("environment: %s\n", *entry);
  mounts();
  reachable("/proc", 0);
  reachable("/sys", 0);
  own_proc();
  namespaces();
  limits();
  identity();
  scheduling();
  char here[4096];
  printf("directory: %s\n", getcwd(here, sizeof here) ? here : "?");
  directory("/", 1);
  directory("/dev", 1);
  directory("/w", 8);
  directory("/tmp", 8);
  directory("/dev/shm", 8);
  directory("/run", 8);
  directory("/home", 8);
  for (const char *const *path =
           (const char *const[]){"/", "/w", "/tmp", "/dev", "/dev/shm", "/proc", NULL};
       *path; ++path)
    space(*path);
  struct utsname names;
  uname(&names);
  printf("uname: %s %s %s %s %s %s\n", names.sysname, names.nodename, names.release, names.version,
         names.machine, names.domainname);
  lines_of("sysvipc.shm", "/proc/sysvipc/shm");
  lines_of("sysvipc.sem", "/proc/sysvipc/sem");
  lines_of("sysvipc.msg", "/proc/sysvipc/msg");
  for (const char *const *path = (const char *const[]){"kernel/shmmax", "kernel/shmmni",
                                                       "kernel/msgmni", "kernel/sem",
                                                       "fs/mqueue/queues_max",
                                                       "user/max_user_namespaces",
                                                       "kernel/hostname", "kernel/domainname", NULL};
       *path; ++path) {
    char file[128];
    snprintf(file, sizeof file, "/proc/sys/%s", *path);
    lines_of(*path, file);
  }
  network();
  return 0;
}
