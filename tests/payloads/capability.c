// Does what takes a capability or another's identity, and prints the errno's name, or "ok".
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

static int file(mode_t mode) { return open("/tmp/own", O_RDWR | O_CREAT | O_CLOEXEC, mode); }
static long change_owner(void) {
  const uid_t other = getuid() == 0 ? 1000 : 0;
  return fchown(file(0600), other, other);
}
static long override_mode(void) {
  close(file(0));
  return open("/tmp/own", O_RDONLY | O_CLOEXEC);
}
static long change_mode(void) { return chmod("/tmp", 0777); }
static long become_root(void) { return setresuid(0, 0, 0); }
static long join_root(void) { return setresgid(0, 0, 0); }
static long join_groups(void) {
  const gid_t group = 0;
  return syscall(SYS_setgroups, 1, &group);
}
static long raise_set(unsigned inheritable) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2] = {{0}};
  data[0].permitted = data[0].effective = 1U << CAP_SYS_ADMIN | 1U << CAP_NET_RAW;
  data[0].inheritable = inheritable;
  return syscall(SYS_capset, &header, data);
}
static long raise_capability(void) { return raise_set(0); }
static long raise_ambient(void) {
  raise_set(1U << CAP_NET_RAW);
  return prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_RAW, 0, 0);
}
static long low_port(void) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(80)};
  return bind(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&address, sizeof address);
}
static long mark(void) {
  const int value = 1;
  return setsockopt(socket(AF_INET, SOCK_DGRAM, 0), SOL_SOCKET, SO_MARK, &value, sizeof value);
}
static long interface_down(void) {
  struct ifreq request = {.ifr_name = "lo"};
  return ioctl(socket(AF_INET, SOCK_DGRAM, 0), SIOCSIFFLAGS, &request);
}
static long delete_link(void) {
  struct {
    struct nlmsghdr header;
    struct ifinfomsg link;
  } ask = {{sizeof ask, RTM_DELLINK, NLM_F_REQUEST | NLM_F_ACK, 1, 0}, {.ifi_index = 1}};
  struct {
    struct nlmsghdr header;
    struct nlmsgerr error;
    char rest[256];
  } answer;
  const int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
  if (send(fd, &ask, sizeof ask, 0) < 0 || recv(fd, &answer, sizeof answer, 0) < 0) return -1;
  errno = -answer.error.error;
  return errno ? -1 : 0;
}
static long signal_init(void) {
  // The first signal that PID 1 can be sent; 0 only asks.
  for (int number = 0; number <= 64; ++number)
    if (kill(1, number) == 0 || errno == EINVAL) return 0;
  return -1;
}
static long continue_init(void) { return kill(1, SIGCONT); }
static long signal_init_by_pidfd(void) {
  return syscall(SYS_pidfd_send_signal, syscall(SYS_pidfd_open, 1, 0), SIGTERM, NULL, 0);
}
static long queue_to_init(void) {
  siginfo_t info = {.si_signo = SIGUSR1, .si_code = SI_QUEUE};
  return syscall(SYS_rt_sigqueueinfo, 1, SIGUSR1, &info);
}
static long slow_init(void) { return setpriority(PRIO_PROCESS, 1, 19); }
static long pin_init(void) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(0, &one);
  return sched_setaffinity(1, sizeof one, &one);
}
static long limit_init(void) {
  const struct rlimit none = {3, 3};
  return prlimit(1, RLIMIT_NOFILE, &none, NULL);
}
static long reschedule_init(void) {
  const struct sched_param param = {0};
  return sched_setscheduler(1, SCHED_IDLE, &param);
}
static long throttle_init(void) { return syscall(SYS_ioprio_set, 1, 1, 3 << 13); }
static long look_into_init(void) {
  static const char *const kFiles[] = {"mem", "environ", "maps", "fd", "root", "cwd", "ns/net"};
  for (size_t i = 0; i < sizeof kFiles / sizeof *kFiles; ++i) {
    char path[64];
    snprintf(path, sizeof path, "/proc/1/%s", kFiles[i]);
    if (open(path, O_RDONLY | O_CLOEXEC) >= 0) return 0;
  }
  return -1;
}
static long namespace_of_init(void) {
  // PIDFD_GET_NET_NAMESPACE, since 6.11.
  return ioctl((int)syscall(SYS_pidfd_open, 1, 0), _IO(0xff, 4), 0);
}
static long file_capability(void) {
  close(file(0700));
  const __le32 data[] = {VFS_CAP_REVISION_2, 1U << CAP_NET_RAW, 0, 0, 0};
  return setxattr("/tmp/own", "security.capability", data, sizeof data, 0);
}
static long write_to(const char *path, const char *text) {
  const int fd = open(path, O_WRONLY | O_CLOEXEC);
  return fd < 0 ? -1 : write(fd, text, strlen(text));
}
static long low_ports_for_all(void) {
  return write_to("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
}
static long deny_groups(void) { return write_to("/proc/self/setgroups", "deny"); }
static long lower_oom_score(void) { return write_to("/proc/self/oom_score_adj", "0"); }
static long shift_time(void) {
  return write_to("/proc/self/timens_offsets", "monotonic 1000 0\n");
}
static long map_root(void) { return write_to("/proc/self/uid_map", "0 0 1"); }
static long host(void) { return sethostname("owned", 5); }
static long root_directory(void) { return chroot("/w"); }
static long raise_limit(void) {
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_max += 1;
  return setrlimit(RLIMIT_NOFILE, &limit);
}

static const struct {
  const char *name;
  long (*call)(void);
} kCalls[] = {{"chown", change_owner},
              {"dac_override", override_mode},
              {"fowner", change_mode},
              {"setuid", become_root},
              {"setgid", join_root},
              {"setgroups", join_groups},
              {"capset", raise_capability},
              {"ambient", raise_ambient},
              {"bind_service", low_port},
              {"mark", mark},
              {"interface", interface_down},
              {"link", delete_link},
              {"kill_init", signal_init},
              {"continue_init", continue_init},
              {"pidfd_init", signal_init_by_pidfd},
              {"queue_init", queue_to_init},
              {"nice_init", slow_init},
              {"pin_init", pin_init},
              {"limit_init", limit_init},
              {"schedule_init", reschedule_init},
              {"ioprio_init", throttle_init},
              {"proc_init", look_into_init},
              {"namespace_init", namespace_of_init},
              {"setfcap", file_capability},
              {"port_sysctl", low_ports_for_all},
              {"deny_groups", deny_groups},
              {"oom_score", lower_oom_score},
              {"time_offset", shift_time},
              {"uid_map", map_root},
              {"hostname", host},
              {"chroot", root_directory},
              {"raise_limit", raise_limit}};

int main(int argc, char **argv) {
  for (int i = 1; i < argc; ++i) {
    for (size_t at = 0; at < sizeof kCalls / sizeof *kCalls; ++at) {
      if (strcmp(kCalls[at].name, argv[i])) continue;
      errno = 0;
      const long result = kCalls[at].call();
      printf("%s%s", i > 1 ? " " : "", result < 0 ? strerrorname_np(errno) : "ok");
    }
  }
  printf("\n");
  return 0;
}
