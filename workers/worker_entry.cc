#include "workers/worker_entry.h"

#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/prctl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "workers/plan_check.h"
#include "workers/raw.h"

namespace hatchery {
namespace {

using protocol::FdEntry;
using protocol::JobPlan;
using protocol::WorkerPhase;

class Worker {
 public:
  explicit Worker(const WorkerContext& context) noexcept : context_(context) {}
  [[noreturn]] void run() noexcept;

 private:
  [[noreturn]] void fail(Step step, int errnum, int index = -1) const noexcept;
  /// Fails where `result` is negative, or where a test asked for this step to fail.
  void check(Step step, long result, int index = -1) const noexcept;
  bool without(protocol::Protection protection) const noexcept {
    return (context_.without & protection) != 0;
  }

  void close_inherited() noexcept;
  void join_own_view() const noexcept;
  int open_null() const noexcept {
    return static_cast<int>(raw::call(SYS_openat, AT_FDCWD, context_.null_device, O_RDWR));
  }
  void open_null_streams() const noexcept;
  void drop_privileges() const noexcept;
  void load_filter() noexcept;
  void say_parked() noexcept;
  void receive_plan() noexcept;
  void check_plan() noexcept;
  void place_descriptors() noexcept;
  void set_rlimits() const noexcept;
  void set_label() const noexcept;
  void leave_home_cpu() const noexcept;
  [[noreturn]] void execute() const noexcept;

