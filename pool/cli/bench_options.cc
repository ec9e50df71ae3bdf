#include "pool/cli/bench_options.h"

namespace hatchery::cli {

const char* const kBenchExamples =
    "Ways that can't run on this host, or are not there, are listed with the reason. bubblewrap,\n"
    "runc, crun, firejail and what draws the pictures come with deploy/install-packages bench.\n"
    "Peers that Debian 12 does not ship are used when they are in PATH, or by --peer:\n"
    "  --peer nsjail=PATH --peer isolate=PATH --peer minijail0=PATH\n"
    "  --peer go-judge=PATH (a server is started), --peer go-judge=http://HOST:PORT\n"
    "\n"
    "Examples:\n"
    "  hatchery bench --page bench-page              # all; the README's table and pictures\n"
    "  hatchery bench --quick                        # does everything run?\n"
    "  hatchery bench --only 'latency/dynamic_true' --json latency.json";

void add_bench_options(CLI::App& app, BenchOptions& options) {
  app.add_flag("--quick", options.quick, "Little of each: shows that it runs, not how fast");
  app.add_option("--only", options.only, "Only measures whose name this regular expression matches")
      ->type_name("PATTERN");
  app.add_flag("--list", options.list, "Prints the names of the measures, and measures nothing");
  app.add_option("--json", options.json_path, "Writes all figures, with machine and versions")
      ->type_name("FILE");
  app.add_option("--page", options.page_directory,
                 "Makes DIR/index.html, the pictures as SVG and PNG, README's table and the JSON")
      ->type_name("DIR");
  app.add_option("--peer", options.peers, "Where a peer is; may be given again")
      ->type_name("NAME=PATH")
      ->allow_extra_args(false);
}

std::vector<std::string> bench_arguments(const BenchOptions& options) {
  std::vector<std::string> arguments;
  if (options.quick) arguments.emplace_back("--quick");
  if (options.list) arguments.emplace_back("--list");
  // In one word, so that a value may start with a dash.
  if (!options.only.empty()) arguments.push_back("--only=" + options.only);
  if (!options.json_path.empty()) arguments.push_back("--json=" + options.json_path);
  if (!options.page_directory.empty()) arguments.push_back("--page=" + options.page_directory);
  for (const std::string& peer : options.peers) arguments.push_back("--peer=" + peer);
  return arguments;
}

}  // namespace hatchery::cli
