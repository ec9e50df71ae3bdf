#include "workers/syscall_policy.h"

#include <linux/audit.h>
#include <net/if.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <utility>

#include "core/fd.h"
#include "workers/bpf_interpreter.h"
#include "workers/bpf_shrink.h"

namespace hatchery {
namespace {

struct ReleaseContext {
  void operator()(void* context) const { ::seccomp_release(context); }
};
using FilterContext = std::unique_ptr<void, ReleaseContext>;

Error compile_error(std::string object, int errnum, std::string detail, std::string remedy) {
  return Error{.step = Step::kCompilePolicy,
               .object = std::move(object),
               .errnum = errnum,
               .detail = std::move(detail),
               .remedy = std::move(remedy)};
}

struct NewCall {
  const char* name;
  int number;
};
// Calls newer than Debian 12's libseccomp. Their numbers are the same on every architecture.
constexpr std::array kNewCalls{NewCall{"cachestat", 451},         NewCall{"fchmodat2", 452},
                               NewCall{"map_shadow_stack", 453},  NewCall{"futex_wake", 454},
                               NewCall{"futex_wait", 455},        NewCall{"futex_requeue", 456},
                               NewCall{"statmount", 457},         NewCall{"listmount", 458},
                               NewCall{"lsm_get_self_attr", 459}, NewCall{"lsm_set_self_attr", 460},
                               NewCall{"lsm_list_modules", 461},  NewCall{"mseal", 462},
                               NewCall{"setxattrat", 463},        NewCall{"getxattrat", 464},
                               NewCall{"listxattrat", 465},       NewCall{"removexattrat", 466},
                               NewCall{"open_tree_attr", 467}};

// What a worker still calls once its filter is loaded, until the job's program runs.
constexpr std::array kWorkerCalls{
    SYS_read,           SYS_write,
    SYS_recvmsg,        SYS_sendmsg,
    SYS_dup3,           SYS_fcntl,
    SYS_close,          SYS_close_range,
    SYS_munmap,         SYS_chdir,
    SYS_execve,         SYS_execveat,
    SYS_exit_group,     SYS_exit,
    SYS_umask,          SYS_rt_sigaction,
    SYS_rt_sigprocmask, SYS_rt_sigreturn,
    SYS_openat,         SYS_getpid,
    SYS_futex,          SYS_sched_setaffinity,
#ifdef SYS_dup2
    SYS_dup2,           SYS_open,
#endif
};

/// A call of zygote or worker once the zygote's filter is loaded; `args` where they are the same
/// each time.
struct OwnCall {
  long number;
  std::array<std::optional<std::uint64_t>, 4> args = {};
};
constexpr std::array kOwnCalls{
    // Between jobs.
    OwnCall{SYS_mount}, OwnCall{SYS_umount2}, OwnCall{SYS_listxattr}, OwnCall{SYS_newfstatat},
    OwnCall{SYS_fstat}, OwnCall{SYS_statx}, OwnCall{SYS_pread64}, OwnCall{SYS_pwrite64},
    OwnCall{SYS_unshare}, OwnCall{SYS_clone3}, OwnCall{SYS_wait4}, OwnCall{SYS_kill},
    OwnCall{SYS_fsopen}, OwnCall{SYS_fsconfig}, OwnCall{SYS_fsmount}, OwnCall{SYS_utimensat},
    OwnCall{SYS_semget, {IPC_PRIVATE, 1, 0}}, OwnCall{SYS_semctl, {std::nullopt, 0, IPC_RMID}},
    OwnCall{SYS_shmget, {IPC_PRIVATE, 1, 0}}, OwnCall{SYS_shmctl, {std::nullopt, IPC_RMID}},
    OwnCall{SYS_msgget, {IPC_PRIVATE, 0}}, OwnCall{SYS_msgctl, {std::nullopt, IPC_RMID}},
    OwnCall{SYS_socket, {AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0}},
    OwnCall{SYS_ioctl, {std::nullopt, SIOCSIFFLAGS}}, OwnCall{SYS_clock_gettime, {CLOCK_MONOTONIC}},
    // A worker before it is parked.
    OwnCall{SYS_prctl, {PR_SET_DUMPABLE, 0}}, OwnCall{SYS_prctl, {PR_SET_NO_NEW_PRIVS, 1, 0, 0}},
    OwnCall{SYS_setsid}, OwnCall{SYS_rt_sigprocmask}, OwnCall{SYS_pidfd_open},
    OwnCall{SYS_setresgid}, OwnCall{SYS_setresuid}, OwnCall{SYS_capset},
    OwnCall{SYS_seccomp, {SECCOMP_SET_MODE_FILTER, 0}},
    // And then; see kWorkerCalls, too.
    OwnCall{SYS_ioctl, {0, TIOCSCTTY, 0}},
    OwnCall{SYS_mmap, {0, std::nullopt, PROT_READ | PROT_WRITE, MAP_PRIVATE}},
    OwnCall{SYS_prlimit64, {0, RLIMIT_FSIZE}}, OwnCall{SYS_prlimit64, {0, RLIMIT_STACK}},
    OwnCall{SYS_prlimit64, {0, RLIMIT_AS}}, OwnCall{SYS_prlimit64, {0, RLIMIT_DATA}},
    OwnCall{SYS_prlimit64, {0, RLIMIT_NOFILE}}, OwnCall{SYS_prlimit64, {0, RLIMIT_NPROC}},
    OwnCall{SYS_prlimit64, {0, RLIMIT_CPU}}};

// What a plan has a worker set, with prlimit64.
constexpr std::array<std::uint64_t, 7> kWorkerRlimits{
    RLIMIT_FSIZE, RLIMIT_STACK, RLIMIT_AS, RLIMIT_DATA, RLIMIT_NOFILE, RLIMIT_NPROC, RLIMIT_CPU};

// The i386 calls behind which many others hide, with their arguments out of a filter's sight.
struct Multiplexer {
  const char* name;
  std::array<const char*, 20> calls;
};
constexpr std::array kMultiplexers{
    Multiplexer{
        "socketcall",
        {"socket",     "bind",    "connect", "listen",  "accept",   "getsockname", "getpeername",
         "socketpair", "send",    "recv",    "sendto",  "recvfrom", "shutdown",    "setsockopt",
         "getsockopt", "sendmsg", "recvmsg", "accept4", "recvmmsg", "sendmmsg"}},
    Multiplexer{"ipc",
                {"semop", "semget", "semctl", "semtimedop", "msgsnd", "msgrcv", "msgget", "msgctl",
                 "shmat", "shmdt", "shmget", "shmctl"}}};

bool permits(SyscallAction action) {
  return action == SyscallAction::kAllow || action == SyscallAction::kLog;
}

std::uint32_t action_code(SyscallAction action, int errnum) {
  switch (action) {
    case SyscallAction::kAllow: return SCMP_ACT_ALLOW;
    case SyscallAction::kErrno: return SCMP_ACT_ERRNO(static_cast<std::uint32_t>(errnum));
    case SyscallAction::kKill: return SCMP_ACT_NOTIFY;
    case SyscallAction::kTrap: return SCMP_ACT_TRAP;
    case SyscallAction::kLog: return SCMP_ACT_LOG;
  }
  return SCMP_ACT_KILL_PROCESS;
}

scmp_compare compare_code(ArgCompare compare) {
  switch (compare) {
    case ArgCompare::kNotEqual: return SCMP_CMP_NE;
    case ArgCompare::kLess: return SCMP_CMP_LT;
    case ArgCompare::kLessEqual: return SCMP_CMP_LE;
    case ArgCompare::kEqual: return SCMP_CMP_EQ;
    case ArgCompare::kGreaterEqual: return SCMP_CMP_GE;
    case ArgCompare::kGreater: return SCMP_CMP_GT;
    case ArgCompare::kMaskedEqual: return SCMP_CMP_MASKED_EQ;
  }
  return SCMP_CMP_EQ;
}

const NewCall* find_new_call(const std::string& name) {
  const auto* found = std::find_if(kNewCalls.begin(), kNewCalls.end(),
                                   [&](const NewCall& call) { return name == call.name; });
  return found == kNewCalls.end() ? nullptr : found;
}

/// Filters for one policy. There are two, one after the other in the program:
/// first the *exceptions*, refusals that depend on arguments of a call that is otherwise allowed
/// (libseccomp itself would drop them), which answer or pass on; then the *base*.
class Compiler {
 public:
  explicit Compiler(const SyscallPolicy& policy) : policy_(policy) {}
  Result<std::vector<std::uint64_t>> run();

