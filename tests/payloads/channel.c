// One end of a channel between two jobs: "hold" leaves something, says so on descriptor 3 and waits
// on 4 (a job of its own, at the same time); "leave" leaves it and ends; "look" looks for it and
// prints what it found.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

static const char *word;  // What both know: a path, a number.

static const char *told(long result) { return result < 0 ? strerrorname_np(errno) : "found"; }
static int number(void) { return atoi(word); }

static long shm_leave(void) { return shmget(number(), 4096, IPC_CREAT | 0666); }
static const char *shm_look(void) {
  const int id = shmget(number(), 0, 0);
  const char *seen = told(id);
  if (id >= 0) shmctl(id, IPC_RMID, NULL);
  return seen;
}
static void shm_clean(void) { shmctl(shmget(number(), 0, 0), IPC_RMID, NULL); }
static long sem_leave(void) { return semget(number(), 1, IPC_CREAT | 0666); }
static const char *sem_look(void) {
  const int id = semget(number(), 0, 0);
  const char *seen = told(id);
  if (id >= 0) semctl(id, 0, IPC_RMID);
  return seen;
}
static void sem_clean(void) { semctl(semget(number(), 0, 0), 0, IPC_RMID); }
static long msg_leave(void) { return msgget(number(), IPC_CREAT | 0666); }
static const char *msg_look(void) {
  const int id = msgget(number(), 0);
  const char *seen = told(id);
  if (id >= 0) msgctl(id, IPC_RMID, NULL);
  return seen;
}
static void msg_clean(void) { msgctl(msgget(number(), 0), IPC_RMID, NULL); }

static const char *queue_name(void) {
  static char name[64];
  snprintf(name, sizeof name, "/hatchery-%s", word);
  return name;
}
static long mq_leave(void) {
  struct mq_attr small = {.mq_maxmsg = 1, .mq_msgsize = 8};
  umask(0);
  return mq_open(queue_name(), O_CREAT | O_RDWR, 0666, &small);
}
static const char *mq_look(void) {
  const char *seen = told(mq_open(queue_name(), O_RDWR));
  mq_unlink(queue_name());
  return seen;
}
static void mq_clean(void) { mq_unlink(queue_name()); }

/// What is made and gone again moves the numbers of those to come.
static long ids_gone(void) {
  const int sem = semget(IPC_PRIVATE, 1, 0600), shm = shmget(IPC_PRIVATE, 1, 0600);
  const int msg = msgget(IPC_PRIVATE, 0600);
  semctl(sem, 0, IPC_RMID);
  shmctl(shm, IPC_RMID, NULL);
  msgctl(msg, IPC_RMID, NULL);
  return sem | shm | msg;
}
static const char *ids_look(void) { return ids_gone() == 0 ? "none" : "found"; }

static socklen_t abstract(struct sockaddr_un *address) {
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  const int size = snprintf(address->sun_path + 1, sizeof address->sun_path - 1, "hatchery-%s", word);
  return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)size);
}
static long unix_leave(void) {
  struct sockaddr_un address;
  const socklen_t size = abstract(&address);
  const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  return bind(fd, (struct sockaddr *)&address, size) < 0 ? -1 : listen(fd, 1);
}
static const char *unix_look(void) {
  struct sockaddr_un address;
  const socklen_t size = abstract(&address);
  return told(connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&address, size));
}
static struct sockaddr_in port(void) {
  return (struct sockaddr_in){.sin_family = AF_INET,
                              .sin_port = htons((unsigned short)number()),
                              .sin_addr = {htonl(INADDR_LOOPBACK)}};
}
static long tcp_leave(void) {
  struct sockaddr_in address = port();
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  return bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ? -1 : listen(fd, 1);
}
static const char *tcp_look(void) {
  struct sockaddr_in address = port();
  return told(connect(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&address, sizeof address));
}
static long udp_leave(void) {
  struct sockaddr_in address = port();
  return bind(socket(AF_INET, SOCK_DGRAM, 0), (struct sockaddr *)&address, sizeof address);
}
static const char *udp_look(void) {
  // Taken means found.
  return udp_leave() < 0 ? "found" : "free";
}
/// A connection that waits out its time after its end.
static long wait_leave(void) {
  struct sockaddr_in address = port();
  const int server = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
  if (bind(server, (struct sockaddr *)&address, sizeof address) < 0 || listen(server, 1) < 0 ||
      connect(client, (struct sockaddr *)&address, sizeof address) < 0)
    return -1;
  const int accepted = accept(server, NULL, NULL);
  return close(accepted) + close(client) + close(server);
}
static const char *wait_look(void) {
  FILE *table = fopen("/proc/net/tcp", "re");
  char line[512];
  int lines = 0;
  while (table && fgets(line, sizeof line, table)) ++lines;
  return lines > 1 ? "found" : "none";
}

