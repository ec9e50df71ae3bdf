// Spawn latency and jobs per second of the pool, beside posix_spawn of the same program in the same
// run.
//
// Every iteration of a latency benchmark runs the program once each way, so that noise of the
// machine falls on both: trust the ratio. Counters: spawn_* and pool_* in microseconds, ratio_p50
// and ratio_p99, and the median of each step.
#include <benchmark/benchmark.h>
#include <spawn.h>
#include <sys/wait.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "pool/pool.h"

extern char** environ;

namespace hatchery {
namespace {

using Clock = std::chrono::steady_clock;

struct Program {
  const char* name;
  std::vector<std::string> args;
  /// Files the sandbox needs beside the built-in profile's.
  std::vector<BindMount> binds = {};
};

std::vector<Program> programs() {
  const std::string payloads = HATCHERY_PAYLOADS;
  const std::string noop = payloads + "/noop";
  return {{"static_c", {noop}, {BindMount{.source = payloads, .target = "/payloads"}}},
          {"dynamic_true", {"/bin/true"}},
          {"python3_pass", {"/usr/bin/python3", "-c", "pass"}}};
}

/// Exits: a benchmark of nothing would look like a fast one.
[[noreturn]] void fail(const std::string& message) {
  std::fprintf(stderr, "bench: %s\n", message.c_str());
  std::exit(1);
}

std::unique_ptr<Pool> make_pool(const Program& program, std::uint32_t slots) {
  PoolConfig config;
  Profile& profile = config.profiles[0];
  profile.binds.insert(profile.binds.end(), program.binds.begin(), program.binds.end());
  profile.slots_min = profile.slots_max = slots;
  Result<std::unique_ptr<Pool>> pool = Pool::create(std::move(config));
  if (!pool) fail(pool.error().message());
  return *std::move(pool);
}

pid_t start_spawn(const Program& program) {
  std::vector<char*> argv;
  for (const std::string& argument : program.args)
    argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  pid_t pid = -1;
  if (::posix_spawn(&pid, argv[0], nullptr, nullptr, argv.data(), environ) != 0)
    fail("posix_spawn " + program.args[0]);
  return pid;
}

JobSpec job_of(const Program& program) {
  JobSpec spec;
  spec.args = program.args;
  // Where the sandbox has it: the build may lie where a job has directories of its own (/tmp).
  for (const BindMount& bind : program.binds)
    spec.args[0] = bind.target + program.args[0].substr(bind.source.size());
  return spec;
}

Report run_once(Pool& pool, const Program& program) {
  Result<std::future<Report>> future = pool.submit(job_of(program));
  if (!future) fail(future.error().message());
  Report report = future->get();
  if (report.outcome != Outcome::kAccepted)
    fail(std::string(outcome_name(report.outcome)) +
         (report.error ? ": " + report.error->message() : ""));
  return report;
}

double micros(Clock::duration time) {
  return std::chrono::duration<double, std::micro>(time).count();
}

double quantile(std::vector<double> values, double at) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(at * static_cast<double>(values.size() - 1))];
}

/// The median of each step over all jobs; absent ones are left out.
void count_steps(benchmark::State& state, const std::vector<StepTimes>& all) {
  using Member = std::optional<Nanoseconds> StepTimes::*;
  static constexpr std::pair<const char*, Member> kSteps[] = {
      {"step_queued", &StepTimes::queued},
      {"step_placed", &StepTimes::placed},
      {"step_handed_over", &StepTimes::handed_over},
      {"step_exec_done", &StepTimes::exec_done},
      {"step_ended", &StepTimes::ended},
      {"step_read", &StepTimes::read},
      {"step_reset", &StepTimes::reset}};
  for (const auto& [name, member] : kSteps) {
    std::vector<double> values;
    for (const StepTimes& steps : all)
      if (steps.*member) values.push_back(micros(*(steps.*member)));
    if (!values.empty()) state.counters[name] = quantile(values, 0.5);
  }
}

