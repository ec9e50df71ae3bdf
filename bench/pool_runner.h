// The pool as a way: in this process through libhatchery, and as the command `hatchery batch`.
#pragma once

#include "bench/way.h"
#include "pool/pool.h"

namespace hatchery::bench {

/// What differs from the built-in profile.
struct PoolSetup {
  unsigned in_flight = 1;
  /// 0: slots_for(in_flight).
  std::uint32_t slots = 0;
  std::string cgroup_parent = {};
  std::function<void(PoolConfig&)> change = {};
  std::function<void(JobSpec&)> change_job = {};
};

/// One more than there are jobs in flight: a slot's reset, which is off a job's path, then waits
/// for no job and no job for it.
std::uint32_t slots_for(unsigned in_flight);
PoolConfig pool_config(const PoolSetup& setup);
JobSpec job_of(const Program& program);
/// An error unless the report says accepted.
Result<void> check_accepted(const Report& report);

class PoolRunner : public Runner {
 public:
  static Result<std::unique_ptr<PoolRunner>> create(const Program& program, const PoolSetup& setup);
  Result<void> run(unsigned count, std::vector<double>& latency_us) override;

  Pool& pool() noexcept { return *pool_; }
  /// Of every job with one in flight, as the pool reported them.
  const std::vector<StepTimes>& steps() const noexcept { return steps_; }
  void forget_steps() { steps_.clear(); }

 private:
  PoolRunner(std::unique_ptr<Pool> pool, JobSpec job, unsigned in_flight)
      : pool_(std::move(pool)), job_(std::move(job)), in_flight_(in_flight) {}
  Result<void> run_many(unsigned count);

  std::unique_ptr<Pool> pool_;
  JobSpec job_;
  unsigned in_flight_;
  std::vector<StepTimes> steps_ = {};
};

/// `pool` and `batch`. `cgroup_parent` as in PoolConfig.
std::vector<Way> pool_ways(const std::string& cgroup_parent);

}  // namespace hatchery::bench
