// hatchery-bench, the program behind `hatchery bench`: the pool beside floors and peers, in one
// run.
//
//   latency/PROGRAM               one in flight: p50 to p99.9, by posix_spawn's of the same run
//   sparse/PROGRAM                one job each 50 ms
//   throughput/PROGRAM/in_flight  jobs a second, and CPU time of a job on both sides of the wall
//   slots/N                       set-up and memory of an idle slot, latency beside so many
//   cold                          from nothing to the first report
//   protections/pool, /kernel     what each protection costs
//   queue/N, data/N               with N jobs waiting; with N bytes in and out
//   http/in_flight                a job through `hatchery serve` beside one through the library
//   http_sparse                   the same, one each 5 ms
//
// Google Benchmark selects and runs the measures, and with --benchmark_out writes their counters;
// --json has all figures with their intervals.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <thread>

#include "bench/bench.h"
#include "bench/floors.h"
#include "bench/machine.h"
#include "bench/own_files.h"
#include "bench/peers.h"
#include "bench/pool_runner.h"
#include "bench/process_runner.h"
#include "bench/server_runner.h"
#include "bench/targets.h"
#include "pool/cli/bench_options.h"
#include "pool/cli/exit_status.h"

namespace hatchery::bench {
namespace {

using cli::BenchOptions;

int complain(const std::string& message) {
  std::fprintf(stderr, "hatchery: %s\n", message.c_str());
  return cli::kExitUsage;
}

/// The tables are our own: what Google Benchmark prints of one line a measure is not for reading.
class OnlyErrors : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context&) override { return true; }
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs)
      if (run.error_occurred)
        std::fprintf(stderr, "%s: %s\n", run.benchmark_name().c_str(), run.error_message.c_str());
  }
};

Result<PeerPlaces> peer_places(const std::vector<std::string>& options) {
  PeerPlaces places;
  const std::vector<std::string> known = peer_names();
  for (const std::string& option : options) {
    const std::size_t equals = option.find('=');
    const std::string name = option.substr(0, equals);
    if (equals == std::string::npos || std::find(known.begin(), known.end(), name) == known.end()) {
      std::string names;
      for (const std::string& one : known) names += (names.empty() ? "" : ", ") + one;
      return failure("--peer " + option, "is not NAME=PATH of a peer", "give one of " + names);
    }
    places[name] = option.substr(equals + 1);
  }
  return places;
}

void append(std::vector<Way>& ways, std::vector<Way> more) {
  std::move(more.begin(), more.end(), std::back_inserter(ways));
}

void register_all(Bench& bench) {
  register_latency(bench);
  register_sparse(bench);
  register_throughput(bench);
  register_slots(bench);
  register_cold(bench);
  register_pool_protections(bench);
  register_kernel_protections(bench);
  register_queue(bench);
  register_data(bench);
  register_http(bench);
}

/// Draws with what Debian ships for it, in a process of its own.
int make_page(const std::string& json_path, const std::string& directory) {
  const Ran ran = run_command({"/usr/bin/python3", page_script(), json_path, directory});
  std::fputs(ran.output.c_str(), ran.status == 0 ? stdout : stderr);
  if (ran.status == 0) return cli::kExitSuccess;
  std::fprintf(
      stderr,
      "hatchery: the page was not made; run deploy/install-packages bench, then\n  %s %s %s\n",
      page_script().c_str(), json_path.c_str(), directory.c_str());
  return cli::kExitFileError;
}

int write_results(const Bench& bench, const BenchOptions& options,
                  const boost::json::object& machine, const std::vector<Target>& targets) {
  const std::string text =
      boost::json::serialize(bench.results.json(machine, bench.ways, targets)) + "\n";
  std::vector<std::string> paths;
  if (!options.json_path.empty()) paths.push_back(options.json_path);
  if (!options.page_directory.empty()) {
    std::error_code error;
    std::filesystem::create_directories(options.page_directory, error);
    paths.push_back(options.page_directory + "/bench.json");
  }
  for (const std::string& path : paths) {
    if (write_file(path, text)) continue;
    complain(path + ": can't be written: " + errno_name(errno));
    return cli::kExitFileError;
  }
  if (options.page_directory.empty()) return cli::kExitSuccess;
  return make_page(paths.back(), options.page_directory);
}

int measure(Bench& bench, const BenchOptions& options, int argc, char** argv) {
  register_all(bench);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return cli::kExitUsage;
  if (bench.names.empty())
    return complain("--only " + options.only + ": no measure has such a name; see --list");
  if (options.list) {
    for (const std::string& name : bench.names) std::printf("%s\n", name.c_str());
    return cli::kExitSuccess;
  }
  OnlyErrors reporter;
  const Result<PeerPlaces> places = peer_places(options.peers);
  if (!places) return complain(error_text(places.error()));
  append(bench.ways, floors(bench.group.path()));
  append(bench.ways, pool_ways(bench.group.path()));
  bench.ways.push_back(server_way(bench.group.path()));
  append(bench.ways, peers(*places));
  std::fputs(ways_text(bench.ways).c_str(), stdout);
  std::fflush(stdout);
  boost::json::object machine = machine_facts(bench.group);
  machine["load_before"] = load_average();
  machine["quick"] = options.quick;
  const auto start = std::chrono::steady_clock::now();
  benchmark::RunSpecifiedBenchmarks(&reporter);
  machine["load_after"] = load_average();
  machine["seconds"] =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const std::vector<Target> targets =
      targets_of(bench.results, std::max(std::thread::hardware_concurrency(), 1U));
  // A quick run shows that everything runs; it has too few samples to judge by.
  if (!options.quick) std::fputs(targets_text(targets).c_str(), stdout);
  return write_results(bench, options, machine, targets);
}

int run(int argc, char** argv) {
  CLI::App app("Measures the pool beside floors and peers.", "hatchery-bench");
  BenchOptions options;
  cli::add_bench_options(app, options);
  app.footer(cli::kBenchExamples);
  app.allow_extras();  // --benchmark_…
  CLI11_PARSE(app, argc, argv);
  std::vector<std::string> arguments = {argv[0]};
  for (const std::string& extra : app.remaining()) arguments.push_back(extra);
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  const int count = static_cast<int>(pointers.size());
  pointers.push_back(nullptr);
  // Thousands of slots have thousands of descriptors: what the host allows, so the pool does too.
  rlimit files = {};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  Bench bench{.quick = options.quick};
  try {
    bench.only = std::regex(options.only, std::regex::extended);
  } catch (const std::regex_error& error) {
    return complain("--only " + options.only + ": is no regular expression: " + error.what());
  }
  return measure(bench, options, count, pointers.data());
}

}  // namespace
}  // namespace hatchery::bench

int main(int argc, char** argv) { return hatchery::bench::run(argc, argv); }
