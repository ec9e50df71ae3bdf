#include "bench/turns.h"

#include <time.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "bench/process_runner.h"

namespace hatchery::bench {
namespace {

/// So many jobs at once at least while the turn's length is looked for.
constexpr unsigned kProbeGrowth = 4;
/// A whole command's turn is longer by this, and comes less often by as much.
constexpr double kWholeCommandTurns = 6;

double seconds(Clock::duration time) { return std::chrono::duration<double>(time).count(); }

void fail_lane(Lane& lane, Error error) { lane.trouble = std::move(error); }

double cpu_us_of_this_thread() {
  timespec used = {};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return static_cast<double>(used.tv_sec) * 1e6 + static_cast<double>(used.tv_nsec) / 1e3;
}

/// Leaves nothing of a job in the caches, as a host's other work would, and returns the CPU time
/// that it took.
double empty_caches() {
  constexpr std::size_t kLine = 64;
  static std::vector<char> others(std::size_t{64} << 20);
  const double before_us = cpu_us_of_this_thread();
  for (std::size_t at = 0; at < others.size(); at += kLine) ++others[at];
  return cpu_us_of_this_thread() - before_us;
}

/// One job each `pace_ms`, by the clock and not after the last: a slow job does not make the load
/// less. Adds to `own_us` the CPU time that is neither the job's nor its way's.
Result<void> run_paced(Lane& lane, unsigned pace_ms, std::vector<double>& latency_us,
                       double& own_us) {
  timespec due = {};
  ::clock_gettime(CLOCK_MONOTONIC, &due);
  for (unsigned i = 0; i < lane.jobs; ++i) {
    due.tv_nsec += static_cast<long>(pace_ms) * 1'000'000;
    due.tv_sec += due.tv_nsec / 1'000'000'000;
    due.tv_nsec %= 1'000'000'000;
    own_us += empty_caches();
    ::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, nullptr);
    HATCHERY_TRY(lane.runner->run(1, latency_us));
  }
  return {};
}

void calibrate(Lane& lane, const TurnPlan& plan) {
  const double turn_s = plan.turn_s * (lane.whole_command ? kWholeCommandTurns : 1);
  if (plan.pace_ms != 0) {
    lane.jobs = std::max(plan.jobs_min, static_cast<unsigned>(turn_s * 1e3 / plan.pace_ms));
    return;
  }
  for (unsigned jobs = plan.jobs_min;; jobs *= kProbeGrowth) {
    std::vector<double> unused;
    const Clock::time_point start = Clock::now();
    if (Result<void> ran = lane.runner->run(jobs, unused); !ran) {
      fail_lane(lane, std::move(ran).error());
      return;
    }
    const double took_s = seconds(Clock::now() - start);
    if (took_s < turn_s / 4) continue;
    const double wanted = std::floor(jobs * turn_s / took_s);
    lane.jobs = std::max(plan.jobs_min, static_cast<unsigned>(wanted));
    const double takes_s = took_s * lane.jobs / jobs;
    lane.stride = static_cast<unsigned>(
        std::clamp(std::round(takes_s / plan.turn_s), 1.0, std::max(1.0, plan.rounds / 2.0)));
    return;
  }
}

void take_turn(Bench& bench, Lane& lane, const TurnPlan& plan) {
  std::vector<double> latency_us;
  const CpuReading before = read_cpu(bench.group);
  const Clock::time_point start = Clock::now();
  double own_us = 0;
  Result<void> ran = plan.pace_ms != 0 ? run_paced(lane, plan.pace_ms, latency_us, own_us)
                                       : lane.runner->run(lane.jobs, latency_us);
  const double took_s = seconds(Clock::now() - start);
  const CpuReading after = read_cpu(bench.group);
  if (!ran) {
    fail_lane(lane, std::move(ran).error());
    return;
  }
  if (plan.drop_first && !latency_us.empty()) latency_us.erase(latency_us.begin());
  const double jobs = lane.jobs;
  lane.latency_us.back() = std::move(latency_us);
  lane.jobs_per_s.back() = {jobs, took_s};
  if (before.group_us && after.group_us)
    lane.group_cpu_us.back() = {*after.group_us - *before.group_us - own_us, jobs};
  lane.machine_cpu_us.back() = {after.machine_us - before.machine_us - own_us, jobs};
  lane.threads_cpu_us.back() = {after.threads_us - before.threads_us, jobs};
}

void open_round(Lane& lane) {
  for (Rounds* rounds : {&lane.latency_us, &lane.jobs_per_s, &lane.group_cpu_us,
                         &lane.machine_cpu_us, &lane.threads_cpu_us})
    rounds->emplace_back();
}

}  // namespace

std::size_t Lane::jobs_counted() const {
  double counted = 0;
  for (const std::vector<double>& round : jobs_per_s)
    if (!round.empty()) counted += round[0];
  return static_cast<std::size_t>(counted);
}

std::vector<Lane> make_lanes(Bench& bench, const std::string& measure, const Program& program,
                             unsigned in_flight, const std::vector<const Way*>& ways) {
  std::vector<Lane> lanes;
  for (const Way* way : ways) {
    Result<std::unique_ptr<Runner>> runner = way->make(program, in_flight);
    if (runner)
      lanes.push_back(
          {.name = way->name, .runner = *std::move(runner), .whole_command = way->whole_command});
    else
      bench.results.add(Trouble{measure, program.name, way->name, error_text(runner.error())});
  }
  return lanes;
}

void run_turns(Bench& bench, std::vector<Lane>& lanes, const TurnPlan& plan) {
  for (Lane& lane : lanes) calibrate(lane, plan);
  std::vector<Lane*> order;
  for (Lane& lane : lanes) order.push_back(&lane);
  // A fixed seed: two runs have the same order.
  std::mt19937 random(20'231'107);
  for (unsigned round = 0; round < plan.rounds; ++round) {
    std::shuffle(order.begin(), order.end(), random);
    for (Lane* lane : order) {
      open_round(*lane);
      if (!lane->trouble && round % lane->stride == 0) take_turn(bench, *lane, plan);
    }
  }
}

const Lane* lane_named(const std::vector<Lane>& lanes, const std::string& name) {
  for (const Lane& lane : lanes)
    if (lane.name == name) return &lane;
  return nullptr;
}

void add_cpu(Row& row, const Lane& lane, const Lane* floor) {
  const auto add = [&](const char* name, Rounds Lane::*rounds) {
    std::optional<Estimate> ratio;
    if (floor != nullptr && floor != &lane)
      ratio = compare(lane.*rounds, floor->*rounds, ratio_of_sums(), Comparison::kRatio);
    row.add(name, estimate(lane.*rounds, ratio_of_sums()), ratio);
  };
  add("cpu_us", &Lane::group_cpu_us);
  add("machine_cpu_us", &Lane::machine_cpu_us);
  if (lane.name == "pool")
    row.add("pool_threads_us", estimate(lane.threads_cpu_us, ratio_of_sums()));
}

void add_troubles(Bench& bench, const std::string& measure, const std::string& program,
                  const std::vector<Lane>& lanes) {
  for (const Lane& lane : lanes)
    if (lane.trouble)
      bench.results.add(Trouble{measure, program, lane.name, error_text(*lane.trouble)});
}

}  // namespace hatchery::bench
