// The compiled default policy, the JSON forms that operators bring, and the errors that they get:
// all by the interpreter, which the kernel is held against in pool_syscalls_kernel_test.cc.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/memfd.h>
#include <linux/prctl.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "workers/bpf_interpreter.h"
#include "workers/syscall_policy.h"

namespace hatchery {
namespace {

using ::testing::HasSubstr;

constexpr std::uint32_t kRefused = SECCOMP_RET_ERRNO | EPERM;
constexpr std::uint32_t kAbsent = SECCOMP_RET_ERRNO | ENOSYS;
constexpr std::uint64_t kHighGarbage = 0xdead'beef'0000'0000;

/// -1 when this architecture has no such call.
long number_of(const std::string& name) {
  for (long number = 0; number < 600; ++number)
    if (syscall_name(AUDIT_ARCH_X86_64, number) == name) return number;
  return -1;
}

CompiledPolicy compiled(const SyscallPolicy& policy) {
  Result<CompiledPolicy> result = compile_syscall_policy(policy);
  EXPECT_TRUE(result) << result.error().message();
  return result ? *std::move(result) : CompiledPolicy{};
}

std::uint32_t answer(const CompiledPolicy& policy, long number,
                     std::array<std::uint64_t, 6> args = {},
                     std::uint32_t architecture = AUDIT_ARCH_X86_64) {
  seccomp_data call{};
  call.nr = static_cast<int>(number);
  call.arch = architecture;
  for (std::size_t i = 0; i < args.size(); ++i) call.args[i] = args[i];
  return run_filter(policy.instructions, call);
}

const CompiledPolicy& default_compiled() {
  static const CompiledPolicy policy = compiled(default_syscall_policy(SyscallAction::kErrno));
  return policy;
}

CompiledPolicy compiled_json(const std::string& json) {
  Result<SyscallPolicy> policy = syscall_policy_from_json(json, "policy.json");
  EXPECT_TRUE(policy) << policy.error().message();
  return policy ? compiled(*policy) : CompiledPolicy{};
}

std::string json_error(const std::string& json) {
  Result<SyscallPolicy> policy = syscall_policy_from_json(json, "policy.json");
  EXPECT_FALSE(policy);
  return policy ? "" : policy.error().message();
}

TEST(DefaultSyscallPolicy, IsInTheLibraryAsItWouldBeCompiledNow) {
  const CompiledPolicy built_in = default_compiled_policy();
  EXPECT_EQ(built_in.instructions, default_compiled().instructions);
  EXPECT_EQ(built_in.zygote_filter, default_compiled().zygote_filter);
  EXPECT_EQ(built_in.worker_filter, default_compiled().worker_filter);
  EXPECT_EQ(built_in.needs_listener, default_compiled().needs_listener);
  EXPECT_EQ(built_in.loads_before_job, default_compiled().loads_before_job);
}

TEST(DefaultSyscallPolicy, AllowsWhatProgramsNeed) {
  for (const char* name :
       {"read", "openat", "execve", "mmap", "futex", "exit_group", "statx", "getrandom", "rseq"})
    EXPECT_EQ(answer(default_compiled(), number_of(name)), SECCOMP_RET_ALLOW) << name;
}

TEST(DefaultSyscallPolicy, RefusesWhatDockerRefusesAndMore) {
  for (const char* name : {"acct",
                           "add_key",
                           "bpf",
                           "clock_adjtime",
                           "clock_settime",
                           "create_module",
                           "delete_module",
                           "fanotify_init",
                           "finit_module",
                           "fsconfig",
                           "fsmount",
                           "fsopen",
                           "fspick",
                           "get_mempolicy",
                           "init_module",
                           "ioperm",
                           "iopl",
                           "kcmp",
                           "kexec_file_load",
                           "kexec_load",
                           "keyctl",
                           "lookup_dcookie",
                           "mbind",
                           "mount",
                           "mount_setattr",
                           "move_mount",
                           "move_pages",
                           "name_to_handle_at",
                           "nfsservctl",
                           "open_by_handle_at",
                           "open_tree",
                           "perf_event_open",
                           "pidfd_getfd",
                           "pivot_root",
                           "process_vm_readv",
                           "process_vm_writev",
                           "ptrace",
                           "quotactl",
                           "quotactl_fd",
                           "reboot",
                           "request_key",
                           "set_mempolicy",
                           "setdomainname",
                           "sethostname",
                           "setns",
                           "settimeofday",
                           "swapoff",
                           "swapon",
                           "sysfs",
                           "syslog",
                           "umount2",
                           "unshare",
                           "uselib",
                           "userfaultfd",
                           "ustat",
                           "vhangup",
                           "chroot",
                           "process_madvise",
                           "_sysctl"}) {
    const long number = number_of(name);
    if (number < 0) continue;  // Not a call of this architecture.
    EXPECT_EQ(answer(default_compiled(), number), kRefused) << name;
  }
}

TEST(DefaultSyscallPolicy, RefusesEveryNumberThatIsNoCall) {
  for (const long number : {335L, 336L, 423L, 468L, 512L, 1000L, 100000L, 0x3fff'ffffL, -1L, -5L})
    EXPECT_EQ(answer(default_compiled(), number), kRefused) << number;
}

TEST(DefaultSyscallPolicy, AnswersEachCallAsItsTableSays) {
  const SyscallPolicy policy = default_syscall_policy(SyscallAction::kErrno);
  for (long number = 0; number < 1000; ++number) {
    const std::string name = syscall_name(AUDIT_ARCH_X86_64, number);
    std::uint32_t expected = kRefused;
    bool depends_on_arguments = false;
    for (const SyscallRule& rule : policy.rules) {
      if (std::find(rule.names.begin(), rule.names.end(), name) == rule.names.end()) continue;
      depends_on_arguments |= !rule.args.empty();
      expected = rule.action == SyscallAction::kAllow
                     ? SECCOMP_RET_ALLOW
                     : SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(rule.errnum);
    }
    if (depends_on_arguments) continue;
    EXPECT_EQ(answer(default_compiled(), number), expected) << number << ' ' << name;
  }
}

TEST(DefaultSyscallPolicy, IsSmallSinceEveryWorkerLoadsIt) {
  EXPECT_LT(default_compiled().instructions.size(), 280U);
  EXPECT_LT(default_compiled().worker_filter.size(), 20U);
}

TEST(DefaultSyscallPolicy, AnswersAbsentToCallsThatProgramsProbe) {
  for (const long number :
       {SYS_clone3, SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register})
    EXPECT_EQ(answer(default_compiled(), number), kAbsent) << number;
}

TEST(DefaultSyscallPolicy, RefusesEveryCallOfOtherArchitectures) {
  constexpr long kX32 = 0x4000'0000;
  for (long number = 0; number < 500; ++number) {
    EXPECT_EQ(answer(default_compiled(), number, {}, AUDIT_ARCH_I386), kRefused) << number;
    EXPECT_EQ(answer(default_compiled(), number | kX32), kRefused) << number;
    EXPECT_EQ(answer(default_compiled(), number, {}, AUDIT_ARCH_AARCH64), kRefused) << number;
  }
}

TEST(DefaultSyscallPolicy, LetsThreadsBeMadeButNoNamespace) {
  constexpr std::uint64_t kThread =
      CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;
  EXPECT_EQ(answer(default_compiled(), SYS_clone, {kThread}), SECCOMP_RET_ALLOW);
  EXPECT_EQ(answer(default_compiled(), SYS_clone, {17 | kHighGarbage}), SECCOMP_RET_ALLOW);
  for (const std::uint64_t flag :
       std::to_array<std::uint64_t>({CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET,
                                     CLONE_NEWIPC, CLONE_NEWUTS, CLONE_NEWCGROUP, CLONE_NEWTIME})) {
    EXPECT_EQ(answer(default_compiled(), SYS_clone, {kThread | flag}), kRefused) << flag;
    EXPECT_EQ(answer(default_compiled(), SYS_clone, {flag | kHighGarbage}), kRefused) << flag;
  }
}

TEST(DefaultSyscallPolicy, LetsOrdinarySocketsBeMadeOnly) {
  const auto socket_answer = [](std::uint64_t family, std::uint64_t protocol) {
    return answer(default_compiled(), SYS_socket, {family, SOCK_STREAM, protocol});
  };
  for (const std::uint64_t family : std::to_array<std::uint64_t>({AF_UNIX, AF_INET, AF_INET6})) {
    EXPECT_EQ(socket_answer(family, 0), SECCOMP_RET_ALLOW) << family;
    EXPECT_EQ(socket_answer(family | kHighGarbage, 0), SECCOMP_RET_ALLOW) << family;
  }
  for (const std::uint64_t protocol : std::to_array<std::uint64_t>({0, 9}))  // ROUTE, AUDIT
    EXPECT_EQ(socket_answer(AF_NETLINK, protocol), SECCOMP_RET_ERRNO | EAFNOSUPPORT);
  EXPECT_EQ(socket_answer(AF_NETLINK | kHighGarbage, 0), SECCOMP_RET_ERRNO | EAFNOSUPPORT);
  for (const std::uint64_t family :
       std::to_array<std::uint64_t>({AF_PACKET, AF_VSOCK, AF_ALG, AF_BLUETOOTH, AF_KEY, AF_XDP}))
    EXPECT_EQ(socket_answer(family, 0), kRefused) << family;
}

TEST(DefaultSyscallPolicy, RefusesToTypeIntoATerminalWhateverTheHighBits) {
  for (const std::uint64_t request : std::to_array<std::uint64_t>({TIOCSTI, TIOCLINUX})) {
    EXPECT_EQ(answer(default_compiled(), SYS_ioctl, {0, request}), kRefused);
    EXPECT_EQ(answer(default_compiled(), SYS_ioctl, {0, request | kHighGarbage}), kRefused);
  }
  EXPECT_EQ(answer(default_compiled(), SYS_ioctl, {0, TCGETS}), SECCOMP_RET_ALLOW);
}

TEST(DefaultSyscallPolicy, HasNoHugePagesMergedPagesOrCoresOfItsOwn) {
  const auto errno_of = [](int errnum) {
    return SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(errnum);
  };
  constexpr std::uint64_t kPrivate = MAP_PRIVATE | MAP_ANONYMOUS;
  EXPECT_EQ(answer(default_compiled(), SYS_mmap, {0, 0, 0, kPrivate | MAP_HUGETLB}),
            errno_of(ENOMEM));
  EXPECT_EQ(answer(default_compiled(), SYS_mmap, {0, 0, 0, kPrivate}), SECCOMP_RET_ALLOW);
  EXPECT_EQ(answer(default_compiled(), SYS_memfd_create, {0, MFD_HUGETLB}), errno_of(ENOMEM));
  EXPECT_EQ(answer(default_compiled(), SYS_memfd_create, {0, MFD_CLOEXEC}), SECCOMP_RET_ALLOW);
  EXPECT_EQ(answer(default_compiled(), SYS_shmget, {0, 0, SHM_HUGETLB}), errno_of(ENOMEM));
  EXPECT_EQ(answer(default_compiled(), SYS_shmget, {0, 0, IPC_CREAT}), SECCOMP_RET_ALLOW);
  EXPECT_EQ(answer(default_compiled(), SYS_madvise, {0, 0, MADV_MERGEABLE}), errno_of(EINVAL));
  EXPECT_EQ(answer(default_compiled(), SYS_madvise, {0, 0, MADV_DONTNEED}), SECCOMP_RET_ALLOW);
  EXPECT_EQ(answer(default_compiled(), SYS_prctl, {PR_SCHED_CORE | kHighGarbage}),
            errno_of(EINVAL));
  EXPECT_EQ(answer(default_compiled(), SYS_prctl, {PR_SET_NAME}), SECCOMP_RET_ALLOW);
}

TEST(DefaultSyscallPolicy, LoadsBeforeAJobComes) {
  EXPECT_TRUE(default_compiled().loads_before_job);
  EXPECT_FALSE(default_compiled().needs_listener);
}

TEST(DefaultSyscallPolicy, AsksThePoolWhenARefusedCallIsToKill) {
  const CompiledPolicy policy = compiled(default_syscall_policy(SyscallAction::kKill));
  EXPECT_TRUE(policy.needs_listener);
  EXPECT_EQ(answer(policy, SYS_ptrace), SECCOMP_RET_USER_NOTIF);
  EXPECT_EQ(answer(policy, 4, {}, AUDIT_ARCH_I386), SECCOMP_RET_USER_NOTIF);
  EXPECT_EQ(answer(policy, SYS_clone3), kAbsent);
  EXPECT_EQ(answer(policy, SYS_read), SECCOMP_RET_ALLOW);
}

TEST(SyscallPolicyJson, ReadsTheFormOfTheRuntimeSpec) {
  const CompiledPolicy policy = compiled_json(R"({
    "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
    "syscalls": [
      {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 30},
      {"names": ["kill"], "action": "SCMP_ACT_KILL_PROCESS"},
      {"names": ["personality"], "action": "SCMP_ACT_ERRNO",
       "args": [{"index": 0, "value": 8, "valueTwo": 8, "op": "SCMP_CMP_MASKED_EQ"}]}]})");
  EXPECT_EQ(answer(policy, SYS_mkdir), SECCOMP_RET_ERRNO | EROFS);
  EXPECT_EQ(answer(policy, 39, {}, AUDIT_ARCH_I386), SECCOMP_RET_ERRNO | EROFS) << "mkdir of i386";
  EXPECT_EQ(answer(policy, SYS_kill), SECCOMP_RET_USER_NOTIF);
  EXPECT_EQ(answer(policy, SYS_personality, {0x10008}), kRefused);
  EXPECT_EQ(answer(policy, SYS_personality, {0}), SECCOMP_RET_ALLOW);
}

TEST(SyscallPolicyJson, AppliesDockersConditionsForAJobWithoutCapabilities) {
  const CompiledPolicy policy = compiled_json(R"({
    "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1,
    "archMap": [{"architecture": "SCMP_ARCH_X86_64",
                 "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]},
                {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]}],
    "syscalls": [
      {"names": ["read"], "action": "SCMP_ACT_ALLOW", "comment": "plain"},
      {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
      {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errno": "ENOSYS",
       "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
      {"names": ["arch_prctl"], "action": "SCMP_ACT_ALLOW",
       "includes": {"arches": ["amd64", "arm64"]}},
      {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
      {"names": ["bpf"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "99.0"}},
      {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "excludes": {"arches": ["s390"]},
       "args": [{"index": 0, "value": 2114060288, "op": "SCMP_CMP_MASKED_EQ"}]}]})");
  EXPECT_EQ(answer(policy, SYS_read), SECCOMP_RET_ALLOW);
  EXPECT_EQ(answer(policy, SYS_mount), kRefused);
  EXPECT_EQ(answer(policy, SYS_clone3), kAbsent);
  EXPECT_EQ(answer(policy, SYS_arch_prctl), SECCOMP_RET_ALLOW);
  EXPECT_EQ(answer(policy, SYS_ptrace), SECCOMP_RET_ALLOW);
  EXPECT_EQ(answer(policy, SYS_bpf), kRefused);
  EXPECT_EQ(answer(policy, SYS_clone, {CLONE_NEWUSER}), kRefused);
  EXPECT_EQ(answer(policy, SYS_clone, {17}), SECCOMP_RET_ALLOW);
  EXPECT_EQ(answer(policy, 3, {}, AUDIT_ARCH_I386), SECCOMP_RET_ALLOW) << "read of i386";
}

TEST(SyscallPolicyJson, RefusesTheMultiplexerThatWouldHideAFilteredArgument) {
  const std::string rules = R"("syscalls": [{"names": ["socketcall"], "action": "SCMP_ACT_ALLOW"},
      {"names": ["socket"], "action": "SCMP_ACT_ALLOW")";
  const std::string start =
      R"({"defaultAction": "SCMP_ACT_ERRNO",
          "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],)";
  constexpr long kSocketcall = 102;
  const CompiledPolicy free = compiled_json(start + rules + "}]}");
  EXPECT_EQ(answer(free, kSocketcall, {1}, AUDIT_ARCH_I386), SECCOMP_RET_ALLOW);
  const CompiledPolicy filtered = compiled_json(
      start + rules + R"(, "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]}]})");
  EXPECT_EQ(answer(filtered, kSocketcall, {1}, AUDIT_ARCH_I386), kRefused);
}

TEST(SyscallPolicyJson, TellsWhenAFilterMustWaitForTheJob) {
  const CompiledPolicy policy = compiled_json(R"({"defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{"names": ["close"], "action": "SCMP_ACT_ERRNO"}]})");
  EXPECT_FALSE(policy.loads_before_job);
}

