// Latency of a job with one in flight: back to back, and sparse, one each 50 ms, when the caches
// belong to others and the CPU has slept.
#include "bench/floors.h"
#include "bench/pool_runner.h"
#include "bench/turns.h"

namespace hatchery::bench {
namespace {

using StepMember = std::optional<Nanoseconds> StepTimes::*;

struct NamedStep {
  const char* name;
  StepMember member;
};

constexpr NamedStep kSteps[] = {{"queued", &StepTimes::queued},
                                {"placed", &StepTimes::placed},
                                {"handed_over", &StepTimes::handed_over},
                                {"exec_done", &StepTimes::exec_done},
                                {"ended", &StepTimes::ended},
                                {"read", &StepTimes::read},
                                {"reset", &StepTimes::reset}};

constexpr std::pair<const char*, double> kQuantiles[] = {
    {"p50_us", 0.5}, {"p95_us", 0.95}, {"p99_us", 0.99}, {"p999_us", 0.999}};

/// A row for each step; steps of jobs are all of one round: they are compared with nothing.
void add_steps(Bench& bench, const std::string& measure, const std::string& program,
               const std::vector<StepTimes>& all) {
  for (const NamedStep& step : kSteps) {
    std::vector<double> us;
    for (const StepTimes& times : all)
      if (times.*step.member)
        us.push_back(static_cast<double>((times.*step.member)->count()) / 1e3);
    Row row{.measure = measure + "_step", .program = program, .way = step.name, .jobs = us.size()};
    for (const auto& [name, at] : kQuantiles)
      if (const std::optional<double> value = quantile_of(at)(us))
        row.add(name, Estimate{*value, *value, *value});
    bench.results.add(std::move(row));
  }
}

void add_rows(Bench& bench, const std::string& measure, const std::string& program,
              const std::vector<Lane>& lanes) {
  const Lane* floor = lane_named(lanes, kFloor);
  for (const Lane& lane : lanes) {
    if (lane.trouble) continue;
    Row row{.measure = measure, .program = program, .way = lane.name, .jobs = lane.jobs_counted()};
    for (const auto& [name, at] : kQuantiles) {
      std::optional<Estimate> ratio;
      if (floor != nullptr && floor != &lane)
        ratio = compare(lane.latency_us, floor->latency_us, quantile_of(at), Comparison::kRatio);
      row.add(name, estimate(lane.latency_us, quantile_of(at)), ratio);
    }
    add_cpu(row, lane, floor);
    bench.results.add(std::move(row));
  }
}

void measure_program(Bench& bench, const std::string& measure, const Program& program,
                     const std::vector<const Way*>& ways, const TurnPlan& plan) {
  std::vector<Lane> lanes = make_lanes(bench, measure, program, 1, ways);
  // What the target is about gets its samples, enough for a p99.9; the others are there to be seen
  // beside it.
  if (plan.pace_ms != 0 && !bench.quick)
    for (Lane& lane : lanes) {
      const bool all = lane.name == kFloor || lane.name == kAccountedServer || lane.name == "pool";
      lane.stride = all ? 1 : 10;
    }
  run_turns(bench, lanes, plan);
  add_rows(bench, measure, program.name, lanes);
  add_troubles(bench, measure, program.name, lanes);
  for (const Lane& lane : lanes)
    if (const auto* pool = dynamic_cast<const PoolRunner*>(lane.runner.get()))
      add_steps(bench, measure, program.name, pool->steps());
}

/// Those that have a latency of a job; the one without exec only beside the smallest program.
std::vector<const Way*> ways_for(const Bench& bench, const Program& program) {
  std::vector<const Way*> ways;
  for (const Way* way : bench.usable())
    if (!way->whole_command && (!way->without_exec || program.name == "bare_c"))
      ways.push_back(way);
  return ways;
}

}  // namespace

void register_latency(Bench& bench) {
  const TurnPlan plan =
      bench.quick ? TurnPlan{.rounds = 2, .turn_s = 0.01, .jobs_min = 2, .drop_first = true}
                  : TurnPlan{.rounds = 40, .turn_s = 0.08, .jobs_min = 3, .drop_first = true};
  for (const Program& program : all_programs())
    register_measure(bench, "latency/" + program.name, [&bench, program, plan] {
      measure_program(bench, "latency", program, ways_for(bench, program), plan);
    });
}

void register_sparse(Bench& bench) {
  const TurnPlan plan = bench.quick ? TurnPlan{.rounds = 1, .turn_s = 0.1, .pace_ms = 50}
                                    : TurnPlan{.rounds = 110, .turn_s = 0.5, .pace_ms = 50};
  const Program program = program_named("dynamic_true");
  register_measure(bench, "sparse/" + program.name, [&bench, program, plan] {
    measure_program(bench, "sparse", program, ways_for(bench, program), plan);
  });
}

}  // namespace hatchery::bench
