// Uses time: CPU of its own, of children and threads, in every way that could escape the account;
// sleeps, stops, and asks for more than its share. The attack is argv[1].
#define _GNU_SOURCE
#include <errno.h>
#include <linux/ioprio.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void say(const char *name, long result) {
  printf("%s %s\n", name, result < 0 ? strerrorname_np(errno) : "done");
}

static long used_ms(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/// Until this much more CPU time is used; not wall time, so that a busy host changes nothing.
static void burn(clockid_t clock, long ms) {
  const long end = used_ms(clock) + ms;
  while (used_ms(clock) < end)
    for (volatile int i = 0; i < 2000; ++i) continue;
}

static void spin(void) {
  for (;;) continue;
}

static void nap(long ms) {
  struct timespec rest = {ms / 1000, ms % 1000 * 1000000};
  while (nanosleep(&rest, &rest) < 0) continue;
}

static void *spinning_thread(void *unused) {
  (void)unused;
  spin();
  return NULL;
}

static void *short_thread(void *unused) {
  (void)unused;
  burn(CLOCK_THREAD_CPUTIME_ID, 2);
  return NULL;
}

/// Each burns less than a tick, forks the next one and is gone: an orphan that the zygote reaps.
static void chain(int length) {
  int ends[2];
  if (pipe(ends) < 0) return;
  for (int i = 0; i < length; ++i) {
    const pid_t child = fork();
    if (child < 0) return;
    if (child > 0) {
      if (i > 0) _exit(0);
      close(ends[1]);
      char byte;
      while (read(ends[0], &byte, 1) > 0) continue;  // Until the last one is gone.
      return;
    }
    burn(CLOCK_PROCESS_CPUTIME_ID, 2);
  }
  _exit(0);
}

static void ignore_all_signals(void) {
  sigset_t all;
  sigfillset(&all);
  for (int number = 1; number < NSIG; ++number) signal(number, SIG_IGN);
  sigprocmask(SIG_SETMASK, &all, NULL);
}

/// Stops `target`; a child lets it go on later.
static void stop_for_a_while(void) {
  const pid_t self = getpid();
  if (fork() == 0) {
    nap(1000);
    kill(self, SIGCONT);
    _exit(0);
  }
  raise(SIGSTOP);
}

static void stop_child_for_a_while(void) {
  const pid_t child = fork();
  if (child == 0) {
    raise(SIGSTOP);
    _exit(0);
  }
  waitpid(child, NULL, WUNTRACED);
  nap(1000);
  kill(child, SIGCONT);
  waitpid(child, NULL, 0);
}

static void on_timer(int number) {
  (void)number;
  for (volatile int i = 0; i < 200000; ++i) continue;
}

static int ask(const char *what) {
  struct sched_param priority = {.sched_priority = 1}, none = {0};
  struct {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
  } deadline = {48, 6, 0, 0, 0, 1000000, 2000000, 2000000};
  errno = 0;
  if (!strcmp(what, "nice")) say(what, setpriority(PRIO_PROCESS, 0, -1));
  else if (!strcmp(what, "fifo")) say(what, sched_setscheduler(0, SCHED_FIFO, &priority));
  else if (!strcmp(what, "deadline")) say(what, syscall(SYS_sched_setattr, 0, &deadline, 0));
  else if (!strcmp(what, "io"))
    say(what, syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0,
                      IOPRIO_PRIO_VALUE(IOPRIO_CLASS_RT, 0)));
  else if (!strcmp(what, "idle")) say(what, sched_setscheduler(0, SCHED_IDLE, &none));
  else if (!strcmp(what, "nice-of-init")) say(what, setpriority(PRIO_PROCESS, 1, 19));
  else if (!strcmp(what, "class-of-init")) say(what, sched_setscheduler(1, SCHED_IDLE, &none));
  else if (!strcmp(what, "cpus-of-init")) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(0, &set);
    say(what, sched_setaffinity(1, sizeof set, &set));
  } else if (!strcmp(what, "io-of-init")) {
    say(what, syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 1,
                      IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0)));
  } else if (!strcmp(what, "cpu1")) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(1, &set);
    say(what, sched_setaffinity(0, sizeof set, &set));
  } else if (!strcmp(what, "core")) {
    say(what, syscall(SYS_prctl, 62 /* PR_SCHED_CORE */, 99, 0, 0, NULL));
  } else if (!strcmp(what, "clock")) {
    // Addresses that no call can read: a clock is never set, whoever may.
    say("clock_settime", syscall(SYS_clock_settime, CLOCK_REALTIME, (void *)1));
    say("settimeofday", syscall(SYS_settimeofday, (void *)1, NULL));
    say("adjtimex", syscall(SYS_adjtimex, (void *)1));
  } else if (!strcmp(what, "clock-of-init")) {
    struct timespec used;
    struct sigevent event = {.sigev_notify = SIGEV_NONE};
    int timer;
    const clockid_t clock = (clockid_t)(~1U << 3 | 2);
    say("clock", syscall(SYS_clock_gettime, clock, &used));
    say("timer", syscall(SYS_timer_create, clock, &event, &timer));
  }
  return 0;
}

