#include "workers/zygote.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <bit>
#include <iterator>
#include <utility>

#include "workers/raw.h"
#include "workers/worker_entry.h"
#include "workers/zygote_ipc.h"
#include "workers/zygote_memory.h"
#include "workers/zygote_network.h"

namespace hatchery {
namespace {

using protocol::Ended;
using protocol::Failure;
using protocol::WorkerPhase;

using protocol::kDone;
using raw::failed;

/// What changes from job to job and is the zygote's alone: no worker has a copy of these pages,
/// which would be copied back when they are written next.
struct alignas(4096) OwnPages {
  NetworkSnapshot fresh_network;
  NetworkSnapshot used_network;
  IpcNamespace ipc;
  TmpfsStates tmpfs;
  long worker = 0;
  // What the last job touched, once looked.
  bool looked = true;
  bool network_used = false;
  bool ipc_used = false;
  int touched_tmpfs = 0;
};

/// What a worker has a copy of, but for code, the C library's thread and what is shared: in one
/// place, so that it is one mapping and few page tables. Nothing is written here between two jobs.
struct alignas(4096) CopiedPages {
  char stack[32 * 1024];  ///< Of the zygote once the slot is built, and so the worker's.
  WorkerContext context;
  sock_filter filter[64];
  alignas(8) char cpus[1024];  ///< That it might run on before it went home.
  alignas(8) char body[protocol::kInlinePlanBytes];
};

class Zygote {
 public:
  explicit Zygote(ZygoteContext& context) noexcept : context_(context), setup_(context.setup) {}
  [[noreturn]] void run() noexcept;

 private:
  [[noreturn]] void give_up(const Failure& failure) const noexcept;
  void require(const Failure& failure) const noexcept {
    if (failure.step != Step::kNone) give_up(failure);
  }
  Failure become_root() const noexcept;
  void go_home() noexcept;
  Failure set_rlimits() const noexcept;
  Failure drop_bounding_set() const noexcept;
  Failure load_filter() const noexcept;
  Failure share_page() noexcept;
  Failure open_oom_score() noexcept;
  Failure look() noexcept;
  Failure reset(bool first) noexcept;
  Failure reset_network(bool first) noexcept;
  Failure reset_ipc(bool first) noexcept;
  Failure clone_worker() noexcept;
  bool set_oom_score(const char* text, std::size_t size) const noexcept {
    return oom_score_fd_ < 0 ||
           ::pwrite(oom_score_fd_, text, size, 0) == static_cast<ssize_t>(size);
  }
  Ended reap() noexcept;
  void share_little() noexcept;
  [[noreturn]] void serve() noexcept;
  /// `plan_unread`: that of a job may come first.
  void await_reset_message(bool plan_unread) noexcept;
  bool own_network() const noexcept {
    return setup_.plan->network_host == 0 && !setup_.without(protocol::kWithoutNetworkNamespace);
  }
  bool own_ipc() const noexcept { return !setup_.without(protocol::kWithoutIpcNamespace); }