static int open_word(int flags) { return open(word, flags | O_CLOEXEC); }
static long flock_leave(void) { return flock(open_word(O_RDONLY), LOCK_EX); }
static const char *flock_look(void) {
  return flock(open_word(O_RDONLY), LOCK_EX | LOCK_NB) < 0 ? "found" : "free";
}
static long record(void) {
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 7, .l_len = 1};
  return fcntl(open_word(O_RDWR), F_OFD_SETLK, &lock);
}
static const char *record_look(void) {
  return record() == 0 ? "free" : errno == EAGAIN ? "found" : strerrorname_np(errno);
}

static int watcher = -1;
static volatile sig_atomic_t signalled;
static void on_signal(int unused) { (void)unused, signalled = 1; }
static long inotify_leave(void) {
  watcher = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  return inotify_add_watch(watcher, word, IN_OPEN | IN_ACCESS);
}
static const char *inotify_seen(void) {
  char events[4096];
  return read(watcher, events, sizeof events) > 0 ? "seen" : "nothing";
}
static long dnotify_leave(void) {
  signal(SIGIO, on_signal);
  return fcntl(open_word(O_RDONLY | O_DIRECTORY), F_NOTIFY, DN_ACCESS | DN_MULTISHOT);
}
static const char *dnotify_seen(void) { return signalled ? "seen" : "nothing"; }
static const char *touch(void) {
  char byte[1024];
  const int fd = open_word(O_RDONLY);
  if (syscall(SYS_getdents64, fd, byte, sizeof byte) < 0) (void)!read(fd, byte, 1);
  return fd < 0 ? strerrorname_np(errno) : "touched";
}

static long key_leave(void) {
  return syscall(SYS_add_key, "user", word, "answer", 6L, -4L);
}
static const char *key_look(void) { return told(syscall(SYS_keyctl, 10, -4L, "user", word, 0)); }

static long directory_leave(void) {
  setxattr("/w", "user.answer", "42", 2, 0);
  return chmod("/w", 0711);
}
static const char *directory_look(void) {
  struct stat status;
  stat("/w", &status);
  const int marked = getxattr("/w", "user.answer", NULL, 0) >= 0;
  return marked || (status.st_mode & 0777) != 0755 ? "found" : "none";
}
/// Files without a name move the numbers of those to come.
static long numbers_leave(void) {
  for (int i = 0; i < 100; ++i) close(open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  return 0;
}
static const char *numbers_look(void) {
  struct stat status = {0};
  fstat(open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600), &status);
  return status.st_ino > 100 ? "found" : "none";
}
/// IPV6_FLOWLABEL_MGR: a label that stays for a minute after its socket, without any packet.
struct label_request {
  struct in6_addr destination;
  unsigned label;
  unsigned char action, share;
  unsigned short flags, expires, linger;
  unsigned padding;
};
static long label_leave(void) {
  struct label_request request = {.destination = IN6ADDR_LOOPBACK_INIT,
                                  .label = htonl(0x12345),
                                  .share = 255,
                                  .flags = 1,
                                  .expires = 60,
                                  .linger = 6};
  return setsockopt(socket(AF_INET6, SOCK_DGRAM, 0), IPPROTO_IPV6, 32, &request, sizeof request);
}
static const char *label_look(void) {
  FILE *table = fopen("/proc/net/ip6_flowlabel", "re");
  char line[512];
  int lines = 0;
  while (table && fgets(line, sizeof line, table)) ++lines;
  return lines > 1 ? "found" : "none";
}
/// A multicast group that its socket leaves as the job ends: reported some milliseconds later.
static long group_leave(void) {
  const struct ip_mreqn request = {.imr_multiaddr.s_addr = htonl(0xef010203), .imr_ifindex = 1};
  struct group_req other = {.gr_interface = 1};
  struct sockaddr_in *const address = (struct sockaddr_in *)&other.gr_group;
  *address = (struct sockaddr_in){AF_INET, 0, {htonl(0xef010204)}, {0}};
  const int fd = socket(AF_INET, SOCK_DGRAM, 0);
  return setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, sizeof request) &
         setsockopt(fd, IPPROTO_IP, MCAST_JOIN_GROUP, &other, sizeof other);
}
static long group6_leave(void) {
  const struct in6_addr group = {.s6_addr = {0xff, 0x05, [14] = 0x12, [15] = 0x34}};
  const struct ipv6_mreq request = {group, 1};
  struct group_req other = {.gr_interface = 1};
  struct sockaddr_in6 *const address = (struct sockaddr_in6 *)&other.gr_group;
  *address = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_addr = group};
  address->sin6_addr.s6_addr[15] = 0x35;
  const int fd = socket(AF_INET6, SOCK_DGRAM, 0);
  return setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &request, sizeof request) &
         setsockopt(fd, IPPROTO_IPV6, MCAST_JOIN_GROUP, &other, sizeof other);
}
static size_t counted(char *into, size_t size) {
  size_t total = 0;
  for (int i = 0; i < 2; ++i) {
    const int fd = open(i ? "/proc/net/snmp6" : "/proc/net/snmp", O_RDONLY);
    for (ssize_t got; (got = read(fd, into + total, size - total)) > 0;) total += (size_t)got;
    close(fd);
  }
  return total;
}
static const char *counters_look(void) {
  static char before[16384], now[16384];
  const size_t size = counted(before, sizeof before);
  for (int i = 0; i < 50; ++i) {
    usleep(20000);
    if (counted(now, sizeof now) != size || memcmp(before, now, size)) return "found";
  }
  return "none";
}
/// A socket that only its own queue holds: the kernel's collector of such cycles must find it.
static long cycle_leave(void) {
  struct sockaddr_un address;
  const socklen_t size = abstract(&address);
  int pair[2];
  const int bound = socket(AF_UNIX, SOCK_STREAM, 0);
  if (bind(bound, (struct sockaddr *)&address, size) < 0 || listen(bound, 1) < 0) return -1;
  if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) < 0) return -1;
  char control[CMSG_SPACE(3 * sizeof(int))] = {0};
  struct iovec part = {"x", 1};
  struct msghdr message = {.msg_iov = &part,
                           .msg_iovlen = 1,
                           .msg_control = control,
                           .msg_controllen = sizeof control};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(3 * sizeof(int));
  const int fds[3] = {bound, pair[0], pair[1]};
  memcpy(CMSG_DATA(header), fds, sizeof fds);
  return sendmsg(pair[0], &message, 0);
}
static const char *cycle_look(void) {
  FILE *table = fopen("/proc/net/unix", "re");
  char line[512];
  int lines = 0;
  while (table && fgets(line, sizeof line, table)) ++lines;
  return lines > 1 ? "found" : "none";
}
static long daemon_leave(void) {
  if (fork() == 0) {
    setsid();
    signal(SIGTERM, SIG_IGN);
    close(0), close(1), close(2);
    for (int i = 0; i < 100; ++i) usleep(50000);
    _exit(0);
  }
  return 0;
}
static const char *daemon_look(void) {
  DIR *processes = opendir("/proc");
  int count = 0;
  for (struct dirent *entry; (entry = readdir(processes));)
    count += entry->d_name[0] >= '0' && entry->d_name[0] <= '9';
  return count > 1 ? "found" : "none";
}

