// A seccomp policy in OCI or Docker JSON: an error, or a policy that compiles or says why not.
#include "core/check.h"
#include "tests/fuzz/fuzz.h"
#include "workers/syscall_policy.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace hatchery;
  const Result<SyscallPolicy> policy = syscall_policy_from_json(fuzz::text_of(data, size), "fuzz");
  if (!policy) {
    HATCHERY_CHECK(!policy.error().message().empty());
    return 0;
  }
  const Result<CompiledPolicy> compiled = compile_syscall_policy(*policy);
  HATCHERY_CHECK(!compiled || !compiled->instructions.empty());
  return 0;
}
