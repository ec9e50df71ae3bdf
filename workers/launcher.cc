#include "workers/launcher.h"

#include <linux/close_range.h>
#include <linux/securebits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "workers/plan_check.h"
#include "workers/raw.h"
#include "workers/zygote.h"

namespace hatchery {
namespace {

using protocol::Failure;
using protocol::StartSlot;

using protocol::kDone;
using raw::failed;

/// The descriptors of one StartSlot, by what they are.
struct StartFds {
  int socket = -1;
  int plan = -1;
  int zygote_cgroup = -1;
  int job_cgroup = -1;
  const int* v1_tasks = nullptr;
};

/// Above all that the launcher has open.
constexpr int kBindsFdBase = 512;

class Launch {
 public:
  /// Opens what the plan binds; what fails is left to run().
  void prepare(int plan_fd) noexcept;
  /// On success `pid` and `pidfd` are the zygote's. Once for each slot.
  Failure run(const StartSlot& start, const StartFds& fds) noexcept;
  int pid = 0;
  int pidfd = -1;

 private:
  Failure map_plan(int plan_fd) noexcept;
  bool is_prepared(int plan_fd) const noexcept;
  void forget_plan() noexcept;
  Failure clone_zygote() noexcept;
  long clone_as_owner(clone_args& args) const noexcept;
  Failure map_ids() const noexcept;
  Failure join_v1() const noexcept;
  [[noreturn]] void become_zygote() noexcept;

