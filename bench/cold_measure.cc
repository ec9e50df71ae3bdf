// A cold pool: from nothing to the first job's report, in this process and as `hatchery run`.
#include <sys/wait.h>
#include <unistd.h>

#include "bench/floors.h"
#include "bench/own_files.h"
#include "bench/pool_runner.h"
#include "bench/process_runner.h"
#include "bench/turns.h"
#include "core/fd.h"

namespace hatchery::bench {
namespace {

/// `hatchery run --report -- PROGRAM` until its report's first byte is on standard error.
class RunUntilReport : public Runner {
 public:
  explicit RunUntilReport(const Program& program) : args_(command(program)) {}

  static std::vector<std::string> command(const Program& program) {
    std::vector<std::string> args = {hatchery_command(), "run", "--report", "--"};
    args.insert(args.end(), program.args_inside.begin(), program.args_inside.end());
    return args;
  }

  Result<void> run(unsigned count, std::vector<double>& latency_us) override {
    for (unsigned i = 0; i < count; ++i) HATCHERY_TRY(run_one(latency_us));
    return {};
  }

 private:
  Result<void> run_one(std::vector<double>& latency_us) {
    const Clock::time_point start = Clock::now();
    const Result<Piped> started = spawn_piped(args_, STDERR_FILENO);
    if (!started) return started.error();
    char buffer[4096];
    ssize_t size = ::read(started->output.get(), buffer, sizeof buffer);
    latency_us.push_back(micros(Clock::now() - start));
    const std::string said(buffer, size > 0 ? static_cast<std::size_t>(size) : 0);
    while (size > 0) size = ::read(started->output.get(), buffer, sizeof buffer);
    int status = 0;
    ::waitpid(started->pid, &status, 0);
    if (status == 0) return {};
    return failure("hatchery run", last_of(said));
  }
  static std::string last_of(const std::string& text) { return text.substr(0, text.find('\n')); }

  CStrings args_;
};

/// Pool::create() to the report in hand; the pool's end is not counted.
class CreateAndRun : public Runner {
 public:
  CreateAndRun(Program program, std::string cgroup_parent)
      : program_(std::move(program)), cgroup_parent_(std::move(cgroup_parent)) {}

  Result<void> run(unsigned count, std::vector<double>& latency_us) override {
    for (unsigned i = 0; i < count; ++i) {
      const Clock::time_point start = Clock::now();
      Result<std::unique_ptr<PoolRunner>> pool =
          PoolRunner::create(program_, {.slots = 1, .cgroup_parent = cgroup_parent_});
      if (!pool) return std::move(pool).error();
      std::vector<double> unused;
      HATCHERY_TRY((*pool)->run(1, unused));
      latency_us.push_back(micros(Clock::now() - start));
    }
    return {};
  }

 private:
  Program program_;
  std::string cgroup_parent_;
};

void measure_cold(Bench& bench) {
  const Program program = program_named("dynamic_true");
  std::vector<const Way*> peers;
  for (const Way* way : bench.usable())
    if (way->kind == WayKind::kPeer || way->name == kFloor) peers.push_back(way);
  std::vector<Lane> lanes = make_lanes(bench, "cold", program, 1, peers);
  lanes.push_back({.name = "run_to_report", .runner = std::make_unique<RunUntilReport>(program)});
  lanes.push_back({.name = "run_whole",
                   .runner = std::make_unique<ProcessRunner>(
                       "hatchery run", 1, spawn_start(RunUntilReport::command(program), true))});
  lanes.push_back(
      {.name = "library", .runner = std::make_unique<CreateAndRun>(program, bench.group.path())});
  run_turns(
      bench, lanes,
      bench.quick ? TurnPlan{.rounds = 2, .turn_s = 0.01} : TurnPlan{.rounds = 20, .turn_s = 0.1});
  const Lane* floor = lane_named(lanes, kFloor);
  for (const Lane& lane : lanes) {
    if (lane.trouble) continue;
    Row row{
        .measure = "cold", .program = program.name, .way = lane.name, .jobs = lane.jobs_counted()};
    for (const auto& [name, at] : {std::pair("p50_us", 0.5), std::pair("p95_us", 0.95)}) {
      std::optional<Estimate> ratio;
      if (floor != nullptr && floor != &lane)
        ratio = compare(lane.latency_us, floor->latency_us, quantile_of(at), Comparison::kRatio);
      row.add(name, estimate(lane.latency_us, quantile_of(at)), ratio);
    }
    bench.results.add(std::move(row));
  }
  add_troubles(bench, "cold", program.name, lanes);
}

}  // namespace

void register_cold(Bench& bench) {
  register_measure(bench, "cold", [&bench] { measure_cold(bench); });
}

}  // namespace hatchery::bench
