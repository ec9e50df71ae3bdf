// The proof of the syscall filter: for every number of every architecture that this machine can be
// entered by, and every class of arguments that the policy tells apart, three give the same answer:
// the policy's table read by itself, the BPF interpreter over the compiled filter, and the kernel
// with that filter loaded, unchanged, in a child.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <signal.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <ostream>

#include "tests/host_features.h"
#include "tests/live_filter.h"
#include "tests/policy_table.h"
#include "workers/bpf_interpreter.h"
#include "workers/syscall_policy.h"

namespace hatchery::testing {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

/// What a job has loaded.
Filters filters_of(const CompiledPolicy& policy) {
  if (policy.zygote_filter.empty()) return {policy.worker_filter};
  return {policy.zygote_filter, policy.worker_filter};
}

/// The strongest answer, which is the least number but for its data (seccomp(2)); of two equal
/// ones the youngest filter's.
std::uint32_t interpreted(const Filters& filters, const Call& call) {
  seccomp_data data{};
  data.nr = static_cast<int>(call.number);
  data.arch = call.architecture;
  std::copy(call.args.begin(), call.args.end(), data.args);
  std::uint32_t strongest = SECCOMP_RET_ALLOW;
  for (auto filter = filters.rbegin(); filter != filters.rend(); ++filter) {
    const std::uint32_t answer = run_filter(*filter, data);
    const auto strength = [](std::uint32_t of) {
      return static_cast<std::int32_t>(of & SECCOMP_RET_ACTION_FULL);
    };
    if (strength(answer) < strength(strongest)) strongest = answer;
  }
  return strongest;
}

bool is_errno(std::uint32_t answer) { return (answer & SECCOMP_RET_ACTION) == SECCOMP_RET_ERRNO; }

class Proof {
 public:
  Proof(const SyscallPolicy& policy, Abi abi) : policy_(policy), calls_(proof_calls(policy, abi)) {
    Result<CompiledPolicy> compiled = compile_syscall_policy(policy);
    EXPECT_TRUE(compiled) << compiled.error().message();
    if (compiled) filter_ = *std::move(compiled);
    for (const Call& call : calls_) expected_.push_back(table_answer(policy_, call));
  }

  /// Table and interpreter. True when they agree everywhere: only then is the kernel asked, which
  /// must not be given a call to make that the table would refuse.
  bool interpreter_agrees() const {
    for (std::size_t i = 0; i < calls_.size(); ++i)
      if (!same(i, interpreted({filter_.instructions}, calls_[i]), "interpreter, whole") ||
          !same(i, interpreted(filters_of(filter_), calls_[i]), "interpreter"))
        return false;
    return true;
  }
  void kernel_agrees() const {
    std::vector<std::size_t> indices;
    std::vector<Call> filtered;
    for (std::size_t i = 0; i < calls_.size(); ++i) {
      if (passes_every_filter(calls_[i])) continue;
      indices.push_back(i);
      filtered.push_back(calls_[i]);
    }
    std::vector<std::uint32_t> live;
    ASSERT_EQ(live_policy(filters_of(filter_), filter_.needs_listener, filtered, live), "");
    for (std::size_t i = 0; i < filtered.size(); ++i)
      if (!same(indices[i], live[i], "kernel")) return;
  }
  /// Without a floor the kernel may answer from its cache of calls that a filter always allows
  /// (since 5.11), which a floor keeps empty. No refused call may be in it.
  void kernel_refuses_alone() const {
    std::vector<Call> refused;
    std::vector<std::uint32_t> expected;
    for (std::size_t i = 0; i < calls_.size(); ++i) {
      if (expected_[i] == SECCOMP_RET_ALLOW || passes_every_filter(calls_[i])) continue;
      refused.push_back(calls_[i]);
      expected.push_back(expected_[i]);
    }
    std::vector<LiveAnswer> live;
    ASSERT_EQ(
        live_answers(filters_of(filter_), filter_.needs_listener, Floor::kNone, refused, live), "");
    for (std::size_t i = 0; i < refused.size(); ++i) {
      if (is_errno(expected[i])) {
        ASSERT_EQ(live[i].result, -static_cast<std::int64_t>(expected[i] & SECCOMP_RET_DATA))
            << describe(refused[i]);
      } else {
        ASSERT_TRUE(live[i].notified) << describe(refused[i]);
      }
    }
  }
  std::map<std::uint32_t, std::size_t> answers() const {
    std::map<std::uint32_t, std::size_t> count;
    for (const std::uint32_t answer : expected_) ++count[answer];
    return count;
  }

