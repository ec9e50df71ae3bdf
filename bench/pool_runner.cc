#include "bench/pool_runner.h"

#include <atomic>
#include <functional>
#include <mutex>

#include "bench/batch_runner.h"
#include "bench/process_runner.h"
#include "bench/protections.h"

namespace hatchery::bench {

std::uint32_t slots_for(unsigned in_flight) { return in_flight + 1; }

PoolConfig pool_config(const PoolSetup& setup) {
  PoolConfig config;
  Profile& profile = config.profiles[0];
  profile.binds.push_back(programs_bind());
  profile.slots_max = setup.slots != 0 ? setup.slots : slots_for(setup.in_flight);
  profile.slots_min = profile.slots_max;
  config.cgroup_parent = setup.cgroup_parent;
  if (setup.change) setup.change(config);
  return config;
}

JobSpec job_of(const Program& program) {
  JobSpec spec;
  spec.args = program.args_inside;
  return spec;
}

Result<void> check_accepted(const Report& report) {
  if (report.outcome == Outcome::kAccepted) return {};
  return failure("pool", std::string("a job ended as ") + outcome_name(report.outcome) +
                             (report.error ? ": " + report.error->message() : ""));
}

Result<std::unique_ptr<PoolRunner>> PoolRunner::create(const Program& program,
                                                       const PoolSetup& setup) {
  Result<std::unique_ptr<Pool>> pool = Pool::create(pool_config(setup));
  if (!pool) return std::move(pool).error();
  JobSpec job = job_of(program);
  if (setup.change_job) setup.change_job(job);
  return std::unique_ptr<PoolRunner>(
      new PoolRunner(*std::move(pool), std::move(job), setup.in_flight));
}

Result<void> PoolRunner::run(unsigned count, std::vector<double>& latency_us) {
  if (in_flight_ > 1) return run_many(count);
  for (unsigned i = 0; i < count; ++i) {
    const Clock::time_point start = Clock::now();
    Result<std::future<Report>> future = pool_->submit(job_);
    if (!future) return std::move(future).error();
    const Report report = future->get();
    latency_us.push_back(micros(Clock::now() - start));
    HATCHERY_TRY(check_accepted(report));
    steps_.push_back(report.steps);
  }
  return {};
}

Result<void> PoolRunner::run_many(unsigned count) {
  // As the other ways do: each job's end starts the next one, on the thread that hears of it.
  std::atomic<unsigned> left{count};
  std::mutex mutex;
  Result<void> result;
  const auto note = [&](Result<void> outcome) {
    const std::lock_guard lock(mutex);
    if (!outcome) result = std::move(outcome);
  };
  std::function<void()> submit_next = [&] {
    unsigned before = left;
    while (before > 0 && !left.compare_exchange_weak(before, before - 1)) {
    }
    if (before == 0) return;
    Result<JobTicket> ticket = pool_->submit(job_, [&](const Report& report) {
      note(check_accepted(report));
      submit_next();
    });
    if (!ticket) note(std::move(ticket).error());
  };
  for (unsigned i = 0; i < in_flight_; ++i) submit_next();
  // The callbacks use what is on this stack.
  pool_->drain();
  return result;
}

std::vector<Way> pool_ways(const std::string& cgroup_parent) {
  const auto in_process = [&](const char* name, WayKind kind, const char* what,
                              std::function<void(PoolConfig&)> change) {
    Way way{.name = name, .kind = kind, .what = what};
    way.make = [cgroup_parent, change = std::move(change)](
                   const Program& program, unsigned in_flight) -> Result<std::unique_ptr<Runner>> {
      Result<std::unique_ptr<PoolRunner>> runner = PoolRunner::create(
          program, {.in_flight = in_flight, .cgroup_parent = cgroup_parent, .change = change});
      if (!runner) return std::move(runner).error();
      return std::unique_ptr<Runner>(*std::move(runner));
    };
    return way;
  };
  return {
      in_process("pool", WayKind::kPool,
                 "libhatchery in this process: all namespaces, cgroup limits, seccomp filter", {}),
      in_process("open_pool", WayKind::kFloor,
                 "the same without any protection that a test can leave out, nor reset: what "
                 "queue, report, limits and figures take",
                 leave_out_protections),
      batch_way(cgroup_parent)};
}

}  // namespace hatchery::bench
