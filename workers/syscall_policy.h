// SyscallPolicy: which system calls a job may make, as a value; parsed from OCI JSON or built in,
// and compiled once a profile to BPF. The only place of Hatchery that includes libseccomp is its
// .cc.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace hatchery {

enum class SyscallAction : std::uint8_t {
  kAllow,
  kErrno,  ///< The call fails with `errnum`.
  kKill,   ///< The pool is told number and architecture, and kills the job.
  kTrap,   ///< SIGSYS to the calling thread.
  kLog,    ///< Allowed, and logged by the kernel.
};

enum class ArgCompare : std::uint8_t {
  kNotEqual,
  kLess,
  kLessEqual,
  kEqual,
  kGreaterEqual,
  kGreater,
  kMaskedEqual
};

struct ArgRule {
  std::uint32_t index = 0;  ///< 0 to 5
  ArgCompare compare = ArgCompare::kEqual;
  std::uint64_t value = 0;      ///< The mask for kMaskedEqual.
  std::uint64_t value_two = 0;  ///< What the masked argument must be, for kMaskedEqual.
};

/// All of `args` must hold for the rule to apply.
struct SyscallRule {
  std::vector<std::string> names;
  SyscallAction action = SyscallAction::kAllow;
  int errnum = 0;  ///< For kErrno.
  std::vector<ArgRule> args = {};
};

struct SyscallPolicy {
  SyscallAction default_action = SyscallAction::kErrno;
  int default_errnum = 1;  ///< EPERM
  /// OCI names ("SCMP_ARCH_X86_64"); empty: the native one alone. Calls of any other are refused.
  std::vector<std::string> architectures = {};
  std::vector<SyscallRule> rules = {};
};

/// A filter ready for seccomp(2): an array of 8-byte struct sock_filter.
struct CompiledPolicy {
  std::vector<std::uint64_t> instructions;
  /// The same in two, since loading costs by the instruction: zygote_filter is loaded once, by the
  /// zygote, and inherited by its workers; it allows all that zygote and worker themselves still
  /// call. worker_filter, loaded by each worker, refuses what a job must not call of that. Empty
  /// and all of it where the policy can't be split.
  std::vector<std::uint64_t> zygote_filter = {};
  std::vector<std::uint64_t> worker_filter = {};
  /// True when some action is kKill: the worker must make a listener for the pool.
  bool needs_listener = false;
  /// True when the calls that a parked worker makes after its filter are all allowed whatever their
  /// arguments, so that the filter can be loaded before the job comes. Otherwise it is loaded on
  /// the job's path.
  bool loads_before_job = false;
};

/// The built-in policy for jobs: an allow list. `refused` is the answer to what it refuses.
SyscallPolicy default_syscall_policy(SyscallAction refused);

/// Reads the "linux.seccomp" object of the OCI runtime spec, or Docker's and Podman's profile file
/// form (archMap, includes/excludes with caps, arches, minKernel; a job has no capabilities).
/// Errors name file, path in the JSON, and remedy.
Result<SyscallPolicy> syscall_policy_from_json(std::string_view json, const std::string& file_name);

/// Compiles with libseccomp (binary tree). Errors: a call unknown to this libseccomp in an allow
/// rule is skipped as Docker does, an unknown one in a refusing rule of an allow-by-default policy
/// is an error.
Result<CompiledPolicy> compile_syscall_policy(const SyscallPolicy& policy);

/// The same of default_syscall_policy(SyscallAction::kErrno), compiled when Hatchery was built: a
/// pool's start would take a fifth longer.
CompiledPolicy default_compiled_policy();

/// Name for reports; "unknown" when libseccomp has none. `architecture` is AUDIT_ARCH_*; x32 calls
/// carry bit 30.
std::string syscall_name(std::uint32_t architecture, std::int64_t number);
/// "x86_64", "x86", "x32", "aarch64", or the number in hexadecimal.
std::string architecture_name(std::uint32_t architecture, std::int64_t number);

}  // namespace hatchery
