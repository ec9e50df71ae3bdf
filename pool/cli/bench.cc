// `hatchery bench`: becomes hatchery-bench, a program of its own, so that the command does not
// carry the benchmarks and their library.
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <memory>

#include "pool/cli/bench_options.h"
#include "pool/cli/common.h"
#include "pool/cli/exit_status.h"
#include "pool/cli/verbs.h"

namespace hatchery::cli {
namespace {

/// Beside the running program in a build, in libexec where it was installed; "" when in neither.
std::string bench_program() {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::path here = fs::read_symlink("/proc/self/exe", error).parent_path();
  for (const fs::path& path :
       {here / "hatchery-bench", here / "../libexec/hatchery/hatchery-bench"})
    if (::access(path.c_str(), X_OK) == 0) return path.lexically_normal();
  return {};
}

int bench_verb(const BenchOptions& options) {
  const std::string program = bench_program();
  if (program.empty()) {
    print_error(
        "hatchery-bench is neither beside this program nor in ../libexec/hatchery; build and "
        "install with HATCHERY_BENCH=ON");
    return kExitHost;
  }
  std::vector<std::string> arguments = bench_arguments(options);
  arguments.insert(arguments.begin(), program);
  std::vector<char*> pointers;
  pointers.reserve(arguments.size() + 1);
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  ::execv(program.c_str(), pointers.data());
  print_error(errno_error(Step::kNone, program, errno, "build target hatchery-bench again"));
  return kExitHost;
}

}  // namespace

void add_bench_verb(CLI::App& app, int& exit_status) {
  CLI::App* verb = app.add_subcommand("bench", "Measures the pool beside floors and peers");
  const auto options = std::make_shared<BenchOptions>();
  verb->footer(kBenchExamples);
  add_bench_options(*verb, *options);
  verb->callback([options, &exit_status] { exit_status = bench_verb(*options); });
}

}  // namespace hatchery::cli
