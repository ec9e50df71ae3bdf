// The built-in policy: what compilers, interpreters and ordinary programs need, and no more.
// What it refuses is at least what Docker's default profile refuses to a container without
// capabilities.
#include <linux/memfd.h>
#include <linux/prctl.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <iterator>

#include "workers/syscall_policy.h"

namespace hatchery {
namespace {

// Allowed whatever their arguments. Names that this libseccomp does not know are skipped.
constexpr const char* kAllowed[] = {
    // Files.
    "access", "chdir", "chmod", "chown", "close", "close_range", "copy_file_range", "creat", "dup",
    "dup2", "dup3", "faccessat", "faccessat2", "fadvise64", "fallocate", "fchdir", "fchmod",
    "fchmodat", "fchmodat2", "fchown", "fchownat", "fcntl", "fdatasync", "fgetxattr", "flistxattr",
    "flock", "fremovexattr", "fsetxattr", "fstat", "fstatfs", "fsync", "ftruncate", "futimesat",
    "getcwd", "getdents", "getdents64", "getxattr", "getxattrat", "lchown", "lgetxattr", "link",
    "linkat", "listxattr", "listxattrat", "llistxattr", "lremovexattr", "lseek", "lsetxattr",
    "lstat", "mkdir", "mkdirat", "mknod", "mknodat", "newfstatat", "open", "openat", "openat2",
    "pread64", "preadv", "preadv2", "pwrite64", "pwritev", "pwritev2", "read", "readahead",
    "readlink", "readlinkat", "readv", "removexattr", "removexattrat", "rename", "renameat",
    "renameat2", "rmdir", "sendfile", "setxattr", "setxattrat", "splice", "stat", "statfs", "statx",
    "symlink", "symlinkat", "sync", "sync_file_range", "syncfs", "tee", "truncate", "umask",
    "unlink", "unlinkat", "utime", "utimensat", "utimes", "vmsplice", "write", "writev",
    // Waiting, pipes and events.
    "epoll_create", "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2", "epoll_wait",
    "eventfd", "eventfd2", "inotify_add_watch", "inotify_init", "inotify_init1", "inotify_rm_watch",
    "pipe", "pipe2", "poll", "ppoll", "pselect6", "select", "signalfd", "signalfd4",
    "timerfd_create", "timerfd_gettime", "timerfd_settime",
    // Sockets, but for socket and socketpair.
    "accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "listen",
    "recvfrom", "recvmmsg", "recvmsg", "sendmmsg", "sendmsg", "sendto", "setsockopt", "shutdown",
    // Memory.
    "brk", "madvise", "map_shadow_stack", "membarrier", "memfd_create", "mincore", "mlock",
    "mlock2", "mlockall", "mmap", "mprotect", "mremap", "mseal", "msync", "munlock", "munlockall",
    "munmap", "pkey_alloc", "pkey_free", "pkey_mprotect", "remap_file_pages",
    // Processes and threads, but for clone and clone3.
    "arch_prctl", "execve", "execveat", "exit", "exit_group", "fork", "futex", "futex_requeue",
    "futex_wait", "futex_waitv", "futex_wake", "get_robust_list", "get_thread_area", "getcpu",
    "getpgid", "getpgrp", "getpid", "getppid", "getpriority", "getrlimit", "getrusage", "getsid",
    "gettid", "ioprio_get", "ioprio_set", "kill", "pidfd_open", "pidfd_send_signal", "prctl",
    "rseq", "sched_get_priority_max", "sched_get_priority_min", "sched_getaffinity",
    "sched_getattr", "sched_getparam", "sched_getscheduler", "sched_rr_get_interval",
    "sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler", "sched_yield",
    "set_robust_list", "set_thread_area", "set_tid_address", "setpgid", "setpriority", "setsid",
    "tgkill", "times", "tkill", "vfork", "wait4", "waitid",
    // Signals.
    "pause", "restart_syscall", "rt_sigaction", "rt_sigpending", "rt_sigprocmask",
    "rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait", "rt_tgsigqueueinfo",
    "sigaltstack",
    // Time.
    "alarm", "clock_getres", "clock_gettime", "clock_nanosleep", "getitimer", "gettimeofday",
    "nanosleep", "setitimer", "time", "timer_create", "timer_delete", "timer_getoverrun",
    "timer_gettime", "timer_settime",
    // Identity: without capabilities these change nothing of worth.
    "capget", "capset", "getegid", "geteuid", "getgid", "getgroups", "getresgid", "getresuid",
    "getuid", "setfsgid", "setfsuid", "setgid", "setgroups", "setregid", "setresgid", "setresuid",
    "setreuid", "setuid",
    // System V and POSIX queues: the slot has an ipc namespace of its own.
    "mq_getsetattr", "mq_notify", "mq_open", "mq_timedreceive", "mq_timedsend", "mq_unlink",
    "msgctl", "msgget", "msgrcv", "msgsnd", "semctl", "semget", "semop", "semtimedop", "shmat",
    "shmctl", "shmdt", "shmget",
    // The rest.
    "getrandom", "landlock_add_rule", "landlock_create_ruleset", "landlock_restrict_self",
    "sysinfo", "uname"};

// Programs probe these and have another way, which they take for ENOSYS only.
constexpr const char* kAbsent[] = {
    "clone3",  // Its flags are in memory, where a filter can't see them.
    "io_uring_setup", "io_uring_enter", "io_uring_register",
    // fs.aio-max-nr is one number for the whole host: a job could use it up, and count others' use.
    "io_setup", "io_submit", "io_getevents", "io_pgetevents", "io_cancel", "io_destroy"};

// Arguments that the kernel takes as int: the high half is ignored there, so it must be here.
constexpr std::uint64_t kInt = 0xffff'ffff;

ArgRule masked(std::uint32_t index, std::uint64_t mask, std::uint64_t value) {
  return {.index = index, .compare = ArgCompare::kMaskedEqual, .value = mask, .value_two = value};
}

SyscallRule rule(const char* name, SyscallAction action, std::vector<ArgRule> args) {
  return {.names = {name}, .action = action, .errnum = EPERM, .args = std::move(args)};
}

void add_processes(std::vector<SyscallRule>& rules) {
  // All CLONE_NEW*: cgroup, uts, ipc, user, pid and net; mount; and time, a signal number here.
  constexpr std::uint64_t kNamespaces = 0x7e02'0000 | 0x80;
  rules.push_back(rule("clone", SyscallAction::kAllow, {masked(0, kNamespaces, 0)}));
  // Default, SVR4-like uname, 32-bit address space, both, "tell me", and no address randomisation.
  for (const std::uint64_t persona : {0x0U, 0x8U, 0x20000U, 0x20008U, 0xffff'ffffU, 0x40000U})
    rules.push_back(rule("personality", SyscallAction::kAllow, {masked(0, kInt, persona)}));
  // A listener could answer for, and deceive, whatever the job starts; it also defeats other
  // filters.
  constexpr std::uint64_t kNewListener = 1U << 3;
  rules.push_back(rule("seccomp", SyscallAction::kAllow, {masked(1, kNewListener, 0)}));
}

void add_sockets(std::vector<SyscallRule>& rules) {
  rules.push_back(rule("socket", SyscallAction::kAllow, {masked(0, kInt, AF_UNIX)}));
  // TCP and UDP: any other type or protocol would make the kernel load a module for it (SCTP, DCCP,
  // …), or is raw.
  constexpr std::uint64_t kTypeMask = 0xf;  // The rest of the type are flags.
  for (const std::uint64_t family : std::to_array<std::uint64_t>({AF_INET, AF_INET6}))
    for (const std::uint64_t type : std::to_array<std::uint64_t>({SOCK_STREAM, SOCK_DGRAM}))
      for (const std::uint64_t protocol :
           std::to_array<std::uint64_t>({0, IPPROTO_TCP, IPPROTO_UDP}))
        rules.push_back(
            rule("socket", SyscallAction::kAllow,
                 {masked(0, kInt, family), masked(1, kTypeMask, type), masked(2, kInt, protocol)}));
  rules.push_back(rule("socketpair", SyscallAction::kAllow, {masked(0, kInt, AF_UNIX)}));
}

/// What a kernel built without the feature would answer: who asks has another way.
void add_missing_features(std::vector<SyscallRule>& rules) {
  const auto missing = [&rules](const char* name, int errnum, auto... when) {
    rules.push_back(
        {.names = {name}, .action = SyscallAction::kErrno, .errnum = errnum, .args = {when...}});
  };
  // What waits in a netlink socket is charged to nobody: gigabytes in some thousand sockets.
  // getaddrinfo does without; getifaddrs fails.
  missing("socket", EAFNOSUPPORT, masked(0, kInt, AF_NETLINK));
  // Who leaves a multicast group, as its socket does at a job's end, has the kernel report that
  // some milliseconds later: the next job would see the packet counted.
  static_assert(IP_ADD_SOURCE_MEMBERSHIP == (IP_ADD_MEMBERSHIP | 4));
  static_assert(MCAST_JOIN_SOURCE_GROUP == (MCAST_JOIN_GROUP | 4));
  const auto no_group = [&missing](std::uint64_t level, std::uint64_t mask, std::uint64_t option) {
    missing("setsockopt", ENODEV, masked(1, kInt, level), masked(2, mask, option));
  };
  no_group(IPPROTO_IP, kInt & ~std::uint64_t{4}, IP_ADD_MEMBERSHIP);
  no_group(IPPROTO_IP, kInt & ~std::uint64_t{4}, MCAST_JOIN_GROUP);
  no_group(IPPROTO_IPV6, kInt & ~std::uint64_t{4}, MCAST_JOIN_GROUP);
  no_group(IPPROTO_IPV6, kInt, IPV6_JOIN_GROUP);
  // The zygote's CPU time, which tells how many jobs there were before: nothing else guards the
  // clock of a process (clock_getcpuclockid(3): ~pid << 3, and what is measured).
  constexpr std::uint64_t kClocksOfInit = ~std::uint64_t{1} << 3 & kInt;
  for (const char* name : {"clock_gettime", "clock_getres", "clock_nanosleep", "timer_create"})
    missing(name, EINVAL, masked(0, kInt & ~std::uint64_t{7}, kClocksOfInit));
  // The host's reserved huge pages are not charged to a job's memory, and all of them could be had.
  missing("mmap", ENOMEM, masked(3, MAP_HUGETLB, MAP_HUGETLB));
  missing("memfd_create", ENOMEM, masked(1, MFD_HUGETLB, MFD_HUGETLB));
  missing("shmget", ENOMEM, masked(2, SHM_HUGETLB, SHM_HUGETLB));
  // Pages merged with equal ones of other slots: the time of a write tells what a neighbour holds.
  missing("madvise", EINVAL, masked(2, kInt, MADV_MERGEABLE));
  // A core of its own: what shares it stands idle, and nobody is charged for that.
  missing("prctl", EINVAL, masked(0, kInt, PR_SCHED_CORE));
}

}  // namespace

SyscallPolicy default_syscall_policy(SyscallAction refused) {
  SyscallPolicy policy{.default_action = refused, .default_errnum = EPERM};
  policy.rules.push_back({.names = {std::begin(kAllowed), std::end(kAllowed)}});
  policy.rules.push_back({.names = {std::begin(kAbsent), std::end(kAbsent)},
                          .action = SyscallAction::kErrno,
                          .errnum = ENOSYS});
  add_processes(policy.rules);
  add_sockets(policy.rules);
  add_missing_features(policy.rules);
  // These two put input into a terminal as if its user had typed it.
  policy.rules.push_back({.names = {"ioctl"}});
  for (const std::uint64_t request : std::to_array<std::uint64_t>({TIOCSTI, TIOCLINUX})) {
    policy.rules.push_back(rule("ioctl", refused, {masked(1, kInt, request)}));
  }
  // See Zygote::set_rlimits: a limit of 0 would let a piped core_pattern run.
  policy.rules.push_back({.names = {"setrlimit", "prlimit64"}});
  policy.rules.push_back(rule("setrlimit", SyscallAction::kErrno, {masked(0, kInt, RLIMIT_CORE)}));
  policy.rules.push_back(
      rule("prlimit64", SyscallAction::kErrno,
           {masked(1, kInt, RLIMIT_CORE), {.index = 2, .compare = ArgCompare::kNotEqual}}));
  return policy;
}

}  // namespace hatchery
