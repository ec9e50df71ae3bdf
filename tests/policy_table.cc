#include "tests/policy_table.h"

#include <asm/unistd.h>
#include <linux/audit.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <map>
#include <optional>
#include <set>

#include "core/check.h"
#include "workers/raw.h"

namespace hatchery::testing {
namespace {

struct KernelCall {
  const char* name;
  std::uint32_t number;
};

#if defined(__x86_64__)
constexpr std::uint32_t kNativeArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t kNativeArchitecture = AUDIT_ARCH_AARCH64;
#endif
constexpr std::uint32_t kX32Bit = 0x4000'0000;
constexpr std::uint32_t kNumbersMax = 1024;

constexpr KernelCall kNativeCalls[] = {
#include "kernel_calls_64.inc"
    {nullptr, 0}};
constexpr KernelCall kI386Calls[] = {
#include "kernel_calls_32.inc"
    {nullptr, 0}};
constexpr KernelCall kX32Calls[] = {
#include "kernel_calls_x32.inc"
    {nullptr, 0}};

using Names = std::map<std::uint32_t, std::string>;

template <std::size_t size>
Names names_of(const KernelCall (&calls)[size]) {
  Names names;
  for (const KernelCall& call : calls)
    if (call.name != nullptr) names.emplace(call.number, call.name);
  return names;
}

const Names& names_of(Abi abi) {
  static const Names native = names_of(kNativeCalls);
  static const Names x32 = names_of(kX32Calls);
  static const Names i386 = names_of(kI386Calls);
  switch (abi) {
    case Abi::kNative: return native;
    case Abi::kX32: return x32;
    case Abi::kI386: return i386;
  }
  HATCHERY_UNREACHABLE();
}

/// nullopt for what this machine can't be entered by.
std::optional<Abi> abi_of(std::uint32_t architecture, std::uint32_t number) {
  if (architecture == AUDIT_ARCH_I386) return Abi::kI386;
  if (architecture != kNativeArchitecture) return std::nullopt;
  // What is above all x32 calls is none of ours either; but -1 is how the kernel itself marks "no
  // call" (ptrace(2)), on every architecture.
  const bool x32 = architecture == AUDIT_ARCH_X86_64 && number >= kX32Bit && number != UINT32_MAX;
  return x32 ? Abi::kX32 : Abi::kNative;
}

bool is_native(const std::string& oci_name) {
  return oci_name ==
         (kNativeArchitecture == AUDIT_ARCH_X86_64 ? "SCMP_ARCH_X86_64" : "SCMP_ARCH_AARCH64");
}

bool filters(const SyscallPolicy& policy, Abi abi) {
  if (policy.architectures.empty()) return abi == Abi::kNative;
  return std::any_of(policy.architectures.begin(), policy.architectures.end(),
                     [abi](const std::string& name) {
                       switch (abi) {
                         case Abi::kNative: return is_native(name);
                         case Abi::kX32: return name == "SCMP_ARCH_X32";
                         case Abi::kI386: return name == "SCMP_ARCH_X86";
                       }
                       return false;
                     });
}

std::uint32_t answer_of(SyscallAction action, int errnum) {
  switch (action) {
    case SyscallAction::kAllow: return SECCOMP_RET_ALLOW;
    case SyscallAction::kErrno: return SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(errnum);
    case SyscallAction::kKill: return SECCOMP_RET_USER_NOTIF;
    case SyscallAction::kTrap: return SECCOMP_RET_TRAP;
    case SyscallAction::kLog: return SECCOMP_RET_LOG;
  }
  HATCHERY_UNREACHABLE();
}

bool permits(SyscallAction action) {
  return action == SyscallAction::kAllow || action == SyscallAction::kLog;
}

bool holds(const ArgRule& rule, const Call& call) {
  const std::uint64_t arg = call.args.at(rule.index);
  switch (rule.compare) {
    case ArgCompare::kNotEqual: return arg != rule.value;
    case ArgCompare::kLess: return arg < rule.value;
    case ArgCompare::kLessEqual: return arg <= rule.value;
    case ArgCompare::kEqual: return arg == rule.value;
    case ArgCompare::kGreaterEqual: return arg >= rule.value;
    case ArgCompare::kGreater: return arg > rule.value;
    case ArgCompare::kMaskedEqual: return (arg & rule.value) == rule.value_two;
  }
  HATCHERY_UNREACHABLE();
}

bool names(const SyscallRule& rule, const std::string& name) {
  return std::find(rule.names.begin(), rule.names.end(), name) != rule.names.end();
}

/// What the rules tell apart of one argument.
std::set<std::uint64_t> classes_of(const ArgRule& rule, Abi abi) {
  const bool masked = rule.compare == ArgCompare::kMaskedEqual;
  const std::uint64_t value = masked ? rule.value_two : rule.value;
  std::set<std::uint64_t> values = {0, UINT64_MAX, value, value - 1, value + 1};
  if (masked) values.insert({rule.value, ~rule.value, value | ~rule.value});
  for (unsigned bit = 0; bit < 64; ++bit) values.insert(value ^ (1ULL << bit));
  values.insert({value | 0xdead'beef'0000'0000, (value + 1) | 0xdead'beef'0000'0000});
  if (abi != Abi::kI386) return values;
  // `int $0x80` carries 32 bits an argument, and the filter is shown zeros above them.
  std::set<std::uint64_t> low;
  for (const std::uint64_t each : values) low.insert(each & UINT32_MAX);
  return low;
}

using ArgValues = std::map<std::uint32_t, std::set<std::uint64_t>>;

/// Every combination of the values.
std::vector<Call> combinations(const Call& call, const ArgValues& classes) {
  std::vector<Call> combined = {call};
  for (const auto& [index, values] : classes) {
    std::vector<Call> more;
    for (const Call& base : combined)
      for (const std::uint64_t value : values) {
        more.push_back(base);
        more.back().args.at(index) = value;
      }
    combined = std::move(more);
  }
  return combined;
}

void add_argument_classes(const SyscallPolicy& policy, const std::string& name, Abi abi, Call call,
                          std::vector<Call>& calls) {
  constexpr std::size_t kCombinationsMax = 25'000;
  ArgValues classes;
  ArgValues named;  // What the rules name, and all bits clear and set.
  for (const SyscallRule& rule : policy.rules) {
    if (name.empty() || !names(rule, name)) continue;
    for (const ArgRule& arg : rule.args) {
      classes[arg.index].merge(classes_of(arg, abi));
      const bool masked = arg.compare == ArgCompare::kMaskedEqual;
      const std::uint64_t ones = abi == Abi::kI386 ? UINT32_MAX : UINT64_MAX;
      named[arg.index].insert({0, ones, (masked ? arg.value_two : arg.value) & ones});
    }
  }
  std::size_t count = 1;
  for (const auto& [index, values] : classes) count *= values.size();
  std::vector<Call> combined;
  if (count <= kCombinationsMax) {
    combined = combinations(call, classes);
  } else {
    // All classes of one argument, beside all that the rules name for the others: every rule's
    // every condition is the only one that fails in some of them.
    for (const auto& [index, values] : classes) {
      ArgValues one_in_full = named;
      one_in_full[index] = values;
      const std::vector<Call> more = combinations(call, one_in_full);
      combined.insert(combined.end(), more.begin(), more.end());
    }
  }
  calls.insert(calls.end(), combined.begin(), combined.end());
}

}  // namespace

std::string describe(const Call& call) {
  const std::string name = kernel_call_name(call.architecture, call.number);
  std::string text = architecture_name(call.architecture, call.number) + ' ' +
                     (name.empty() ? "no call" : name) + " (" + std::to_string(call.number) + ')';
  char arg[32];
  for (const std::uint64_t value : call.args) {
    std::snprintf(arg, sizeof arg, " %#llx", static_cast<unsigned long long>(value));
    text += arg;
  }
  return text;
}

std::string kernel_call_name(std::uint32_t architecture, std::uint32_t number) {
  const std::optional<Abi> abi = abi_of(architecture, number);
  if (!abi) return {};
  const Names& known = names_of(*abi);
  if (const auto found = known.find(number); found != known.end()) return found->second;
  if (known.empty() || *abi != Abi::kNative || number <= known.rbegin()->first) return {};
  // A kernel newer than its headers here: the policy's own list of new calls has these.
  const std::string name = syscall_name(architecture, number);
  return name == "unknown" ? "" : name;
}

std::uint32_t table_answer(const SyscallPolicy& policy, const Call& call) {
  const std::optional<Abi> abi = abi_of(call.architecture, call.number);
  const std::uint32_t by_default = answer_of(policy.default_action, policy.default_errnum);
  // A foreign call is refused as EPERM, whatever errno the default has.
  if (!abi || !filters(policy, *abi))
    return policy.default_action == SyscallAction::kKill ||
                   policy.default_action == SyscallAction::kTrap
               ? by_default
               : SECCOMP_RET_ERRNO | EPERM;
  const std::string name = kernel_call_name(call.architecture, call.number);
  if (name.empty()) return by_default;
  std::optional<std::uint32_t> answer;
  for (const SyscallRule& rule : policy.rules) {
    const bool applies =
        names(rule, name) && std::all_of(rule.args.begin(), rule.args.end(),
                                         [&](const ArgRule& arg) { return holds(arg, call); });
    if (!applies) continue;
    if (!rule.args.empty() && !permits(rule.action)) return answer_of(rule.action, rule.errnum);
    answer = answer_of(rule.action, rule.errnum);
  }
  return answer.value_or(by_default);
}

std::vector<Call> proof_calls(const SyscallPolicy& policy, Abi abi) {
  std::vector<std::uint32_t> numbers;
  for (std::uint32_t number = 0; number <= kNumbersMax; ++number) numbers.push_back(number);
  for (const std::uint32_t number : {0x3fff'ffffU, 0x7fff'fffeU, 0x8000'0000U, 0x8000'0001U,
                                     0xbfff'ffffU, 0xffff'fffeU, 0xffff'ffffU})
    numbers.push_back(number);
  const std::uint32_t architecture = abi == Abi::kI386 ? AUDIT_ARCH_I386 : kNativeArchitecture;
  const std::uint64_t ones = abi == Abi::kI386 ? UINT32_MAX : UINT64_MAX;
  std::vector<Call> calls;
  for (std::uint32_t number : numbers) {
    if (abi == Abi::kX32) number |= kX32Bit;
    const std::string name = kernel_call_name(architecture, number);
    for (const std::uint64_t rest : {std::uint64_t{0}, ones}) {
      Call call{.architecture = architecture, .number = number};
      call.args.fill(rest);
      add_argument_classes(policy, name, abi, call, calls);
    }
  }
  return calls;
}

}  // namespace hatchery::testing
