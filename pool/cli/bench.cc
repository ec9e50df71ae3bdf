// `hatchery bench`: becomes hatchery-bench, a program of its own, so that the command does not
// carry the benchmarks and their library.
#include <memory>

#include "pool/cli/bench_options.h"
#include "pool/cli/common.h"
#include "pool/cli/verbs.h"

namespace hatchery::cli {
namespace {

int bench_verb(const BenchOptions& options) {
  std::vector<std::string> arguments = bench_arguments(options);
  arguments.insert(arguments.begin(), "hatchery-bench");
  std::vector<char*> pointers;
  pointers.reserve(arguments.size() + 1);
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  return become("hatchery-bench", pointers.data(), "build and install with HATCHERY_BENCH=ON");
}

}  // namespace

void add_bench_verb(CLI::App& app, Invocation& invocation) {
  CLI::App* verb = app.add_subcommand("bench", "Measures the pool beside floors and peers");
  const auto options = std::make_shared<BenchOptions>();
  verb->footer(kBenchExamples);
  add_bench_options(*verb, *options);
  verb->callback([options, &invocation] { invocation.exit_status = bench_verb(*options); });
}

}  // namespace hatchery::cli