void latency(benchmark::State& state, const Program& program) {
  const std::unique_ptr<Pool> pool = make_pool(program, 2);
  run_once(*pool, program);
  std::vector<double> spawn_us;
  std::vector<double> pool_us;
  std::vector<StepTimes> steps;
  for ([[maybe_unused]] auto iteration : state) {
    const Clock::time_point start = Clock::now();
    int status = 0;
    ::waitpid(start_spawn(program), &status, 0);
    const Clock::time_point middle = Clock::now();
    steps.push_back(run_once(*pool, program).steps);
    const Clock::time_point end = Clock::now();
    spawn_us.push_back(micros(middle - start));
    pool_us.push_back(micros(end - middle));
    state.SetIterationTime(std::chrono::duration<double>(end - middle).count());
  }
  state.counters["spawn_p50"] = quantile(spawn_us, 0.5);
  state.counters["spawn_p99"] = quantile(spawn_us, 0.99);
  state.counters["pool_p50"] = quantile(pool_us, 0.5);
  state.counters["pool_p99"] = quantile(pool_us, 0.99);
  state.counters["ratio_p50"] = quantile(pool_us, 0.5) / quantile(spawn_us, 0.5);
  state.counters["ratio_p99"] = quantile(pool_us, 0.99) / quantile(spawn_us, 0.99);
  count_steps(state, steps);
}

/// `count` runs with one posix_spawn in flight for each CPU; runs a second.
double spawn_throughput(const Program& program, int count, unsigned cpus) {
  const Clock::time_point start = Clock::now();
  int started = 0;
  for (int ended = 0; ended < count;) {
    if (started < count && started - ended < static_cast<int>(cpus)) {
      start_spawn(program);
      ++started;
    } else {
      ::wait(nullptr);
      ++ended;
    }
  }
  return count / std::chrono::duration<double>(Clock::now() - start).count();
}

double pool_throughput(Pool& pool, const Program& program, int count) {
  const Clock::time_point start = Clock::now();
  for (int i = 0; i < count;) {
    const Result<JobTicket> ticket = pool.submit(job_of(program), [](const Report& report) {
      if (report.outcome != Outcome::kAccepted) fail(outcome_name(report.outcome));
    });
    if (ticket)
      ++i;
    else if (ticket.error().errnum == EAGAIN)
      std::this_thread::yield();
    else
      fail(ticket.error().message());
  }
  pool.drain();
  return count / std::chrono::duration<double>(Clock::now() - start).count();
}

void throughput(benchmark::State& state, const Program& program) {
  const unsigned cpus = std::max(std::thread::hardware_concurrency(), 1U);
  const auto slots = static_cast<std::uint32_t>(state.range(0)) * cpus;
  const std::unique_ptr<Pool> pool = make_pool(program, slots);
  run_once(*pool, program);
  const int count = 500;
  std::vector<double> spawn_rate;
  std::vector<double> pool_rate;
  std::vector<double> ratio;
  for ([[maybe_unused]] auto iteration : state) {
    spawn_rate.push_back(spawn_throughput(program, count, cpus));
    pool_rate.push_back(pool_throughput(*pool, program, count));
    ratio.push_back(pool_rate.back() / spawn_rate.back());
    state.SetIterationTime(count / pool_rate.back());
  }
  state.counters["spawn_per_s"] = quantile(spawn_rate, 0.5);
  state.counters["pool_per_s"] = quantile(pool_rate, 0.5);
  state.counters["ratio"] = quantile(ratio, 0.5);
}

void register_all() {
  for (const Program& program : programs()) {
    benchmark::RegisterBenchmark((std::string("latency/") + program.name).c_str(), latency, program)
        ->UseManualTime()
        ->Unit(benchmark::kMicrosecond);
    benchmark::RegisterBenchmark((std::string("throughput/") + program.name).c_str(), throughput,
                                 program)
        ->ArgName("slots_per_cpu")
        ->Arg(1)
        ->Arg(2)
        ->UseManualTime()
        ->Unit(benchmark::kMillisecond);
  }
}

}  // namespace
}  // namespace hatchery

int main(int argc, char** argv) {
  hatchery::register_all();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
