#include "tests/live_filter.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <memory>

#include "core/check.h"
#include "core/fd.h"
#include "tests/await.h"
#include "workers/raw.h"

namespace hatchery::testing {
namespace {

/// In the fourth argument, which seccomp(2) does not have: by it the floor lets the one call pass
/// that loads the filter above it. No call of a proof has it.
constexpr std::uint32_t kCookie = 0x6861'7463;
/// The listener's answer to every notification.
constexpr std::int64_t kNotifiedErrno = 4002;

/// Shared with the child, which can't make a call any more when it has something to tell.
struct Shared {
  std::atomic<int> listener_fd;
  std::atomic<int> load_errno;
  std::atomic<std::uint64_t> done;
  std::int64_t results[1];
};

struct Unmap {
  std::size_t size;
  void operator()(Shared* shared) const { ::munmap(shared, size); }
};

/// `number` in the register that the kernel looks at, 64 bits of it. No errno, no cancellation, no
/// restart: nothing but the instruction.
std::int64_t enter_native(std::uint64_t number, const std::array<std::uint64_t, 6>& args) {
#if defined(__x86_64__)
  std::int64_t result;
  register std::uint64_t r10 __asm__("r10") = args[3];
  register std::uint64_t r8 __asm__("r8") = args[4];
  register std::uint64_t r9 __asm__("r9") = args[5];
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(args[0]), "S"(args[1]), "d"(args[2]), "r"(r10), "r"(r8),
                     "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
#elif defined(__aarch64__)
  register std::uint64_t x8 __asm__("x8") = number;
  register std::uint64_t x0 __asm__("x0") = args[0];
  register std::uint64_t x1 __asm__("x1") = args[1];
  register std::uint64_t x2 __asm__("x2") = args[2];
  register std::uint64_t x3 __asm__("x3") = args[3];
  register std::uint64_t x4 __asm__("x4") = args[4];
  register std::uint64_t x5 __asm__("x5") = args[5];
  __asm__ volatile("svc 0"
                   : "+r"(x0)
                   : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                   : "memory");
  return static_cast<std::int64_t>(x0);
#endif
}

/// The 32-bit entry, open to 64-bit processes too. It takes 32 bits of each register, so that an
/// argument above 4 GiB can't be passed by it.
std::int64_t enter_i386(std::uint32_t number, const std::array<std::uint64_t, 6>& args) {
#if defined(__x86_64__)
  std::int64_t result;
  // The sixth argument is in ebp, which the compiler may use itself: swapped in for the one
  // instruction. The red zone below the stack pointer is stepped over.
  __asm__ volatile(
      "sub $128, %%rsp\n\t"
      "push %%rbp\n\t"
      "mov %[sixth], %%rbp\n\t"
      "int $0x80\n\t"
      "pop %%rbp\n\t"
      "add $128, %%rsp"
      : "=a"(result)
      : "a"(static_cast<std::uint64_t>(number)), "b"(args[0]), "c"(args[1]), "d"(args[2]),
        "S"(args[3]), "D"(args[4]), [sixth] "r"(args[5])
      : "r8", "r9", "r10", "r11", "memory", "cc");
  // eax, sign-extended or not.
  return static_cast<std::int32_t>(result);
#else
  static_cast<void>(number);
  static_cast<void>(args);
  HATCHERY_UNREACHABLE();
#endif
}

std::int64_t enter(const Call& call, std::uint64_t turn) {
  if (call.architecture == AUDIT_ARCH_I386) return enter_i386(call.number, call.args);
  // A number is 32 bits to the kernel and to the filter: what is above changes nothing.
  const std::uint64_t above = turn % 2 == 0 ? 0 : 0xdead'beef'0000'0000;
  return enter_native(above | call.number, call.args);
}

class Child {
 public:
  Child(const Filters& filters, bool listener, Floor floor, std::span<const Call> calls,
        Shared& shared)
      : filters_(filters), listener_(listener), floor_(floor), calls_(calls), shared_(shared) {}