 private:
  bool same(std::size_t i, std::uint32_t answer, const char* who) const {
    EXPECT_EQ(answer, expected_[i]) << who << ", " << describe(calls_[i]);
    return answer == expected_[i];
  }

  SyscallPolicy policy_;
  std::vector<Call> calls_;
  CompiledPolicy filter_;
  std::vector<std::uint32_t> expected_;
};

struct Case {
  std::string name;
  SyscallPolicy policy;
  Abi abi;
  std::vector<const char*> features;  ///< What asking the kernel needs beside seccomp.
};

void PrintTo(const Case& tested, std::ostream* out) { *out << tested.name; }

/// The control of the refusals of i386 and x32: here some of their calls are allowed, so that it is
/// the policy that refuses them, and not a kernel without them.
SyscallPolicy three_architectures() {
  SyscallPolicy policy{.default_action = SyscallAction::kErrno, .default_errnum = EPERM};
  policy.architectures = {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"};
  policy.rules.push_back({.names = {"read", "write", "close", "getpid", "brk", "kill", "exit",
                                    "execve", "ptrace", "mmap2", "lseek", "seccomp"}});
  policy.rules.push_back(
      {.names = {"reboot", "mount"}, .action = SyscallAction::kErrno, .errnum = ENOSYS});
  policy.rules.push_back(
      {.names = {"personality"},
       .args = {{.index = 0, .compare = ArgCompare::kMaskedEqual, .value = 0xff, .value_two = 8}}});
  return policy;
}

/// Every comparison that a policy can make, on calls that take two arguments into account.
SyscallPolicy every_comparison() {
  SyscallPolicy policy{.default_action = SyscallAction::kErrno, .default_errnum = EACCES};
  policy.rules.push_back({.names = {"seccomp", "mprotect"}});
  const auto allow = [&](const char* name, std::vector<ArgRule> args) {
    policy.rules.push_back({.names = {name}, .args = std::move(args)});
  };
  constexpr std::uint64_t kWide = 0x1'8000'0001;
  allow("read", {{0, ArgCompare::kNotEqual, kWide}});
  allow("write", {{1, ArgCompare::kLess, kWide}, {2, ArgCompare::kGreaterEqual, 7}});
  allow("open", {{2, ArgCompare::kLessEqual, kWide}});
  allow("close", {{0, ArgCompare::kEqual, kWide}});
  allow("stat", {{5, ArgCompare::kGreaterEqual, kWide}});
  allow("fstat", {{4, ArgCompare::kGreater, kWide}, {0, ArgCompare::kNotEqual, 3}});
  allow("lstat", {{0, ArgCompare::kMaskedEqual, 0xf0'0000'00f0, 0x10'0000'0010}});
  policy.rules.push_back({.names = {"mprotect"},
                          .action = SyscallAction::kErrno,
                          .errnum = EBUSY,
                          .args = {{2, ArgCompare::kMaskedEqual, 4, 4}}});
  return policy;
}

std::vector<Case> cases() {
  const SyscallPolicy refusing = default_syscall_policy(SyscallAction::kErrno);
  const SyscallPolicy killing = default_syscall_policy(SyscallAction::kKill);
  std::vector<Case> all = {{"NativeRefused", refusing, Abi::kNative, {}},
                           {"NativeKilled", killing, Abi::kNative, {"seccomp_notify"}},
                           {"NativeEveryComparison", every_comparison(), Abi::kNative, {}}};
#if defined(__x86_64__)
  // A kernel without x32 looks at the number only after the filter has: it needs no feature.
  all.push_back({"X32Refused", refusing, Abi::kX32, {}});
  all.push_back({"X32Killed", killing, Abi::kX32, {"seccomp_notify"}});
  all.push_back({"X32Allowed", three_architectures(), Abi::kX32, {}});
  all.push_back({"I386Refused", refusing, Abi::kI386, {"ia32"}});
  all.push_back({"I386Killed", killing, Abi::kI386, {"ia32", "seccomp_notify"}});
  all.push_back({"I386Allowed", three_architectures(), Abi::kI386, {"ia32"}});
  all.push_back({"NativeBesideOthers", three_architectures(), Abi::kNative, {}});
#endif
  return all;
}

class SyscallProof : public ::testing::TestWithParam<Case> {};

TEST_P(SyscallProof, TableInterpreterAndKernelGiveEveryCallTheSameAnswer) {
  const Proof proof(GetParam().policy, GetParam().abi);
  ASSERT_TRUE(proof.interpreter_agrees());
  for (const char* feature : {"root", "seccomp"}) HATCHERY_REQUIRE_FEATURE(feature);
  for (const char* feature : GetParam().features) HATCHERY_REQUIRE_FEATURE(feature);
  proof.kernel_agrees();
  proof.kernel_refuses_alone();
  std::string counted;
  for (const auto& [answer, count] : proof.answers()) {
    char text[64];
    std::snprintf(text, sizeof text, "%s%#010x: %zu", counted.empty() ? "" : ", ", answer, count);
    counted += text;
  }
  RecordProperty("answers", counted);
}

INSTANTIATE_TEST_SUITE_P(Policies, SyscallProof, ::testing::ValuesIn(cases()),
                         [](const auto& tested) { return tested.param.name; });

TEST(SyscallProofControl, AFilterWithOneAnswerChangedIsFoundOutByTheKernel) {
  for (const char* feature : {"root", "seccomp"}) HATCHERY_REQUIRE_FEATURE(feature);
  const SyscallPolicy policy = default_syscall_policy(SyscallAction::kErrno);
  SyscallPolicy changed = policy;
  changed.rules.push_back({.names = {"ptrace"}});
  const Result<CompiledPolicy> filter = compile_syscall_policy(changed);
  ASSERT_TRUE(filter);
  std::vector<Call> calls = proof_calls(policy, Abi::kNative);
  std::erase_if(calls, passes_every_filter);
  std::vector<std::uint32_t> live;
  ASSERT_EQ(live_policy(filters_of(*filter), false, calls, live), "");
  std::size_t differ = 0;
  for (std::size_t i = 0; i < calls.size(); ++i) {
    if (live[i] == table_answer(policy, calls[i])) continue;
    ++differ;
    EXPECT_EQ(kernel_call_name(calls[i].architecture, calls[i].number), "ptrace");
  }
  EXPECT_EQ(differ, 2U) << "once with no argument set, once with all";
}

TEST(SyscallProofControl, ACallThatNoFilterIsAskedAboutDoesNothing) {
  for (const char* feature : {"root", "seccomp"}) HATCHERY_REQUIRE_FEATURE(feature);
  const SyscallPolicy policy = default_syscall_policy(SyscallAction::kErrno);
  const Result<CompiledPolicy> filter = compile_syscall_policy(policy);
  ASSERT_TRUE(filter);
  for (const Call& call : proof_calls(policy, Abi::kNative)) {
    if (!passes_every_filter(call)) continue;
    EXPECT_EQ(interpreted(filters_of(*filter), call), SECCOMP_RET_ERRNO | EPERM) << describe(call);
    std::vector<LiveAnswer> live;
    const Call calls[] = {call};
    const std::string error = live_answers(filters_of(*filter), false, Floor::kErrno, calls, live);
    // An older kernel has no such call, and asks the filter: EPERM.
    if (error.empty()) {
      EXPECT_THAT(live[0].result, AnyOf(-EPERM, -ENXIO)) << describe(call);
    } else {
      EXPECT_THAT(error, HasSubstr("wait status " + std::to_string(SIGILL))) << describe(call);
    }
  }
}

TEST(SyscallProofControl, ACallThatTheFilterAllowsIsMadeWhenNothingLiesBelowIt) {
  for (const char* feature : {"root", "seccomp"}) HATCHERY_REQUIRE_FEATURE(feature);
  const Result<CompiledPolicy> filter =
      compile_syscall_policy(default_syscall_policy(SyscallAction::kErrno));
  ASSERT_TRUE(filter);
  const Call call = proof_calls({}, Abi::kNative).front();
  std::vector<LiveAnswer> live;
  const Call calls[] = {{.architecture = call.architecture, .number = SYS_getuid}};
  ASSERT_EQ(live_answers(filters_of(*filter), false, Floor::kNone, calls, live), "");
  EXPECT_EQ(live[0].result, 65534);
  ASSERT_EQ(live_answers(filters_of(*filter), false, Floor::kErrno, calls, live), "");
  EXPECT_EQ(live[0].result, -kFloorErrno);
}

TEST(SyscallProofControl, NumbersOfTheKernelsHeadersAreThoseThatReportsName) {
  for (const Call& call : proof_calls({}, Abi::kNative)) {
    const std::string ours = kernel_call_name(call.architecture, call.number);
    const std::string theirs = syscall_name(call.architecture, call.number);
    if (ours.empty() || theirs == "unknown") continue;  // Newer than the one or the other.
    EXPECT_EQ(ours, theirs) << call.number;
  }
}

}  // namespace
}  // namespace hatchery::testing
