/* The bare fork server, floor of all pools: forks for each byte that comes on descriptor 3, waits
   for the child and answers with one byte: 0, or 1 when the child failed. argv[1] says what a child
   does: "exit" at once; "exec" the program whose arguments follow; "fenced": the same, after what no
   sandbox can have done before. Then the server lives in namespaces, and each child has an ipc
   namespace of its own and the seccomp filter that descriptor 4 is a file of; descriptors from 5 on,
   where there are any, are files of control groups that the server and its children are in. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static struct sock_filter filter[BPF_MAXINSNS];
static struct sock_fprog program = {.filter = filter};

static int join_groups(void) {
  int fd = 5;
  while (write(fd, "0", 1) == 1) close(fd++);
  return errno == EBADF ? 0 : -1;
}

/* In the server's child the rest of main goes on, as the first process of a pid namespace. */
static int enter_namespaces(void) {
  const ssize_t size = pread(4, filter, sizeof filter, 0);
  if (size <= 0) return -1;
  program.len = (unsigned short)((size_t)size / sizeof *filter);
  if (unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWCGROUP) != 0)
    return -1;
  const pid_t server = fork();
  if (server <= 0) return server;
  int status = 1;
  waitpid(server, &status, 0);
  _exit(status != 0);
}

static int fence(void) {
  return unshare(CLONE_NEWIPC) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
         syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0;
}

int main(int argc, char** argv, char** environment) {
  if (argc < 2) return 2;
  const int exec = strcmp(argv[1], "exit") != 0;
  const int fenced = strcmp(argv[1], "fenced") == 0;
  if (exec && argc < 3) return 2;
  if (fenced && (join_groups() != 0 || enter_namespaces() != 0)) return 1;
  char byte;
  while (recv(3, &byte, 1, 0) == 1) {
    const pid_t child = fork();
    if (child == 0) {
      if (!exec) _exit(0);
      if (fenced && fence() != 0) _exit(125);
      execve(argv[2], argv + 2, environment);
      _exit(127);
    }
    int status = 1;
    if (child < 0 || waitpid(child, &status, 0) != child) status = 1;
    byte = status != 0;
    if (send(3, &byte, 1, MSG_NOSIGNAL) != 1) return 1;
  }
  return 0;
}