 private:
  struct Seen {
    const SyscallRule* unconditional = nullptr;
    bool conditional_allow = false;
  };

  Result<void> survey();
  Result<void> start(FilterContext& context, std::uint32_t default_code,
                     std::uint32_t foreign_code);
  Result<void> add_rule(const SyscallRule& rule);
  Result<void> add_call(const FilterContext& context, const SyscallRule& rule,
                        const std::string& name);
  Result<void> refuse_multiplexers();
  Result<void> unknown_call(const SyscallRule& rule, const std::string& name) const;
  std::uint32_t refusal() const {
    return permits(policy_.default_action)
               ? SCMP_ACT_ERRNO(EPERM)
               : action_code(policy_.default_action, policy_.default_errnum);
  }

  const SyscallPolicy& policy_;
  std::map<std::string, Seen> seen_;
  std::uint32_t default_code_ = 0;
  bool has_exceptions_ = false;
  FilterContext exceptions_;
  FilterContext base_;
};

/// What rules say about each call, and that they don't contradict each other.
Result<void> Compiler::survey() {
  const auto same = [](const SyscallRule& a, const SyscallRule& b) {
    return action_code(a.action, a.errnum) == action_code(b.action, b.errnum);
  };
  for (const SyscallRule& rule : policy_.rules) {
    for (const std::string& name : rule.names) {
      Seen& seen = seen_[name];
      if (!rule.args.empty()) {
        seen.conditional_allow |= rule.action == SyscallAction::kAllow;
      } else if (seen.unconditional != nullptr && !same(*seen.unconditional, rule)) {
        return compile_error(name, 0, "two rules without arguments give it different actions",
                             "leave one of them out");
      } else {
        seen.unconditional = &rule;
      }
    }
  }
  for (const auto& [name, seen] : seen_) {
    if (seen.conditional_allow && seen.unconditional != nullptr &&
        !permits(seen.unconditional->action))
      return compile_error(name, 0,
                           "one rule refuses it whatever its arguments, another allows it for some",
                           "leave one of them out");
  }
  return {};
}

Result<void> Compiler::start(FilterContext& context, std::uint32_t default_code,
                             std::uint32_t foreign_code) {
  context.reset(::seccomp_init(default_code));
  if (!context)
    return compile_error("default action", ENOTSUP, "this kernel has no such seccomp action",
                         "choose another action, or a newer kernel");
  const auto set = [&](scmp_filter_attr attribute, std::uint32_t value) {
    return ::seccomp_attr_set(context.get(), attribute, value);
  };
  int result = set(SCMP_FLTATR_ACT_BADARCH, foreign_code);
  if (result == 0) result = set(SCMP_FLTATR_CTL_NNP, 0);
  if (result == 0) result = set(SCMP_FLTATR_CTL_OPTIMIZE, 2);
  if (result != 0)
    return compile_error("filter attributes", -result, "", "install libseccomp 2.5 or newer");
  bool has_native = policy_.architectures.empty();
  for (const std::string& name : policy_.architectures) {
    std::string short_name = name.substr(name.rfind("SCMP_ARCH_", 0) == 0 ? 10 : 0);
    std::transform(short_name.begin(), short_name.end(), short_name.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    const std::uint32_t token = ::seccomp_arch_resolve_name(short_name.c_str());
    if (token == 0)
      return compile_error(name, 0, "is no architecture that libseccomp knows",
                           "correct it, as in SCMP_ARCH_X86_64");
    has_native |= token == ::seccomp_arch_native();
    result = ::seccomp_arch_add(context.get(), token);
    if (result != 0 && result != -EEXIST)
      return compile_error(name, -result, "can't be filtered beside this machine's architecture",
                           "leave it out");
  }
  if (!has_native)
    return compile_error("architectures", 0, "this machine's own architecture is not among them",
                         "add it, or leave architectures out");
  return {};
}

Result<void> Compiler::unknown_call(const SyscallRule& rule, const std::string& name) const {
  if (permits(rule.action) || !permits(policy_.default_action)) return {};
  return compile_error(name, 0, "libseccomp knows no such call, so this policy would allow it",
                       "correct the name, or refuse by default");
}

Result<void> Compiler::add_call(const FilterContext& context, const SyscallRule& rule,
                                const std::string& name) {
  const NewCall* new_call = nullptr;
  int number = ::seccomp_syscall_resolve_name(name.c_str());
  if (number == __NR_SCMP_ERROR) {
    new_call = find_new_call(name);
    if (new_call == nullptr) return unknown_call(rule, name);
    number = new_call->number;
  }
  std::vector<scmp_arg_cmp> args;
  for (const ArgRule& arg : rule.args)
    args.push_back({arg.index, compare_code(arg.compare), arg.value, arg.value_two});
  const int result =
      ::seccomp_rule_add_array(context.get(), action_code(rule.action, rule.errnum), number,
                               static_cast<unsigned>(args.size()), args.data());
  if (result == 0) return {};
  // A new call can't be translated to a second architecture, and then is refused on all.
  if (new_call != nullptr && (result == -EFAULT || result == -EDOM))
    return unknown_call(rule, name);
  if (result == -EEXIST)
    return compile_error(name, 0, "two rules with the same arguments give it different actions",
                         "leave one of them out");
  return compile_error(name, -result, "libseccomp refuses the rule",
                       "give each argument's index once, 0 to 5");
}

Result<void> Compiler::add_rule(const SyscallRule& rule) {
  for (const std::string& name : rule.names) {
    const Seen& seen = seen_[name];
    const bool allowed_elsewhere = seen.conditional_allow || (seen.unconditional != nullptr &&
                                                              permits(seen.unconditional->action));
    if (!rule.args.empty() && rule.action != SyscallAction::kAllow && allowed_elsewhere) {
      has_exceptions_ = true;
      HATCHERY_TRY(add_call(exceptions_, rule, name));
    } else if (action_code(rule.action, rule.errnum) != default_code_) {
      HATCHERY_TRY(add_call(base_, rule, name));
    } else if (!permits(rule.action)) {
      continue;  // The default does it.
    }
  }
  return {};
}

/// A multiplexer would let a 32-bit job pass the arguments that a rule forbids.
Result<void> Compiler::refuse_multiplexers() {
  if (policy_.architectures.empty()) return {};
  for (const Multiplexer& multiplexer : kMultiplexers) {
    const bool filtered =
        std::any_of(policy_.rules.begin(), policy_.rules.end(), [&](const SyscallRule& rule) {
          return !rule.args.empty() &&
                 std::any_of(rule.names.begin(), rule.names.end(), [&](const std::string& name) {
                   return std::any_of(multiplexer.calls.begin(), multiplexer.calls.end(),
                                      [&](const char* call) { return call && name == call; });
                 });
        });
    if (!filtered) continue;
    has_exceptions_ = true;
    const int number = ::seccomp_syscall_resolve_name(multiplexer.name);
    const int result = ::seccomp_rule_add_array(exceptions_.get(), refusal(), number, 0, nullptr);
    if (result != 0) return compile_error(multiplexer.name, -result, "can't be refused", "");
  }
  return {};
}

Result<std::vector<std::uint64_t>> export_program(const FilterContext& context) {
  const UniqueFd memfd(::memfd_create("hatchery-filter", MFD_CLOEXEC));
  if (!memfd.valid()) return errno_error(Step::kCompilePolicy, "memfd_create", errno);
  if (const int result = ::seccomp_export_bpf(context.get(), memfd.get()); result != 0)
    return compile_error("export", -result, "libseccomp can't write the filter", "");
  const off_t size = ::lseek(memfd.get(), 0, SEEK_END);
  if (size < 0) return errno_error(Step::kCompilePolicy, "lseek", errno);
  std::vector<std::uint64_t> program(static_cast<std::size_t>(size) / sizeof(std::uint64_t));
  const std::size_t bytes = program.size() * sizeof(std::uint64_t);
  const ssize_t got = ::pread(memfd.get(), program.data(), bytes, 0);
  if (got < 0) return errno_error(Step::kCompilePolicy, "pread", errno);
  if (static_cast<std::size_t>(got) != bytes)
    return compile_error("export", EIO, "the filter was cut short", "");
  return program;
}

bool is_return(const sock_filter& code, std::uint32_t value) {
  return code.code == (BPF_RET | BPF_K) && code.k == value;
}

Result<std::vector<std::uint64_t>> Compiler::run() {
  default_code_ = action_code(policy_.default_action, policy_.default_errnum);
  // A call of another architecture is refused as EPERM, whatever errno the default has.
  const std::uint32_t foreign_code =
      policy_.default_action == SyscallAction::kErrno ? SCMP_ACT_ERRNO(EPERM) : refusal();
  HATCHERY_TRY(survey());
  HATCHERY_TRY(start(base_, default_code_, foreign_code));
  HATCHERY_TRY(start(exceptions_, SCMP_ACT_ALLOW, SCMP_ACT_ALLOW));
  for (const SyscallRule& rule : policy_.rules) HATCHERY_TRY(add_rule(rule));
  HATCHERY_TRY(refuse_multiplexers());

  Result<std::vector<std::uint64_t>> base = export_program(base_);
  if (!base || !has_exceptions_) return base;
  Result<std::vector<std::uint64_t>> program = export_program(exceptions_);
  if (!program) return program;
  for (std::size_t i = 0; i < program->size(); ++i) {
    // What the exceptions allow goes on to the base.
    if (is_return(unpack_instruction((*program)[i]), SCMP_ACT_ALLOW))
      (*program)[i] = pack_instruction(
          {BPF_JMP | BPF_JA, 0, 0, static_cast<std::uint32_t>(program->size() - i - 1)});
  }
  program->insert(program->end(), base->begin(), base->end());
  return program;
}

/// Whether a filter lets the call pass, unlogged, whatever its other arguments are.
bool lets_pass(std::span<const std::uint64_t> filter, std::uint32_t native, const OwnCall& own) {
  for (const std::uint64_t other :
       std::to_array<std::uint64_t>({0, 1, 200, 0x7fff'ffff'f000, ~std::uint64_t{0}})) {
    seccomp_data call{};
    call.nr = static_cast<int>(own.number);
    call.arch = native;
    std::fill(std::begin(call.args), std::end(call.args), other);
    for (std::size_t i = 0; i < own.args.size(); ++i)
      if (own.args[i]) call.args[i] = *own.args[i];
    if (run_filter(filter, call) != SECCOMP_RET_ALLOW) return false;
  }
  return true;
}

/// The zygote's filter must let all pass that zygote and worker call; what the policy thinks of
/// that is the worker's filter's to say.
void split(CompiledPolicy& compiled, std::uint32_t native) {
  compiled.worker_filter = compiled.instructions;
  if (compiled.needs_listener) return;
  std::set<std::uint32_t> workers_to_decide;
  const auto look_at = [&](const OwnCall& own) {
    if (!lets_pass(compiled.instructions, native, own))
      workers_to_decide.insert(static_cast<std::uint32_t>(own.number));
  };
  for (const OwnCall& own : kOwnCalls) look_at(own);
  for (const long number : kWorkerCalls) look_at({number});
  const std::vector<std::uint32_t> numbers(workers_to_decide.begin(), workers_to_decide.end());
  std::optional<SplitFilter> parts = split_filter(compiled.instructions, native, numbers);
  if (!parts) return;
  compiled.zygote_filter = std::move(parts->rest);
  compiled.worker_filter = std::move(parts->chosen);
}

}  // namespace

Result<CompiledPolicy> compile_syscall_policy(const SyscallPolicy& policy) {
  Result<std::vector<std::uint64_t>> program = Compiler(policy).run();
  if (!program) return std::move(program).error();
  const std::uint32_t native = ::seccomp_arch_native();
  CompiledPolicy compiled{.instructions = shrink_filter(*program, native)};
  if (compiled.instructions.size() > BPF_MAXINSNS)
    return compile_error("rules", E2BIG,
                         std::to_string(compiled.instructions.size()) +
                             " instructions are more than the kernel's " +
                             std::to_string(BPF_MAXINSNS),
                         "give fewer rules with arguments, or fewer architectures");
  compiled.needs_listener = std::any_of(
      compiled.instructions.begin(), compiled.instructions.end(), [](std::uint64_t word) {
        return is_return(unpack_instruction(word), SECCOMP_RET_USER_NOTIF);
      });
  compiled.loads_before_job =
      std::all_of(kWorkerCalls.begin(), kWorkerCalls.end(),
                  [&](long number) {
                    const FilterStop stop = run_filter_without_arguments(
                        compiled.instructions, native, static_cast<std::uint32_t>(number));
                    return stop.result == SECCOMP_RET_ALLOW || stop.result == SECCOMP_RET_LOG;
                  }) &&
      std::all_of(kWorkerRlimits.begin(), kWorkerRlimits.end(), [&](std::uint64_t resource) {
        seccomp_data call{};
        call.nr = SYS_prlimit64;
        call.arch = native;
        call.args[1] = resource;
        call.args[2] = 1;  // Any address: a limit is set.
        const std::uint32_t result = run_filter(compiled.instructions, call);
        return result == SECCOMP_RET_ALLOW || result == SECCOMP_RET_LOG;
      });
  // Two more of which the built-in policy looks at arguments: a large plan is mapped privately, the
  // clock is the monotonic one.
  seccomp_data map{};
  map.nr = SYS_mmap;
  map.arch = native;
  map.args[3] = MAP_PRIVATE;
  seccomp_data clock{};
  clock.nr = SYS_clock_gettime;
  clock.arch = native;
  clock.args[0] = CLOCK_MONOTONIC;
  for (const seccomp_data& call : {map, clock}) {
    const std::uint32_t result = run_filter(compiled.instructions, call);
    if (result != SECCOMP_RET_ALLOW && result != SECCOMP_RET_LOG) compiled.loads_before_job = false;
  }
  split(compiled, native);
  return compiled;
}

std::string syscall_name(std::uint32_t architecture, std::int64_t number) {
  constexpr std::int64_t kX32 = 1 << 30;
  if (number < 0 || number > INT32_MAX) return "unknown";
  const bool x32 = architecture == AUDIT_ARCH_X86_64 && (number & kX32) != 0;
  const std::uint32_t token = x32 ? static_cast<std::uint32_t>(SCMP_ARCH_X32) : architecture;
  const std::unique_ptr<char, decltype(&std::free)> name(
      ::seccomp_syscall_resolve_num_arch(token, static_cast<int>(number)), &std::free);
  if (name) return name.get();
  for (const NewCall& call : kNewCalls)
    if (call.number == (x32 ? number & ~kX32 : number)) return call.name;
  return "unknown";
}

std::string architecture_name(std::uint32_t architecture, std::int64_t number) {
  switch (architecture) {
    case AUDIT_ARCH_X86_64: return number >= 0 && (number & (1 << 30)) != 0 ? "x32" : "x86_64";
    case AUDIT_ARCH_I386: return "x86";
    case AUDIT_ARCH_AARCH64: return "aarch64";
    default: break;
  }
  char text[16];
  std::snprintf(text, sizeof text, "0x%08x", architecture);
  return text;
}

}  // namespace hatchery