static const struct {
  const char *name;
  long (*leave)(void);
  const char *(*look)(void);
  const char *(*seen)(void);
  void (*clean)(void);
} kChannels[] = {{"shm", shm_leave, shm_look, NULL, shm_clean},
                 {"sem", sem_leave, sem_look, NULL, sem_clean},
                 {"msg", msg_leave, msg_look, NULL, msg_clean},
                 {"mq", mq_leave, mq_look, NULL, mq_clean},
                 {"ids", ids_gone, ids_look, NULL, NULL},
                 {"unix", unix_leave, unix_look, NULL, NULL},
                 {"tcp", tcp_leave, tcp_look, NULL, NULL},
                 {"udp", udp_leave, udp_look, NULL, NULL},
                 {"time_wait", wait_leave, wait_look, NULL, NULL},
                 {"flock", flock_leave, flock_look, NULL, NULL},
                 {"record", record, record_look, NULL, NULL},
                 {"inotify", inotify_leave, touch, inotify_seen, NULL},
                 {"dnotify", dnotify_leave, touch, dnotify_seen, NULL},
                 {"key", key_leave, key_look, NULL, NULL},
                 {"directory", directory_leave, directory_look, NULL, NULL},
                 {"numbers", numbers_leave, numbers_look, NULL, NULL},
                 {"label", label_leave, label_look, NULL, NULL},
                 {"group", group_leave, counters_look, NULL, NULL},
                 {"group6", group6_leave, counters_look, NULL, NULL},
                 {"cycle", cycle_leave, cycle_look, NULL, NULL},
                 {"daemon", daemon_leave, daemon_look, NULL, NULL}};

int main(int argc, char **argv) {
  if (argc < 4) return 2;
  word = argv[3];
  for (size_t at = 0; at < sizeof kChannels / sizeof *kChannels; ++at) {
    if (strcmp(kChannels[at].name, argv[2])) continue;
    if (!strcmp(argv[1], "look")) {
      printf("%s\n", kChannels[at].look());
      return 0;
    }
    const long left = kChannels[at].leave();
    printf("%s\n", left < 0 ? strerrorname_np(errno) : "left");
    if (!strcmp(argv[1], "leave")) return 0;
    char byte;
    (void)!write(3, "x", 1);
    // A signal of the watched directory may come first.
    while (read(4, &byte, 1) < 0 && errno == EINTR) {
    }
    if (kChannels[at].seen) printf("%s\n", kChannels[at].seen());
    if (kChannels[at].clean) kChannels[at].clean();
    return 0;
  }
  return 2;
}
