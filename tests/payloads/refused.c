// Makes one system call that a job has no business making, with arguments that would do no harm,
// and prints the errno's name, or "ok". Where the kernel looks at arguments before privileges, the
// arguments are wrong on purpose: the errno then tells whether the kernel itself was asked.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static char room[8192];

static long trace_me(void) { return syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0); }
static long copy_memory(long number) {
  char from = 'x', to = 0;
  struct iovec local = {&to, 1}, remote = {&from, 1};
  return syscall(number, getpid(), &local, 1L, &remote, 1L, 0L);
}
static long read_memory(void) { return copy_memory(SYS_process_vm_readv); }
static long write_memory(void) { return copy_memory(SYS_process_vm_writev); }
static long own_pidfd(void) { return syscall(SYS_pidfd_open, getpid(), 0); }
static long take_descriptor(void) { return syscall(SYS_pidfd_getfd, own_pidfd(), 0, 0); }
static long compare(void) { return syscall(SYS_kcmp, getpid(), getpid(), 0, 0, 0); }
static long ring_setup(void) { return syscall(SYS_io_uring_setup, 1, room); }
static long ring_enter(void) { return syscall(SYS_io_uring_enter, -1, 0, 0, 0, 0, 0); }
static long ring_register(void) { return syscall(SYS_io_uring_register, -1, 0, 0, 0); }
static long aio_setup(void) { return syscall(SYS_io_setup, 1, NULL); }
static long bpf(void) { return syscall(SYS_bpf, 7, room, sizeof room); }
static long perf(void) { return syscall(SYS_perf_event_open, room, 0, -1, -1, 1L << 20); }
static long fault_handler(void) { return syscall(SYS_userfaultfd, 1); }
static long keyring(void) { return syscall(SYS_keyctl, 0, -2, 1); }
static long new_key(void) { return syscall(SYS_add_key, "user", "x", "y", 1L, -2L); }
static long ask_key(void) { return syscall(SYS_request_key, "user", "x", NULL, 0L); }
static long handle_open(void) { return syscall(SYS_open_by_handle_at, AT_FDCWD, NULL, 0); }
static long handle_name(void) {
  int mount = 0;
  return syscall(SYS_name_to_handle_at, AT_FDCWD, "/", room, &mount, -1);
}
static long mount_call(void) { return syscall(SYS_mount, "x", NULL, "tmpfs", 0, NULL); }
static long unmount(void) { return syscall(SYS_umount2, "/w", -1); }
static long swap_root(void) { return syscall(SYS_pivot_root, "/w", "/w"); }
static long open_filesystem(void) { return syscall(SYS_fsopen, "tmpfs", 0); }
static long configure(void) { return syscall(SYS_fsconfig, -1, -1, NULL, NULL, 0); }
static long make_mount(void) { return syscall(SYS_fsmount, -1, 0, 0); }
static long pick(void) { return syscall(SYS_fspick, AT_FDCWD, "/w", 0); }
static long move(void) { return syscall(SYS_move_mount, -1, "", -1, "", 0); }
static long tree(void) { return syscall(SYS_open_tree, AT_FDCWD, "/", 0); }
static long mount_attributes(void) {
  return syscall(SYS_mount_setattr, -1, "", -1, NULL, 0);
}
static long mount_facts(void) { return syscall(457, NULL, NULL, 0, 0); }
static long mount_list(void) { return syscall(458, NULL, NULL, 0, 0); }
static long change_root(void) { return syscall(SYS_chroot, NULL); }
static long share_less(void) { return syscall(SYS_unshare, CLONE_FILES); }
static long join(void) {
  return syscall(SYS_setns, open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC), CLONE_NEWUSER);
}
static long clone_with(unsigned long flags) {
  const long pid = syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, NULL);
  if (pid == 0) _exit(0);
  return pid;
}
static long clone_user(void) { return clone_with(CLONE_NEWUSER); }
static long clone_user_high(void) { return clone_with(CLONE_NEWUSER | 1UL << 32); }
static long clone_three(void) { return syscall(SYS_clone3, NULL, 0); }
static long load_kernel(void) { return syscall(SYS_kexec_load, 0, 0, NULL, 0); }
static long load_module(void) { return syscall(SYS_init_module, room, 1, ""); }
static long load_module_file(void) { return syscall(SYS_finit_module, -1, "", 0); }
static long drop_module(void) { return syscall(SYS_delete_module, "none", 0); }
static long restart(void) { return syscall(SYS_reboot, 0, 0, 0, NULL); }
static long swap(void) { return syscall(SYS_swapon, "/w/none", 0); }
static long accounting(void) { return syscall(SYS_acct, "/w/none"); }
static long kernel_log(void) { return syscall(SYS_syslog, 99, NULL, 0); }
static long quota(void) { return syscall(SYS_quotactl, -1, NULL, 0, NULL); }
static long host_name(void) { return syscall(SYS_sethostname, "owned", 5); }
static long domain_name(void) { return syscall(SYS_setdomainname, "owned", 5); }
static long set_time(void) { return syscall(SYS_settimeofday, 1L, NULL); }
static long set_clock(void) { return syscall(SYS_clock_settime, 99, NULL); }
static long adjust_time(void) { return syscall(SYS_adjtimex, NULL); }
static long ports(void) { return syscall(SYS_iopl, 0); }
static long segments(void) { return syscall(SYS_modify_ldt, 0, room, sizeof room); }
static long numa(void) { return syscall(SYS_set_mempolicy, 0, NULL, 0); }
static long watch_all(void) { return syscall(SYS_fanotify_init, 0x200, 0); }
static long hang_up(void) { return syscall(SYS_vhangup); }
static long advise_other(void) { return syscall(SYS_process_madvise, -1, NULL, 0, 0, 0); }
static long page_cache(void) { return syscall(451, -1, NULL, NULL, 0); }
static long beyond(void) { return syscall(4000); }
static long negative(void) { return syscall(-1); }
static long x32(void) { return syscall(0x40000000 | SYS_getpid); }
// int 0x80 takes the i386 numbers: 20 is getpid, 102 socketcall, 26 ptrace.
static long i386(long number, long first, long second) {
#ifdef __x86_64__
  long result = number;
  __asm__ volatile("int $0x80" : "+a"(result) : "b"(first), "c"(second), "d"(0L) : "memory");
  if (result >= 0 || result < -4095) return 0;
  errno = (int)-result;
  return -1;
#else
  (void)number, (void)first, (void)second;
  errno = EPERM;
  return -1;
#endif
}
static long i386_pid(void) { return i386(20, 0, 0); }
static long i386_trace(void) { return i386(26, 0, 0); }
static long i386_user(void) { return i386(310, CLONE_FILES, 0); }
static long i386_socket(void) { return i386(102, 99, 0); }
static long personality_high(void) { return personality(READ_IMPLIES_EXEC | 1UL << 32); }
static long readable_code(void) { return personality(READ_IMPLIES_EXEC); }
static long socket_high(void) {
  return syscall(SYS_socket, AF_PACKET | 1UL << 32, 77, 9UL | 1UL << 32);
}
static long type_high(void) { return syscall(SYS_socket, AF_INET, 77UL | 1UL << 32, 0); }
static long type_ahead(long request) { return syscall(SYS_ioctl, 0, request, "x"); }
static long typed(void) { return type_ahead(0x5412); }
static long typed_high(void) { return type_ahead(0x5412 | 1L << 32); }
static long pasted_high(void) { return type_ahead(0x541c | 1L << 33); }