  ZygoteContext& context_;
  SlotSetup& setup_;
  int oom_score_fd_ = -1;
  char own_oom_score_[16] = {};
  std::size_t own_oom_score_size_ = 0;
  OwnPages own_;
  union {
    protocol::SharedPage page_;
    alignas(4096) char shared_[4096];  ///< A shared mapping takes its place.
  };
  CopiedPages copied_;
};

void Zygote::give_up(const Failure& failure) const noexcept {
  protocol::SetupFailed message;
  message.failure = failure;
  raw::send_message(context_.socket_fd, &message, sizeof message, nullptr, 0);
  ::_exit(1);
}

Failure Zygote::become_root() const noexcept {
  char go = 0;
  if (::read(context_.go_fd, &go, 1) != 1) ::_exit(1);  // The launcher has reported why.
  ::close(context_.go_fd);
  // Not before: the launcher is at work on this process until then.
  if (context_.joined.step != Step::kNone) return context_.joined;
  if (setup_.injected(Step::kSlotBecomeRoot) || ::syscall(SYS_setresgid, 0, 0, 0) < 0 ||
      ::syscall(SYS_setresuid, 0, 0, 0) < 0 || ::syscall(SYS_setgroups, 0, nullptr) < 0)
    return failed(Step::kSlotBecomeRoot);
  // Set after the change of ids, which clears it. The launcher dies with the pool; a pool that died
  // before this line is seen as end of file on the socket.
  if (setup_.injected(Step::kSlotDeathSignal) || ::prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
    return failed(Step::kSlotDeathSignal);
  ::prctl(PR_SET_NAME, "hatchery-zygote");
  return kDone;
}

/// For speed alone: where it can't be, all goes on anywhere.
void Zygote::go_home() noexcept {
  if (context_.home_cpu < 0) return;
  const auto cpu = static_cast<std::size_t>(context_.home_cpu);
  const long size = ::syscall(SYS_sched_getaffinity, 0, sizeof copied_.cpus, copied_.cpus);
  if (size <= 0 || cpu / 8 >= static_cast<std::size_t>(size)) return;
  // A mask is an array of long: as bytes in order only on a little-endian machine.
  static_assert(std::endian::native == std::endian::little);
  alignas(8) static char home[sizeof copied_.cpus];
  home[cpu / 8] = static_cast<char>(1U << cpu % 8);
  if (::syscall(SYS_sched_setaffinity, 0, size, home) < 0) return;
  copied_.context.cpus = copied_.cpus;
  copied_.context.cpus_size = static_cast<std::size_t>(size);
}

Failure Zygote::set_rlimits() const noexcept {
  // The same for every job, so set once and inherited. No core dumps: a core_pattern that is a pipe
  // would run a host program with the job's memory, whatever the limit, but for a limit of 1
  // (fs/coredump.c; core(5) does not tell), which is too small for any file, too. The filter keeps
  // a job from lowering it to 0. No real-time priority; no locked memory worth the name; queues and
  // signals bounded.
  if (setup_.without(protocol::kWithoutRlimits)) return kDone;
  static constexpr struct {
    int resource;
    rlim_t limit;
  } kLimits[] = {
      {RLIMIT_CORE, 1},        {RLIMIT_NICE, 0},          {RLIMIT_RTPRIO, 0},
      {RLIMIT_MEMLOCK, 65536}, {RLIMIT_MSGQUEUE, 819200}, {RLIMIT_SIGPENDING, 4096},
  };
  for (const auto& entry : kLimits) {
    rlimit now{};
    ::getrlimit(static_cast<__rlimit_resource>(entry.resource), &now);
    const rlim_t limit = now.rlim_max < entry.limit ? now.rlim_max : entry.limit;
    if (entry.resource == RLIMIT_CORE && limit != entry.limit) {
      errno = EPERM;  // Only where neither the launcher nor its parent may raise the hard limit.
      return failed(Step::kWorkerRlimit, RLIMIT_CORE);
    }
    const rlimit set{limit, limit};
    if (::setrlimit(static_cast<__rlimit_resource>(entry.resource), &set) < 0)
      return failed(Step::kWorkerRlimit, entry.resource);
  }
  return kDone;
}

Failure Zygote::drop_bounding_set() const noexcept {
  // For all its workers at once: capabilities in a bounding set only matter at exec, and the zygote
  // never does.
  if (setup_.without(protocol::kWithoutCapabilityDrop)) return kDone;
  if (setup_.injected(Step::kWorkerDropBounding)) return failed(Step::kWorkerDropBounding);
  for (int capability = 0;; ++capability) {
    if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0) continue;
    if (errno == EINVAL && capability > 0) return kDone;  // Beyond the kernel's last.
    return failed(Step::kWorkerDropBounding, capability);
  }
}

Failure Zygote::load_filter() const noexcept {
  // Its workers inherit it, which costs nothing, and add what it lets pass for the zygote's sake:
  // see CompiledPolicy.
  if (setup_.plan->zygote_filter_count == 0 || setup_.without(protocol::kWithoutFilter))
    return kDone;
  if (setup_.injected(Step::kSlotFilter) ||
      raw::load_filter(setup_.zygote_filter(), setup_.plan->zygote_filter_count, 0) < 0)
    return failed(Step::kSlotFilter);
  return kDone;
}

Failure Zygote::share_page() noexcept {
  if (setup_.injected(Step::kSlotSharePage) ||
      ::mmap(shared_, sizeof shared_, PROT_READ | PROT_WRITE,
             MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
    return failed(Step::kSlotSharePage);
  const protocol::SlotPlan& plan = *setup_.plan;
  copied_.context.without = plan.without;
  copied_.context.filter_count = plan.worker_filter_count;
  copied_.context.filter_listener = plan.filter_listener != 0;
  copied_.context.filter_late = plan.filter_late != 0;
  copied_.context.filter = setup_.worker_filter();
  if (plan.worker_filter_count <= std::size(copied_.filter)) {
    std::memcpy(copied_.filter, copied_.context.filter,
                plan.worker_filter_count * sizeof copied_.filter[0]);
    copied_.context.filter = copied_.filter;
  }
  copied_.context.page = &page_;
  copied_.context.socket_fd = context_.socket_fd;
  copied_.context.proc_fd = setup_.proc_fd;
  copied_.context.labelled = setup_.file_context[0] != '\0';
  copied_.context.body = copied_.body;
  copied_.context.fault_step = setup_.fault_step;
  copied_.context.fault_errnum = setup_.fault_errnum;
  return kDone;
}

Failure Zygote::open_oom_score() noexcept {
  if (setup_.without(protocol::kWithoutOomScore)) return kDone;
  // It belongs to the host's root as long as the process is not dumpable (proc(5)).
  if (::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0) return failed(Step::kWorkerOomScore, 0);
  const int fd = ::openat(setup_.proc_fd, "self/oom_score_adj", O_RDWR | O_CLOEXEC);
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || fd < 0) return failed(Step::kWorkerOomScore, 0);
  oom_score_fd_ = raw::move_up(fd, protocol::kPrivateFdBase);
  const ssize_t got = ::pread(oom_score_fd_, own_oom_score_, sizeof own_oom_score_, 0);
  if (got <= 0) return failed(Step::kWorkerOomScore, 1);
  own_oom_score_size_ = static_cast<std::size_t>(got);
  return kDone;
}

Failure Zygote::look() noexcept {
  if (std::exchange(own_.looked, true) || setup_.without(protocol::kWithoutReset)) return kDone;
  own_.touched_tmpfs = first_touched_tmpfs(own_.tmpfs);
  own_.ipc_used = own_.ipc.can_tell() && !own_.ipc.is_untouched();
  if (!own_network()) return kDone;
  if (own_.fresh_network.take(own_.used_network) < 0) return failed(Step::kSlotSnapshotNetwork);
  own_.network_used = !own_.used_network.equals(own_.fresh_network);
  return kDone;
}

Failure Zygote::reset_network(bool first) noexcept {
  if (!own_network()) return kDone;
  if (setup_.injected(Step::kSlotSnapshotNetwork)) return failed(Step::kSlotSnapshotNetwork);
  if (!first) {
    if (!own_.network_used) return kDone;
    // The job used the network: sockets in TIME_WAIT and counters would tell of it. Half a
    // millisecond or more.
    if (setup_.injected(Step::kResetNetwork) || ::unshare(CLONE_NEWNET) < 0 ||
        bring_loopback_up() < 0)
      return failed(Step::kResetNetwork);
  }
  if (own_.fresh_network.open_files() < 0) return failed(Step::kSlotSnapshotNetwork);
  // lo's own start-up (IPv6 address detection) may still be counting: taken until it stands still.
  for (int round = 0; round < 100; ++round) {
    if (own_.fresh_network.take(own_.fresh_network) < 0 ||
        own_.fresh_network.take(own_.used_network) < 0)
      return failed(Step::kSlotSnapshotNetwork);
    if (own_.used_network.equals(own_.fresh_network)) return kDone;
  }
  errno = EBUSY;
  return failed(Step::kSlotSnapshotNetwork);
}

Failure Zygote::reset_ipc(bool first) noexcept {
  if (!own_ipc() || (!first && !own_.ipc_used)) return kDone;
  if (setup_.injected(Step::kResetIpc) ||
      own_.ipc.renew(setup_.proc_fd, !setup_.without(protocol::kWithoutIpcLook)) < 0)
    return failed(Step::kResetIpc);
  return kDone;
}

Failure Zygote::reset(bool first) noexcept {
  if (!first && setup_.without(protocol::kWithoutReset)) return kDone;
  const Failure mounted = renew_tmpfs(setup_, own_.tmpfs, first ? 0 : own_.touched_tmpfs, first);
  if (mounted.step != Step::kNone) return mounted;
  // Process ids start over: 2 is the next worker's. Without it a job could count its predecessors.
  if (setup_.injected(Step::kResetPids) || setup_.last_pid_fd < 0 ||
      ::pwrite(setup_.last_pid_fd, "1", 1, 0) != 1)
    return failed(Step::kResetPids);
  const Failure ipc = reset_ipc(first);
  return ipc.step != Step::kNone ? ipc : reset_network(first);
}

Failure Zygote::clone_worker() noexcept {
  page_.phase = WorkerPhase::kBorn;
  page_.failure = {};
  page_.look_at_once = 0;
  page_.planned_ns = 0;
  page_.exec_ns = 0;
  clone_args args{};
  args.flags = CLONE_CLEAR_SIGHAND;
  // Whatever IPC objects a job leaves die with its own namespace, where the slot's would not tell.
  if (own_ipc() && !own_.ipc.can_tell()) args.flags |= CLONE_NEWIPC;
  if (context_.job_cgroup_fd >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<__u64>(context_.job_cgroup_fd);
  }
  args.exit_signal = SIGCHLD;
  if (setup_.injected(Step::kWorkerClone)) return failed(Step::kWorkerClone);
  // A job is always the OOM killer's first choice: it inherits that. To write it itself, a worker
  // would need the kernel to make its own files in /proc.
  if (setup_.injected(Step::kWorkerOomScore) || !set_oom_score("1000", 4))
    return failed(Step::kWorkerOomScore);
  const long worker = raw::clone3(args);
  if (worker == 0) run_worker(copied_.context);
  if (worker < 0) return failed(Step::kWorkerClone);
  own_.worker = worker;
  return set_oom_score(own_oom_score_, own_oom_score_size_) ? kDone
                                                            : failed(Step::kWorkerOomScore, 2);
}

Ended Zygote::reap() noexcept {
  Ended ended;
  // Whether there may be others of the job, and none was killed yet.
  bool look = false;
  for (;;) {
    int status = 0;
    rusage usage{};
    const long reaped =
        raw::direct(SYS_wait4, -1, &status, look ? __WALL | WNOHANG : __WALL, &usage);
    if (reaped == -EINTR) continue;
    // ECHILD: nothing of the job is left, since all that lose their parent become the zygote's.
    if (reaped < 0) break;
    if (reaped == 0) {
      // All others of the pid namespace, atomically: a process that is being killed can't fork
      // (kill(2)). Not for nothing: the kernel looks at each process of the host.
      ::kill(-1, SIGKILL);
      look = false;
      continue;
    }
    ended.user_us += usage.ru_utime.tv_sec * 1'000'000LL + usage.ru_utime.tv_usec;
    ended.system_us += usage.ru_stime.tv_sec * 1'000'000LL + usage.ru_stime.tv_usec;
    ended.minor_faults += static_cast<std::uint64_t>(usage.ru_minflt);
    ended.major_faults += static_cast<std::uint64_t>(usage.ru_majflt);
    ended.voluntary_switches += static_cast<std::uint64_t>(usage.ru_nvcsw);
    ended.involuntary_switches += static_cast<std::uint64_t>(usage.ru_nivcsw);
    // It may have come near its memory limit, which on v1 the zygote has, too, until it is lifted.
    if (WIFSIGNALED(status)) page_.look_at_once = 0;
    if (reaped != own_.worker) continue;
    ended.exited_ns = raw::monotonic_ns();
    ended.wait_status = status;
    if (setup_.without(protocol::kWithoutKillAll)) break;
    look = true;
  }
  ended.ended_ns = raw::monotonic_ns();
  ended.phase = page_.phase;
  ended.failure = page_.failure;
  ended.planned_ns = page_.planned_ns;
  ended.exec_ns = page_.exec_ns;
  return ended;
}

void Zygote::await_reset_message(bool plan_unread) noexcept {
  protocol::Reset message;
  iovec part{&message, sizeof message};
  int fds[1] = {-1};
  std::size_t fds_count = 0;
  for (;;) {
    const ssize_t size = raw::receive_message(context_.socket_fd, &part, 1, fds, 1, &fds_count);
    if (size == sizeof message && message.kind == protocol::MessageKind::kReset) break;
    if (!plan_unread || message.kind != protocol::MessageKind::kJobPlan) ::_exit(0);
    // Else the next worker would read it.
    plan_unread = false;
    if (fds_count > 0) ::close(fds[0]);
  }
  if (fds_count == 0) return;
  // The next worker is born in another group. Under the old number: low ones stay free.
  if (context_.job_cgroup_fd < 0 || ::dup3(fds[0], context_.job_cgroup_fd, O_CLOEXEC) < 0)
    give_up(failed(Step::kWorkerClone, 1));
  ::close(fds[0]);
}

/// With workers, who need but these and what the program is made of.
void Zygote::share_little() noexcept {
  forget_restartable_sequences();
  const void* const needed[] = {__builtin_thread_pointer(), copied_.context.filter, shared_};
  copy_only(setup_.proc_fd, copied_.stack, sizeof copied_, needed, std::size(needed));
}

void Zygote::run() noexcept {
  require(become_root());
  go_home();
  require(build_slot(setup_));
  require(set_rlimits());
  require(drop_bounding_set());
  require(share_page());
  require(open_oom_score());
  share_little();
  require(load_filter());
  go_on_with_stack(
      copied_.stack, sizeof copied_.stack,
      [](void* zygote) { static_cast<Zygote*>(zygote)->serve(); }, this);
}

void Zygote::serve() noexcept {
  std::int64_t look_ns = 0;
  for (bool first = true;; first = false) {
    const std::int64_t started_ns = raw::monotonic_ns();
    require(look());
    require(reset(first));
    page_.reset_ns = first ? 0 : look_ns + raw::monotonic_ns() - started_ns;
    page_.first = first ? 1 : 0;
    own_.looked = false;
    require(clone_worker());
    const Ended ended = reap();
    if (ended.phase == WorkerPhase::kHungUp) ::_exit(0);
    const bool parked = ended.phase == WorkerPhase::kParked;
    if (ended.phase == WorkerPhase::kBorn || parked) {
      // No job was taken. One that had parked may have been killed with a job under way to it: the
      // pool knows.
      require(ended.failure);
      if (!parked) give_up({Step::kWorkerClone, -1, ECHILD});
    }
    if (raw::send_message(context_.socket_fd, &ended, sizeof ended, nullptr, 0) < 0) ::_exit(0);
    // Beside the pool's own work, so that what it asks for is there, mostly, without a sleep.
    // Nothing is changed yet, and no memory taken worth the name: figures and files are still read.
    const std::int64_t ended_ns = raw::monotonic_ns();
    const Failure looked = page_.look_at_once != 0 ? look() : kDone;
    look_ns = raw::monotonic_ns() - ended_ns;
    await_reset_message(parked);
    require(looked);
  }
}

}  // namespace

void run_zygote(ZygoteContext& context) noexcept {
  // One zygote a process; static storage keeps the large buffers off the stack.
  static Zygote zygote(context);
  zygote.run();
}

}  // namespace hatchery
