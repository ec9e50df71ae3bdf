// Loads a seccomp filter of the job's own, one that allows all, and tells what came of it.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *load(unsigned long flags, unsigned action) {
  struct sock_filter one = {BPF_RET | BPF_K, 0, 0, action};
  struct sock_fprog program = {1, &one};
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program) < 0
             ? strerrorname_np(errno)
             : "loaded";
}

int main(int argc, char **argv) {
  const char *how = argc > 1 ? argv[1] : "";
  if (!strcmp(how, "listener")) {
    printf("%s\n", load(SECCOMP_FILTER_FLAG_NEW_LISTENER, SECCOMP_RET_ALLOW));
    return 0;
  }
  if (!strcmp(how, "listener_high")) {
    printf("%s\n", load(SECCOMP_FILTER_FLAG_NEW_LISTENER | 1UL << 32, SECCOMP_RET_ALLOW));
    return 0;
  }
  // The kernel takes the strictest answer of all filters.
  printf("%s ", load(0, SECCOMP_RET_ALLOW));
  printf("%s\n", syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0) < 0 ? strerrorname_np(errno) : "ok");
  return 0;
}