int main(int argc, char **argv) {
  const char *attack = argc > 1 ? argv[1] : "";
  const char *detail = argc > 2 ? argv[2] : "";
  const long number = atol(detail);
  if (!strcmp(attack, "ask")) return ask(detail);
  if (!strcmp(attack, "spin")) spin();
  if (!strcmp(attack, "burn")) burn(CLOCK_PROCESS_CPUTIME_ID, number);
  if (!strcmp(attack, "nap")) nap(number);
  if (!strcmp(attack, "children")) {
    for (int i = 0; i < number; ++i)
      if (fork() == 0) spin();
    pause();
  }
  if (!strcmp(attack, "orphan") && fork() == 0) spin();
  if (!strcmp(attack, "threads")) {
    pthread_t thread;
    for (int i = 0; i < number; ++i) pthread_create(&thread, NULL, spinning_thread, NULL);
    pause();
  }
  if (!strcmp(attack, "short-threads")) {
    for (int i = 0; i < number; ++i) {
      pthread_t thread;
      if (pthread_create(&thread, NULL, short_thread, NULL) == 0) pthread_join(thread, NULL);
    }
  }
  if (!strcmp(attack, "chain")) chain((int)number);
  if (!strcmp(attack, "slices")) {
    for (long total = 0; total < number; ++total) {
      burn(CLOCK_PROCESS_CPUTIME_ID, 1);
      nanosleep(&(struct timespec){0, 1000}, NULL);
    }
  }
  if (!strcmp(attack, "kernel")) {
    static char bytes[1 << 16];
    const long end = used_ms(CLOCK_PROCESS_CPUTIME_ID) + number;
    while (used_ms(CLOCK_PROCESS_CPUTIME_ID) < end)
      syscall(SYS_getrandom, bytes, sizeof bytes, 0);
  }
  if (!strcmp(attack, "yield")) {
    const long end = used_ms(CLOCK_PROCESS_CPUTIME_ID) + number;
    while (used_ms(CLOCK_PROCESS_CPUTIME_ID) < end) sched_yield();
  }
  if (!strcmp(attack, "vfork") && vfork() == 0) {
    if (number == 0) spin();
    nap(number);
    _exit(0);
  }
  if (!strcmp(attack, "vforks")) {
    for (;;)
      if (vfork() == 0) _exit(0);
  }
  if (!strcmp(attack, "deaf")) {
    ignore_all_signals();
    spin();
  }
  if (!strcmp(attack, "handlers")) {
    const struct itimerval often = {{0, 1}, {0, 1}};
    signal(SIGALRM, on_timer);
    signal(SIGXCPU, SIG_IGN);
    setitimer(ITIMER_REAL, &often, NULL);
    for (;;) pause();
  }
  if (!strcmp(attack, "stop")) stop_for_a_while();
  if (!strcmp(attack, "stop-child")) stop_child_for_a_while();
  if (!strcmp(attack, "kill-self")) raise(SIGKILL);
  if (!strcmp(attack, "kill-group")) kill(0, SIGKILL);
  if (!strcmp(attack, "kill-all")) {
    const pid_t child = fork();
    if (child == 0) pause();
    int status = 0;
    const int result = kill(-1, SIGKILL);
    waitpid(child, &status, 0);
    printf("kill %d, child's signal %d\n", result, WTERMSIG(status));
  }
  return 0;
}
