// Runs while Hatchery is built: compiles the built-in policy and writes it as C++ source to the
// file that it is given, so that no pool spends its start on that. Not installed.
#include <cstdint>
#include <fstream>
#include <iostream>
#include <vector>

#include "workers/syscall_policy.h"

namespace {

void write(std::ostream& source, const char* field,
           const std::vector<std::uint64_t>& instructions) {
  source << "    ." << field << " = {" << std::hex << std::showbase;
  for (const std::uint64_t word : instructions) source << word << "U,";
  source << "},\n";
}

}  // namespace

int main(int argc, char** argv) {
  using namespace hatchery;
  const Result<CompiledPolicy> policy =
      compile_syscall_policy(default_syscall_policy(SyscallAction::kErrno));
  if (argc != 2 || !policy) {
    std::clog << (argc == 2 ? policy.error().message() : "give the file to write") << '\n';
    return 1;
  }
  std::ofstream source(argv[1]);
  source << "#include \"workers/syscall_policy.h\"\n"
            "hatchery::CompiledPolicy hatchery::default_compiled_policy() {\n  return {\n";
  write(source, "instructions", policy->instructions);
  write(source, "zygote_filter", policy->zygote_filter);
  write(source, "worker_filter", policy->worker_filter);
  source << std::boolalpha << "    .needs_listener = " << policy->needs_listener
         << ",\n    .loads_before_job = " << policy->loads_before_job << ",\n  };\n}\n";
  return source.flush() ? 0 : 1;
}