  /// Ends by a trap: the one way that needs no call.
  [[noreturn]] void run() const {
    prepare();
    if (floor_ != Floor::kNone) load_floor();
    load_filters();
    for (std::uint64_t i = 0; i < calls_.size(); ++i) {
      shared_.results[i] = enter(calls_[i], i);
      shared_.done = i + 1;
    }
    __builtin_trap();
  }

 private:
  void require(bool good) const {
    if (good) return;
    shared_.load_errno = errno;
    ::_exit(1);
  }
  void prepare() const {
    const rlimit none{0, 0};
    require(::setrlimit(RLIMIT_CORE, &none) == 0);
    for (const int number : {SIGILL, SIGTRAP, SIGSEGV}) ::signal(number, SIG_DFL);
    // Of this process alone, and no more than anybody: a hole in a filter harms nothing.
    constexpr int kNobody = 65534;
    require(::syscall(SYS_setresgid, kNobody, kNobody, kNobody) == 0 &&
            ::syscall(SYS_setresuid, kNobody, kNobody, kNobody) == 0);
    require(::prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
    require(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  }
  static long load(const sock_fprog& program, unsigned long flags) {
    return ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program, kCookie);
  }
  void load_floor() const {
    const std::uint32_t answer = floor_ == Floor::kErrno ? SECCOMP_RET_ERRNO | kFloorErrno
                                                         : std::uint32_t{SECCOMP_RET_TRACE};
    // A little-endian machine: the low half of an argument comes first.
    sock_filter code[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[3])),
                          BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kCookie, 0, 1),
                          BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
                          BPF_STMT(BPF_RET | BPF_K, answer)};
    require(load({4, code}, 0) == 0);
  }
  void load_filters() const {
    for (const std::vector<std::uint64_t>& filter : filters_) {
      const sock_fprog program{
          static_cast<unsigned short>(filter.size()),
          reinterpret_cast<sock_filter*>(const_cast<std::uint64_t*>(filter.data()))};
      const bool listens = listener_ && &filter == &filters_.back();
      const long loaded = load(program, listens ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0);
      require(loaded >= 0);
      if (listens) shared_.listener_fd = static_cast<int>(loaded);
    }
  }

  const Filters& filters_;
  bool listener_;
  Floor floor_;
  std::span<const Call> calls_;
  Shared& shared_;
};

bool has_ended(int pidfd) {
  pollfd end{pidfd, POLLIN, 0};
  return ::poll(&end, 1, 0) > 0;
}

bool is_the_call(const seccomp_data& seen, const Call& call) {
  return static_cast<std::uint32_t>(seen.nr) == call.number && seen.arch == call.architecture &&
         std::memcmp(seen.args, call.args.data(), sizeof seen.args) == 0;
}

/// Answers notifications until the child's end. An error text, or "".
std::string answer_notifications(int pidfd, const Shared& shared, std::span<const Call> calls,
                                 std::vector<LiveAnswer>& answers) {
  await([&] { return shared.listener_fd >= 0 || has_ended(pidfd); });
  const UniqueFd listener(
      static_cast<int>(::syscall(SYS_pidfd_getfd, pidfd, shared.listener_fd.load(), 0)));
  if (!listener.valid()) return "the child has no listener";
  for (;;) {
    pollfd waiting[] = {{listener.get(), POLLIN, 0}, {pidfd, POLLIN, 0}};
    ::poll(waiting, 2, -1);
    if ((waiting[0].revents & POLLIN) == 0) {
      if (waiting[1].revents != 0) return {};
      continue;
    }
    seccomp_notif seen{};
    if (::ioctl(listener.get(), SECCOMP_IOCTL_NOTIF_RECV, &seen) < 0) continue;
    const std::uint64_t at = shared.done;
    if (at >= calls.size() || !is_the_call(seen.data, calls[at]))
      return "the listener was told of another call than " +
             (at < calls.size() ? describe(calls[at]) : std::string("those asked for"));
    answers[at].notified = true;
    seccomp_notif_resp response{};
    response.id = seen.id;
    response.error = -static_cast<int>(kNotifiedErrno);
    if (::ioctl(listener.get(), SECCOMP_IOCTL_NOTIF_SEND, &response) < 0)
      return "the listener can't answer";
  }
}

}  // namespace

