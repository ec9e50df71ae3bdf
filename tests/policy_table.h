// What a SyscallPolicy answers to a call, read off its rules and nothing else: no libseccomp, no
// BPF. The filter compiled from the same rules is held against it; so is the kernel.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "workers/syscall_policy.h"

namespace hatchery::testing {

struct Call {
  std::uint32_t architecture = 0;  ///< AUDIT_ARCH_*
  std::uint32_t number = 0;        ///< x32 calls carry bit 30.
  std::array<std::uint64_t, 6> args = {};
};

/// For messages: "x86_64 socket (41), arguments 0x1, ...".
std::string describe(const Call& call);

/// By the headers of the kernel; "" for a number that is no call of the architecture.
std::string kernel_call_name(std::uint32_t architecture, std::uint32_t number);

/// SECCOMP_RET_* as seccomp(2) has it. The meaning of the table:
///  - a call of an architecture that the policy does not name is refused;
///  - a rule applies when all of its arguments hold;
///  - a refusal for some arguments is stronger than a rule that allows the call whatever they are;
///  - where no rule applies, the default does.
std::uint32_t table_answer(const SyscallPolicy& policy, const Call& call);

/// The ways by which a process gets into the kernel: they differ in how numbers are read.
enum class Abi : std::uint8_t { kNative, kX32, kI386 };

/// Every number up to 1,024, and some that no kernel will have, with every class of arguments that
/// the policy's rules tell apart: each value of a rule, its neighbours, each of its bits flipped,
/// garbage in the half that an int does not have; of several arguments every combination. What no
/// rule looks at is 0, or all ones.
std::vector<Call> proof_calls(const SyscallPolicy& policy, Abi abi);

}  // namespace hatchery::testing