  const WorkerContext& context_;
  JobPlan job_{};
  char* body_ = nullptr;
  int received_[protocol::kFdsMax];
  std::size_t received_count_ = 0;
  FdEntry entries_[protocol::kFdsMax];
  /// /proc/thread-self/attr/exec, on a host with SELinux.
  int label_fd_ = -1;
  // Sent with Parked; the last two only where there is one to send.
  int pidfd_ = -1;
  int root_fd_ = -1;
  int listener_fd_ = -1;
};

void Worker::fail(Step step, int errnum, int index) const noexcept {
  context_.page->failure = {step, static_cast<std::int16_t>(index), errnum};
  raw::exit(255);
}

void Worker::check(Step step, long result, int index) const noexcept {
  if (context_.fault_step == static_cast<std::uint32_t>(step)) [[unlikely]]
    fail(step, context_.fault_errnum, index);
  if (result < 0) [[unlikely]]
    fail(step, errno, index);
}

void Worker::close_inherited() noexcept {
  // All but the socket, and not only at exec: chdir() to the job's working directory comes first,
  // and /proc/self/fd/N of the zygote's cgroup directory, which is a directory of the host, would
  // lead out (the way of CVE-2024-21626).
  const int last_fd = context_.labelled ? context_.socket_fd + 1 : context_.socket_fd;
  if (context_.labelled) {
    // The one file whose path is not yet known to be of use: /proc itself is read-only for a job.
    const long opened =
        raw::call(SYS_openat, context_.proc_fd, context_.exec_label, O_WRONLY | O_CLOEXEC);
    label_fd_ = static_cast<int>(raw::call(SYS_dup3, opened, last_fd, O_CLOEXEC));
    if (label_fd_ < 0) fail(Step::kWorkerLabel, errno, 0);
    // It may have got one of the standard streams' numbers, which the zygote leaves free.
    if (opened != last_fd) raw::call(SYS_close, opened);
  }
  if (without(protocol::kWithoutDescriptorClose)) return;
  const auto socket_fd = static_cast<unsigned>(context_.socket_fd);
  if ((socket_fd > 3 && raw::call(SYS_close_range, 3U, socket_fd - 1, 0) < 0) ||
      raw::call(SYS_close_range, static_cast<unsigned>(last_fd) + 1, ~0U, 0) < 0)
    fail(Step::kWorkerCloseDescriptors, errno, 0);
}

void Worker::join_own_view() const noexcept {
  // After the birth in its cgroup, so that this cgroup is the root the job sees
  // (cgroup_namespaces(7)).
  if (!without(protocol::kWithoutCgroupNamespace))
    check(Step::kWorkerCgroupNamespace, raw::call(SYS_unshare, CLONE_NEWCGROUP));
  if (!without(protocol::kWithoutSession)) check(Step::kWorkerSession, raw::call(SYS_setsid));
  const std::uint64_t none = 0;  // As large as the kernel's own.
  check(Step::kWorkerSignals,
        raw::call(SYS_rt_sigprocmask, SIG_SETMASK, &none, nullptr, sizeof none));
}

void Worker::open_null_streams() const noexcept {
  // A job's own open files: /dev/null of another job would share its flags and locks.
  // Its three are one, as those of a terminal are.
  const int opened = open_null();
  check(Step::kWorkerDescriptors, opened == 0 ? 0 : -1, 0);
  for (int fd = 1; fd <= 2; ++fd) check(Step::kWorkerDescriptors, raw::dup2(0, fd), fd);
}

void Worker::drop_privileges() const noexcept {
  // The bounding set is empty already: the zygote never execs, and emptied its own once.
  const bool drop = !without(protocol::kWithoutCapabilityDrop);
  if (!without(protocol::kWithoutIdChange)) {
    check(Step::kWorkerIds,
          raw::call(SYS_setresgid, protocol::kJobUid, protocol::kJobUid, protocol::kJobUid), 0);
    check(Step::kWorkerIds,
          raw::call(SYS_setresuid, protocol::kJobUid, protocol::kJobUid, protocol::kJobUid), 1);
  }
  if (drop) {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct none[2]{};
    check(Step::kWorkerClearCapabilities, raw::call(SYS_capset, &header, none));
  }
  if (!without(protocol::kWithoutNoNewPrivileges))
    check(Step::kWorkerNoNewPrivileges, raw::call(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  // Nobody may look into the worker until exec makes it an ordinary program.
  if (!without(protocol::kWithoutUndumpable))
    check(Step::kWorkerDumpable, raw::call(SYS_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0));
}

void Worker::load_filter() noexcept {
  if (context_.filter_count == 0 || without(protocol::kWithoutFilter)) return;
  const unsigned flags = context_.filter_listener ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0U;
  const long result = raw::load_filter(context_.filter, context_.filter_count, flags);
  check(Step::kWorkerFilter, result);
  if (flags != 0) listener_fd_ = static_cast<int>(result);
}

void Worker::say_parked() noexcept {
  protocol::Parked parked;
  parked.has_root = root_fd_ >= 0 ? 1 : 0;
  parked.has_listener = listener_fd_ >= 0 ? 1 : 0;
  parked.reset_ns = context_.page->reset_ns;
  int fds[3] = {pidfd_};
  std::size_t count = 1;
  for (const int fd : {root_fd_, listener_fd_})
    if (fd >= 0) fds[count++] = fd;
  context_.page->phase = WorkerPhase::kParked;
  check(Step::kWorkerSendReady,
        raw::send_message(context_.socket_fd, &parked, sizeof parked, fds, count));
  // They are the pool's now; from here on no descriptor of the worker is a directory.
  for (std::size_t i = 0; i < count; ++i) raw::call(SYS_close, fds[i]);
}

void Worker::receive_plan() noexcept {
  iovec parts[2] = {{&job_, sizeof job_}, {context_.body, protocol::kInlinePlanBytes}};
  const ssize_t size = raw::receive_message(context_.socket_fd, parts, 2, received_,
                                            protocol::kFdsMax, &received_count_);
  if (size == 0 || (size < 0 && errno == ECONNRESET)) {
    context_.page->phase = WorkerPhase::kHungUp;
    raw::exit(0);
  }
  check(Step::kWorkerReceivePlan, size);
  context_.page->planned_ns = raw::monotonic_ns_by_call();
  context_.page->phase = WorkerPhase::kPlanned;
  const int rule = plan_check::broken_rule(job_, static_cast<std::size_t>(size), received_count_);
  if (rule >= 0) fail(Step::kWorkerPlanBounds, EPROTO, rule);
  context_.page->look_at_once = job_.look_at_once;
  if (job_.body_in_memfd == 0) {
    body_ = context_.body;
    return;
  }
  --received_count_;
  void* mapped = ::mmap(nullptr, job_.body_size, PROT_READ | PROT_WRITE, MAP_PRIVATE,
                        received_[received_count_], 0);
  if (mapped == MAP_FAILED) fail(Step::kWorkerReceivePlan, errno, 1);
  body_ = static_cast<char*>(mapped);
}

void Worker::check_plan() noexcept {
  const int rule = plan_check::prepare_body(job_, body_, received_count_, entries_);
  if (rule >= 0) fail(Step::kWorkerPlanBounds, EPROTO, rule);
  check(Step::kWorkerPlanBounds, 0);
}

void Worker::place_descriptors() noexcept {
  // From here on only what is placed below 3 or by dup2 survives exec.
  if (without(protocol::kWithoutDescriptorClose))
    raw::call(SYS_fcntl, context_.socket_fd, F_SETFD,
              0);  // All are born close-on-exec, so that is undone too.
  else
    check(Step::kWorkerCloseDescriptors, raw::call(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC));
  int highest = 2;
  for (std::uint32_t i = 0; i < job_.fds_count; ++i)
    if (entries_[i].target > highest) highest = entries_[i].target;
  if (highest > 2) {  // A target could be the number of a descriptor that is still needed.
    const auto move_above = [&](int& fd, int index) noexcept {
      fd = raw::move_up(fd, highest + 1);
      check(Step::kWorkerDescriptors, fd, index);
    };
    for (std::size_t i = 0; i < received_count_; ++i) move_above(received_[i], static_cast<int>(i));
    if (label_fd_ >= 0) move_above(label_fd_, 0);
  }
  for (std::uint32_t i = 0; i < job_.fds_count; ++i) {
    const FdEntry& entry = entries_[i];
    int placed = entry.target;
    if (entry.source >= 0) {
      placed = raw::dup2(received_[entry.source], entry.target);
    } else if (entry.source == protocol::kFdNull) {
      if (entry.target > 2) {
        // Not close-on-exec: it may get the very number that the job is to have.
        const int opened = open_null();
        placed = raw::dup2(opened, entry.target);
        if (opened >= 0 && opened != entry.target) raw::call(SYS_close, opened);
      }
    } else {
      placed = raw::dup2(protocol::kFdSameAs - entry.source, entry.target);
    }
    check(Step::kWorkerDescriptors, placed, static_cast<int>(i));
  }
}

void Worker::set_rlimits() const noexcept {
  for (std::uint32_t i = 0; i < job_.rlimits_count; ++i) {
    protocol::Rlimit asked;
    std::memcpy(&asked, body_ + job_.rlimits + i * sizeof asked, sizeof asked);
    const rlimit limit{asked.soft, asked.hard};
    check(Step::kWorkerRlimit, raw::call(SYS_prlimit64, 0, asked.resource, &limit, nullptr),
          static_cast<int>(asked.resource));
  }
}

void Worker::set_label() const noexcept {
  const char* label = body_ + job_.label;
  if (*label == '\0') return;
  std::size_t size = 1;
  while (label[size - 1] != '\0') ++size;
  check(Step::kWorkerLabel,
        raw::call(SYS_write, label_fd_, label, size) == static_cast<ssize_t>(size) ? 0 : -1);
}

void Worker::leave_home_cpu() const noexcept {
  if (context_.cpus_size == 0) return;
  check(Step::kWorkerAffinity,
        raw::call(SYS_sched_setaffinity, 0, context_.cpus_size, context_.cpus));
}

void Worker::execute() const noexcept {
  auto* const paths = reinterpret_cast<char**>(body_ + job_.paths);
  auto* const argv = reinterpret_cast<char**>(body_ + job_.argv);
  auto* const envp = reinterpret_cast<char**>(body_ + job_.envp);
  context_.page->exec_ns = raw::monotonic_ns_by_call();
  context_.page->phase = WorkerPhase::kExec;
  // As execvp(3): the next candidate after ENOENT, ENOTDIR and EACCES; EACCES is what is
  // remembered.
  int errnum = ENOENT;
  int index = 0;
  for (int i = 0; paths[i] != nullptr; ++i) {
    raw::call(SYS_execveat, AT_FDCWD, paths[i], argv, envp, 0);
    if (errno != ENOENT && errno != ENOTDIR && errno != EACCES) fail(Step::kWorkerExec, errno, i);
    if (errno == EACCES) {
      errnum = EACCES;
      index = i;
    }
  }
  fail(Step::kWorkerExec, errnum, index);
}

void Worker::run() noexcept {
  join_own_view();
  close_inherited();
  open_null_streams();
  pidfd_ = static_cast<int>(raw::call(SYS_pidfd_open, raw::call(SYS_getpid), 0));
  check(Step::kWorkerSendReady, pidfd_, 0);
  if (context_.page->first != 0) {
    root_fd_ = static_cast<int>(
        raw::call(SYS_openat, AT_FDCWD, context_.root, O_PATH | O_DIRECTORY | O_CLOEXEC));
    check(Step::kSlotOpenDirectory, root_fd_);
  }
  drop_privileges();
  if (!context_.filter_late) load_filter();
  say_parked();

  receive_plan();
  check_plan();
  raw::call(SYS_umask, 022);
  check(Step::kWorkerUmask, 0);
  place_descriptors();
  set_rlimits();
  // The worker leads its session (setsid), which has no terminal yet: tty_ioctl(4).
  if (job_.controlling_terminal != 0)
    check(Step::kWorkerSession, raw::call(SYS_ioctl, 0, TIOCSCTTY, 0), 1);
  set_label();
  check(Step::kWorkerChangeDirectory, raw::call(SYS_chdir, body_ + job_.working_directory));
  leave_home_cpu();
  if (context_.filter_late) load_filter();
  if (context_.fault_step == static_cast<std::uint32_t>(Step::kWorkerExec))
    fail(Step::kWorkerExec, context_.fault_errnum);
  execute();
}

}  // namespace

void run_worker(const WorkerContext& context) noexcept { Worker(context).run(); }

}  // namespace hatchery