bool passes_every_filter(const Call& call) {
  constexpr std::uint32_t kUretprobe = 335;
  constexpr std::uint32_t kUprobe = 336;
  return call.architecture == AUDIT_ARCH_X86_64 &&
         (call.number == kUretprobe || call.number == kUprobe);
}

std::string live_answers(const Filters& filters, bool listener, Floor floor,
                         std::span<const Call> calls, std::vector<LiveAnswer>& answers) {
  for (const Call& call : calls)
    HATCHERY_CHECK(static_cast<std::uint32_t>(call.args[3]) != kCookie);
  answers.assign(calls.size(), {});
  const std::size_t size = sizeof(Shared) + calls.size() * sizeof(std::int64_t);
  void* mapped = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  HATCHERY_CHECK(mapped != MAP_FAILED);
  const std::unique_ptr<Shared, Unmap> shared(static_cast<Shared*>(mapped), Unmap{size});
  shared->listener_fd = -1;
  const pid_t child = ::fork();
  if (child == 0) Child(filters, listener, floor, calls, *shared).run();
  HATCHERY_CHECK(child > 0);
  const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
  HATCHERY_CHECK(pidfd.valid());
  std::string error =
      listener ? answer_notifications(pidfd.get(), *shared, calls, answers) : std::string();
  // After an error its next call would wait for ever for an answer.
  if (!error.empty()) ::kill(child, SIGKILL);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!error.empty()) return error;
  if (shared->load_errno != 0)
    return "the filter can't be loaded, errno " + std::to_string(shared->load_errno);
  if (shared->done != calls.size())
    return "the child ended, wait status " + std::to_string(status) + ", in " +
           describe(calls[shared->done]);
  if (!WIFSIGNALED(status)) return "the child made a call after its last";
  for (std::size_t i = 0; i < calls.size(); ++i) {
    answers[i].result = shared->results[i];
    if (answers[i].notified && answers[i].result != -kNotifiedErrno)
      return "the listener's answer did not come to " + describe(calls[i]);
  }
  return {};
}

std::string live_policy(const Filters& filters, bool listener, std::span<const Call> calls,
                        std::vector<std::uint32_t>& answers) {
  answers.assign(calls.size(), SECCOMP_RET_KILL_PROCESS);
  std::vector<LiveAnswer> over_errno;
  std::vector<LiveAnswer> over_trace;
  // Over the errno floor nothing is notified, but the listener is the filter's all the same.
  std::string error = live_answers(filters, listener, Floor::kErrno, calls, over_errno);
  if (error.empty()) error = live_answers(filters, listener, Floor::kTrace, calls, over_trace);
  if (!error.empty()) return error;
  for (std::size_t i = 0; i < calls.size(); ++i) {
    const std::int64_t result = over_errno[i].result;
    const std::int64_t other = over_trace[i].result;
    if (result >= 0) return "made for real: " + describe(calls[i]);
    if (result != -kFloorErrno) {
      if (other != result) return "two answers to " + describe(calls[i]);
      answers[i] = SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(-result);
    } else if (over_trace[i].notified) {
      answers[i] = SECCOMP_RET_USER_NOTIF;
    } else if (other == -ENOSYS) {
      answers[i] = SECCOMP_RET_ALLOW;
    } else {
      return "two answers to " + describe(calls[i]);
    }
  }
  return {};
}

}  // namespace hatchery::testing