static long core_limit(unsigned long high) {
  const unsigned long none[2] = {0, 0};
  return syscall(SYS_prlimit64, 0, 4 | high, none, NULL);
}
static long no_core(void) { return core_limit(0); }
static long no_core_high(void) { return core_limit(1UL << 32); }
static long no_core_old(void) {
  const unsigned long none[2] = {0, 0};
  return syscall(SYS_setrlimit, 4UL | 1UL << 33, none);
}

static const struct {
  const char *name;
  long (*call)(void);
} kCalls[] = {{"ptrace", trace_me},
              {"process_vm_readv", read_memory},
              {"process_vm_writev", write_memory},
              {"pidfd_getfd", take_descriptor},
              {"kcmp", compare},
              {"io_uring_setup", ring_setup},
              {"io_uring_enter", ring_enter},
              {"io_uring_register", ring_register},
              {"io_setup", aio_setup},
              {"bpf", bpf},
              {"perf_event_open", perf},
              {"userfaultfd", fault_handler},
              {"keyctl", keyring},
              {"add_key", new_key},
              {"request_key", ask_key},
              {"open_by_handle_at", handle_open},
              {"name_to_handle_at", handle_name},
              {"mount", mount_call},
              {"umount2", unmount},
              {"pivot_root", swap_root},
              {"fsopen", open_filesystem},
              {"fsconfig", configure},
              {"fsmount", make_mount},
              {"fspick", pick},
              {"move_mount", move},
              {"open_tree", tree},
              {"mount_setattr", mount_attributes},
              {"statmount", mount_facts},
              {"listmount", mount_list},
              {"chroot", change_root},
              {"unshare", share_less},
              {"setns", join},
              {"clone_user", clone_user},
              {"clone_user_high", clone_user_high},
              {"clone3", clone_three},
              {"kexec_load", load_kernel},
              {"init_module", load_module},
              {"finit_module", load_module_file},
              {"delete_module", drop_module},
              {"reboot", restart},
              {"swapon", swap},
              {"acct", accounting},
              {"syslog", kernel_log},
              {"quotactl", quota},
              {"sethostname", host_name},
              {"setdomainname", domain_name},
              {"settimeofday", set_time},
              {"clock_settime", set_clock},
              {"adjtimex", adjust_time},
              {"iopl", ports},
              {"modify_ldt", segments},
              {"set_mempolicy", numa},
              {"fanotify_init", watch_all},
              {"vhangup", hang_up},
              {"process_madvise", advise_other},
              {"cachestat", page_cache},
              {"beyond", beyond},
              {"negative", negative},
              {"x32", x32},
              {"i386_pid", i386_pid},
              {"i386_ptrace", i386_trace},
              {"i386_unshare", i386_user},
              {"i386_socketcall", i386_socket},
              {"personality", readable_code},
              {"personality_high", personality_high},
              {"socket_high", socket_high},
              {"type_high", type_high},
              {"tiocsti", typed},
              {"tiocsti_high", typed_high},
              {"tioclinux_high", pasted_high},
              {"core_limit", no_core},
              {"core_limit_high", no_core_high},
              {"core_limit_old", no_core_old}};

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
