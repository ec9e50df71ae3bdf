// Throughput with 1 to 32 jobs in flight, and the CPU time that a job costs, of all processes and
// on both sides of the sandbox's wall.
#include "bench/floors.h"
#include "bench/turns.h"

namespace hatchery::bench {
namespace {

constexpr unsigned kInFlight[] = {1, 2, 4, 8, 32};

/// Peers with one program: with the others their own cost is the same.
std::vector<const Way*> ways_for(const Bench& bench, const Program& program) {
  std::vector<const Way*> ways;
  for (const Way* way : bench.usable()) {
    const bool peer_here = way->kind != WayKind::kPeer || program.name == "dynamic_true";
    const bool exec_here = !way->without_exec || program.name == "bare_c";
    if (peer_here && exec_here) ways.push_back(way);
  }
  return ways;
}

void measure_throughput(Bench& bench, const Program& program, unsigned in_flight,
                        const TurnPlan& plan) {
  const std::string measure = "throughput";
  std::vector<Lane> lanes =
      make_lanes(bench, measure, program, in_flight, ways_for(bench, program));
  run_turns(bench, lanes, plan);
  const Lane* floor = lane_named(lanes, kFloor);
  for (const Lane& lane : lanes) {
    if (lane.trouble) continue;
    Row row{.measure = measure,
            .program = program.name,
            .way = lane.name,
            .parameters = {{"in_flight", in_flight}},
            .jobs = lane.jobs_counted()};
    std::optional<Estimate> ratio;
    if (floor != nullptr && floor != &lane)
      ratio = compare(lane.jobs_per_s, floor->jobs_per_s, ratio_of_sums(), Comparison::kRatio);
    row.add("jobs_per_s", estimate(lane.jobs_per_s, ratio_of_sums()), ratio);
    add_cpu(row, lane, floor);
    bench.results.add(std::move(row));
  }
  add_troubles(bench, measure, program.name, lanes);
}

}  // namespace

void register_throughput(Bench& bench) {
  for (const Program& program : all_programs()) {
    for (const unsigned in_flight : kInFlight) {
      if (bench.quick && in_flight != 2 && in_flight != 8) continue;
      TurnPlan plan{.rounds = 8, .turn_s = 0.12, .jobs_min = std::max(2U, in_flight)};
      if (bench.quick) plan = {.rounds = 1, .turn_s = 0.002, .jobs_min = in_flight};
      register_measure(bench,
                       "throughput/" + program.name + "/in_flight:" + std::to_string(in_flight),
                       [&bench, program, in_flight, plan] {
                         measure_throughput(bench, program, in_flight, plan);
                       });
    }
  }
}

}  // namespace hatchery::bench