  StartSlot start_;
  StartFds fds_;
  ZygoteContext context_{};
  struct stat plan_status_ {};  ///< Which file is mapped.
  bool sources_open_ = false;
  int go_pipe_[2] = {-1, -1};
};

Failure Launch::map_plan(int plan_fd) noexcept {
  if (::fstat(plan_fd, &plan_status_) < 0) return failed(Step::kReceiveMessage, 0);
  const auto size = static_cast<std::size_t>(plan_status_.st_size);
  void* mapped = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, plan_fd, 0);
  if (mapped == MAP_FAILED) return failed(Step::kReceiveMessage, 1);
  const auto* plan = static_cast<const protocol::SlotPlan*>(mapped);
  if (const int rule = plan_check::broken_rule(plan, size); rule != 0) {
    ::munmap(mapped, size);
    errno = EPROTO;
    return failed(Step::kReceiveMessage, 1 + rule);
  }
  context_.setup.plan = plan;
  return kDone;
}

bool Launch::is_prepared(int plan_fd) const noexcept {
  struct stat status {};
  // A fault is met by doing it anew.
  return sources_open_ && start_.fault_step == 0 && ::fstat(plan_fd, &status) == 0 &&
         status.st_dev == plan_status_.st_dev && status.st_ino == plan_status_.st_ino;
}

void Launch::forget_plan() noexcept {
  SlotSetup& setup = context_.setup;
  if (setup.plan == nullptr) return;
  for (const int fd : setup.bind_fds)
    if (fd >= 0) ::close(fd);
  if (setup.root_fd >= 0) ::close(setup.root_fd);
  ::munmap(const_cast<protocol::SlotPlan*>(setup.plan), setup.plan->size);
  context_ = {};
  sources_open_ = false;
}

void Launch::prepare(int plan_fd) noexcept {
  forget_plan();
  sources_open_ = map_plan(plan_fd).step == Step::kNone &&
                  open_bind_sources(context_.setup).step == Step::kNone;
}

void Launch::become_zygote() noexcept {
  context_.joined = join_v1();
  ::close(go_pipe_[1]);
  const auto move_up = [](int fd, int base) noexcept {
    const int moved = raw::move_up(fd, base);
    if (moved < 0) ::_exit(1);
    return moved;
  };
  // Many, and gone before the first worker is born.
  SlotSetup& setup = context_.setup;
  for (std::uint32_t i = 0; i < setup.plan->mounts_count; ++i)
    if (setup.bind_fds[i] >= 0) setup.bind_fds[i] = move_up(setup.bind_fds[i], kBindsFdBase);
  if (setup.root_fd >= 0) setup.root_fd = move_up(setup.root_fd, kBindsFdBase);
  // High and few: what a worker inherits must leave the low numbers free.
  context_.socket_fd = move_up(fds_.socket, protocol::kPrivateFdBase);
  context_.go_fd = move_up(go_pipe_[0], protocol::kPrivateFdBase);
  if (fds_.job_cgroup >= 0)
    context_.job_cgroup_fd = move_up(fds_.job_cgroup, protocol::kPrivateFdBase);
  ::syscall(SYS_close_range, 0U, static_cast<unsigned>(protocol::kPrivateFdBase) - 1U, 0);
  ::signal(SIGCHLD, SIG_DFL);
  run_zygote(context_);
}

/// What a user namespace's processes hold (inotify instances, bytes of message queues, pending
/// signals, locked memory, …) is charged to its creator's uid as well (user_namespaces(7),
/// ucounts): created by root, one job could use up what all slots and the host's root have
/// together.
long Launch::clone_as_owner(clone_args& args) const noexcept {
  if (context_.setup.without(protocol::kWithoutOwnCounts)) return raw::clone3(args);
  // With its capabilities: it still joins control groups that are root's.
  const int bits = ::prctl(PR_GET_SECUREBITS);
  if (bits < 0 || ::prctl(PR_SET_SECUREBITS, bits | SECBIT_NO_SETUID_FIXUP) < 0 ||
      ::syscall(SYS_setresuid, -1, start_.host_uid, -1) < 0)
    return -1;
  const long result = raw::clone3(args);
  if (result == 0) return 0;
  const int saved_errno = errno;
  // Both were cleared by the change of ids (prctl(2)).
  if (::syscall(SYS_setresuid, -1, 0, -1) < 0 || ::prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ||
      ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
    ::_exit(1);
  errno = saved_errno;
  return result;
}

Failure Launch::clone_zygote() noexcept {
  const protocol::SlotPlan& plan = *context_.setup.plan;
  const SlotSetup& setup = context_.setup;
  clone_args args{};
  args.flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_PIDFD;
  if (!setup.without(protocol::kWithoutPidNamespace)) args.flags |= CLONE_NEWPID;
  // No IPC namespace: the zygote makes it, as it does after each job that used it.
  if (!setup.without(protocol::kWithoutUtsNamespace)) args.flags |= CLONE_NEWUTS;
  if (plan.network_host == 0 && !setup.without(protocol::kWithoutNetworkNamespace))
    args.flags |= CLONE_NEWNET;
  if (plan.time_namespace != 0) args.flags |= CLONE_NEWTIME;
  if (fds_.zygote_cgroup >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<__u64>(fds_.zygote_cgroup);
  }
  args.exit_signal = SIGCHLD;
  args.pidfd = reinterpret_cast<std::uintptr_t>(&pidfd);
  if (setup.injected(Step::kSlotClone)) return failed(Step::kSlotClone);
  const long result = clone_as_owner(args);
  if (result < 0) return failed(Step::kSlotClone);
  if (result == 0) become_zygote();
  pid = static_cast<int>(result);
  return kDone;
}

Failure Launch::map_ids() const noexcept {
  if (context_.setup.injected(Step::kSlotMapUids)) return failed(Step::kSlotMapUids);
  char map[96];
  const int size = ::snprintf(map, sizeof map, "0 %u 1\n%u %u 1\n", start_.host_uid,
                              protocol::kJobUid, start_.host_uid + 1);
  char path[64];
  for (const char* file : {"uid_map", "gid_map"}) {
    ::snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
    if (raw::write_file(AT_FDCWD, path, map, static_cast<std::size_t>(size)) < 0)
      return failed(Step::kSlotMapUids, file[0] == 'u' ? 0 : 1);
  }
  return kDone;
}

/// By the zygote itself, as a thread: all other moves into a group wait for an RCU grace period
/// (cgroup_threadgroup_rwsem, taken for writing), 5 to 11 ms by ftrace on Linux 6.18.
Failure Launch::join_v1() const noexcept {
  for (std::uint32_t i = 0; i < start_.v1_count; ++i)
    if (context_.setup.injected(Step::kSlotJoinCgroup) || ::write(fds_.v1_tasks[i], "0", 1) != 1)
      return failed(Step::kSlotJoinCgroup, static_cast<int>(i));
  return kDone;
}

Failure Launch::run(const StartSlot& start, const StartFds& fds) noexcept {
  start_ = start;
  fds_ = fds;
  pid = 0;
  pidfd = -1;
  Failure failure = kDone;
  if (!is_prepared(fds.plan)) {
    forget_plan();
    failure = map_plan(fds.plan);
  }
  SlotSetup& setup = context_.setup;
  setup.fault_step = start.fault_step;
  setup.fault_errnum = start.fault_errnum;
  context_.home_cpu = start.home_cpu;
  std::memcpy(setup.file_context, start.file_context, sizeof start.file_context);
  setup.file_context[sizeof start.file_context - 1] = '\0';
  if (failure.step == Step::kNone && !sources_open_) failure = open_bind_sources(setup);
  if (failure.step == Step::kNone && ::pipe2(go_pipe_, O_CLOEXEC) < 0)
    failure = failed(Step::kSlotClone, 1);
  if (failure.step == Step::kNone) failure = clone_zygote();
  if (failure.step == Step::kNone) failure = map_ids();
  if (failure.step == Step::kNone && ::write(go_pipe_[1], "g", 1) != 1)
    failure = failed(Step::kSlotClone, 2);
  // Without the byte, this end of file makes the zygote exit.
  for (int& fd : go_pipe_) {
    ::close(fd);
    fd = -1;
  }
  forget_plan();
  return failure;
}

/// Names the descriptors that came with `start`; false when their number, or the message, is wrong.
bool sort_fds(const StartSlot& start, const int* fds, std::size_t count, StartFds& named) noexcept {
  const std::size_t wanted = plan_check::fds_wanted(start);
  if (wanted == 0 || count != wanted) return false;
  named.socket = fds[0];
  named.plan = fds[1];
  if (start.has_v2 != 0) {
    named.zygote_cgroup = fds[2];
    named.job_cgroup = fds[3];
  }
  named.v1_tasks = fds + (wanted - start.v1_count);
  return true;
}

void serve(int socket_fd, Launch& launch, const StartSlot& start, const int* fds,
           std::size_t count) noexcept {
  protocol::SlotStarted started;
  started.slot = start.slot;
  int pidfd = -1;
  StartFds named;
  if (!sort_fds(start, fds, count, named)) {
    started.failure = {Step::kReceiveMessage, -1, EPROTO};
  } else {
    started.failure = launch.run(start, named);
    started.pid = launch.pid;
    pidfd = launch.pidfd;
  }
  const bool good = started.failure.step == Step::kNone && pidfd >= 0;
  raw::send_message(socket_fd, &started, sizeof started, &pidfd, good ? 1 : 0);
  if (pidfd >= 0) ::close(pidfd);
}

bool is_prepare(const StartSlot& message, ssize_t size, std::size_t fds_count) noexcept {
  return size == sizeof(protocol::PrepareSlot) && fds_count == 1 &&
         message.kind == protocol::MessageKind::kPrepareSlot &&
         message.version == protocol::kProtocolVersion;
}

void prepare_process() noexcept {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::prctl(PR_SET_NAME, "hatchery-launch");
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  for (int number = 1; number < NSIG; ++number)
    if (number != SIGKILL && number != SIGSTOP) ::signal(number, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  // Ctrl-C in a terminal reaches the whole foreground group: only the pool may decide what it
  // means.
  ::setsid();
  ::signal(SIGCHLD, SIG_IGN);  // Zygotes are reaped by the kernel; the pool watches their sockets.
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  // What the zygotes need, should the hard limit be 0: see Zygote::set_rlimits.
  const rlimit core{1, 1};
  ::setrlimit(RLIMIT_CORE, &core);
  // For OwnInodes, which mounts: of this process alone, but following the host's mounts. Without
  // the privilege its first use says so.
  if (::unshare(CLONE_NEWNS) == 0) ::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr);
  ::umask(022);
  if (::chdir("/") < 0) ::_exit(1);
}

}  // namespace

int run_launcher(int socket_fd) noexcept {
  prepare_process();
  static Launch launch;
  for (;;) {
    StartSlot start;  // Begins as PrepareSlot does.
    iovec part{&start, sizeof start};
    int fds[protocol::kFdsMax];
    std::size_t count = 0;
    const ssize_t size = raw::receive_message(socket_fd, &part, 1, fds, protocol::kFdsMax, &count);
    if (size == 0) return 0;  // The pool is gone or shuts down.
    if (is_prepare(start, size, count))
      launch.prepare(fds[0]);
    else if (size == sizeof start)
      serve(socket_fd, launch, start, fds, count);
    else
      return 1;
    for (std::size_t i = 0; i < count; ++i) ::close(fds[i]);
  }
}

}  // namespace hatchery