TEST(SyscallPolicyJson, NamesFilePathAndRemedyInErrors) {
  const auto with_rule = [](const std::string& rule) {
    return R"({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [)" + rule + "]}";
  };
  const struct {
    std::string json;
    const char* expected;
  } cases[] = {
      {"{", "policy.json"},
      {"[]", "is no object"},
      {"{}", "policy.json: defaultAction"},
      {R"({"defaultAction": "ALLOW"})", "SCMP_ACT_ALLOW"},
      {R"({"defaultAction": "SCMP_ACT_TRACE"})", "that a job can have"},
      {R"({"defaultAction": "SCMP_ACT_NOTIFY"})", "that a job can have"},
      {R"({"defaultAction": "SCMP_ACT_ALLOW", "syscals": []})", "syscals"},
      {R"({"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_LOG"]})", "flags"},
      {R"({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrno": "ENOTHING"})", "ENOTHING"},
      {R"({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 5000})", "defaultErrnoRet"},
      {with_rule(R"({"names": ["read"]})"), "syscalls[0]"},
      {with_rule(R"({"action": "SCMP_ACT_ERRNO"})"), "names no call"},
      {with_rule(R"({"names": [1], "action": "SCMP_ACT_ERRNO"})"), "syscalls[0].names[0]"},
      {with_rule(
           R"({"names": ["read"], "action": "SCMP_ACT_ERRNO",
             "args": [{"index": 6, "value": 1, "op": "SCMP_CMP_EQ"}]})"),
       "syscalls[0].args[0].index"},
      {with_rule(
           R"({"names": ["read"], "action": "SCMP_ACT_ERRNO",
             "args": [{"index": 0, "value": 1, "op": "EQ"}]})"),
       "syscalls[0].args[0].op"},
      {with_rule(
           R"({"names": ["read"], "action": "SCMP_ACT_ERRNO",
             "args": [{"index": 0, "value": -1, "op": "SCMP_CMP_EQ"}]})"),
       "syscalls[0].args[0].value"},
      {with_rule(
           R"({"names": ["read"], "action": "SCMP_ACT_ERRNO",
             "includes": {"minKernel": "new"}})"),
       "syscalls[0].includes.minKernel"},
  };
  for (const auto& test : cases)
    EXPECT_THAT(json_error(test.json), HasSubstr(test.expected)) << test.json;
}

