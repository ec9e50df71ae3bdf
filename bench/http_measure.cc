// What HTTP adds: a job through `hatchery serve` beside the same job through the library, both with
// collected outputs, with one in flight, with all cores busy, and at sparse arrival, when every
// wake-up is of a CPU that has gone idle; and a request that runs nothing.
#include "bench/pool_runner.h"
#include "bench/run_client.h"
#include "bench/server_runner.h"
#include "bench/turns.h"

namespace hatchery::bench {
namespace {

constexpr unsigned kBusy = 8;
constexpr unsigned kPaceMs = 5;

/// What the client's request says, as the library has it.
void collect_outputs(JobSpec& job) {
  job.fds[0] = BytesStream{""};
  for (const auto& [fd, name] : {std::pair{1, "stdout"}, std::pair{2, "stderr"}})
    job.fds[fd] =
        FileCollectorStream{.path = name, .bytes_max = kCollectedBytesMax, .named = false};
}

Way library_way(const std::string& cgroup_parent) {
  return Way{.name = "library",
             .kind = WayKind::kPool,
             .what = "libhatchery in this process, both outputs collected",
             .make = [cgroup_parent](const Program& program,
                                     unsigned in_flight) -> Result<std::unique_ptr<Runner>> {
               Result<std::unique_ptr<PoolRunner>> runner =
                   PoolRunner::create(program, {.in_flight = in_flight,
                                                .cgroup_parent = cgroup_parent,
                                                .change_job = collect_outputs});
               if (!runner) return std::move(runner).error();
               return std::unique_ptr<Runner>(*std::move(runner));
             }};
}

void measure(Bench& bench, const std::string& name, unsigned in_flight, const TurnPlan& plan) {
  const Program program = program_named("dynamic_true");
  const Way library = library_way(bench.group.path());
  const Way server = server_way(bench.group.path());
  const Way unix_server = unix_server_way(bench.group.path());
  const Way request = request_way(bench.group.path());
  std::vector<Lane> lanes =
      make_lanes(bench, name, program, in_flight, {&library, &server, &unix_server, &request});
  run_turns(bench, lanes, plan);
  const Lane* base = lane_named(lanes, library.name);
  for (const Lane& lane : lanes) {
    if (lane.trouble) continue;
    const bool compared = base != nullptr && &lane != base && lane.name != request.name;
    Row row{.measure = name,
            .program = program.name,
            .way = lane.name,
            .parameters = {{"in_flight", in_flight}},
            .jobs = lane.jobs_counted()};
    std::optional<Estimate> ratio;
    if (compared)
      ratio = compare(lane.jobs_per_s, base->jobs_per_s, ratio_of_sums(), Comparison::kRatio);
    row.add("jobs_per_s", estimate(lane.jobs_per_s, ratio_of_sums()), ratio);
    for (const auto& [quantile, at] : {std::pair{"p50", 0.5}, std::pair{"p99", 0.99}}) {
      const std::string figure = quantile;
      row.add(figure + "_us", estimate(lane.latency_us, quantile_of(at)));
      if (compared)
        row.add(figure + "_more_us", compare(lane.latency_us, base->latency_us, quantile_of(at),
                                             Comparison::kDifference));
    }
    add_cpu(row, lane, compared ? base : nullptr);
    bench.results.add(std::move(row));
  }
  add_troubles(bench, name, program.name, lanes);
}

}  // namespace

void register_http(Bench& bench) {
  for (const unsigned in_flight : {1U, kBusy}) {
    TurnPlan plan{.rounds = 30, .turn_s = 0.12, .jobs_min = in_flight, .drop_first = true};
    if (bench.quick) plan = {.rounds = 2, .turn_s = 0.005, .jobs_min = std::max(3U, in_flight)};
    register_measure(bench, "http/in_flight:" + std::to_string(in_flight),
                     [&bench, in_flight, plan] { measure(bench, "http", in_flight, plan); });
  }
  const TurnPlan sparse = bench.quick ? TurnPlan{.turn_s = 0.05, .pace_ms = kPaceMs}
                                      : TurnPlan{.rounds = 30, .turn_s = 0.3, .pace_ms = kPaceMs};
  register_measure(bench, "http_sparse",
                   [&bench, sparse] { measure(bench, "http_sparse", 1, sparse); });
}

}  // namespace hatchery::bench