TEST(SyscallPolicyCompiler, RefusesRulesThatContradictEachOther) {
  SyscallPolicy policy{.default_action = SyscallAction::kErrno};
  policy.rules.push_back({.names = {"read"}, .action = SyscallAction::kAllow});
  policy.rules.push_back({.names = {"read"}, .action = SyscallAction::kErrno, .errnum = EIO});
  EXPECT_FALSE(compile_syscall_policy(policy));
}

TEST(SyscallPolicyCompiler, RefusesAnUnknownCallThatWouldBeAllowed) {
  SyscallPolicy policy{.default_action = SyscallAction::kAllow};
  policy.rules.push_back({.names = {"redd"}, .action = SyscallAction::kErrno, .errnum = EPERM});
  EXPECT_FALSE(compile_syscall_policy(policy));
  policy.default_action = SyscallAction::kErrno;
  EXPECT_TRUE(compile_syscall_policy(policy)) << "the default refuses it already";
}

TEST(SyscallPolicyCompiler, RefusesAPolicyWithoutTheNativeArchitecture) {
  EXPECT_FALSE(compile_syscall_policy({.architectures = {"SCMP_ARCH_X86"}}));
  EXPECT_FALSE(compile_syscall_policy({.architectures = {"SCMP_ARCH_VAX"}}));
}

TEST(SyscallNames, CoverForeignAndNewCalls) {
  EXPECT_EQ(syscall_name(AUDIT_ARCH_X86_64, SYS_ptrace), "ptrace");
  EXPECT_EQ(syscall_name(AUDIT_ARCH_I386, 26), "ptrace");
  EXPECT_EQ(syscall_name(AUDIT_ARCH_X86_64, 462), "mseal");
  EXPECT_EQ(syscall_name(AUDIT_ARCH_X86_64, 99999), "unknown");
  EXPECT_EQ(architecture_name(AUDIT_ARCH_I386, 26), "x86");
  EXPECT_EQ(architecture_name(AUDIT_ARCH_X86_64, 26 | 0x4000'0000), "x32");
}

}  // namespace
}  // namespace hatchery
