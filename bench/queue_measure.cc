// Does a job cost the same with one in the queue and with a million? Jobs a second, and what a
// submit takes, with so many waiting.
#include <atomic>

#include "bench/pool_runner.h"
#include "bench/process_runner.h"
#include "bench/turns.h"

namespace hatchery::bench {
namespace {

constexpr std::uint32_t kDepths[] = {1, 1'000, 100'000, 1'000'000};
/// The queue is kept that deep for this many jobs, in rounds.
constexpr unsigned kRounds = 10;

struct Reported {
  std::atomic<std::uint64_t> count = 0;
  std::atomic<std::uint64_t> bad = 0;
};

class DeepQueue {
 public:
  static Result<std::unique_ptr<DeepQueue>> create(const Bench& bench, const Program& program,
                                                   std::uint32_t depth) {
    PoolConfig config = bench::pool_config(
        {.in_flight = 4, .cgroup_parent = bench.group.path(), .change = [depth](PoolConfig& one) {
           one.queue_max = std::min(depth + 4'096, 1U << 20);
           one.shutdown_ms = 1;
         }});
    Result<std::unique_ptr<Pool>> pool = Pool::create(std::move(config));
    if (!pool) return std::move(pool).error();
    return std::unique_ptr<DeepQueue>(new DeepQueue(*std::move(pool), job_of(program), depth));
  }

  /// Submits until the queue is as deep as it is to be. Adds [µs, jobs].
  Result<void> fill(std::vector<double>& submit_us) {
    const Clock::time_point start = Clock::now();
    unsigned jobs = 0;
    for (; submitted_ - reported_->count.load() < depth_; ++submitted_, ++jobs) {
      Result<JobTicket> ticket = pool_->submit(job_, [reported = reported_](const Report& report) {
        if (report.outcome != Outcome::kAccepted) ++reported->bad;
        ++reported->count;
        reported->count.notify_one();
      });
      if (!ticket) return std::move(ticket).error();
    }
    if (jobs != 0) submit_us = {micros(Clock::now() - start), static_cast<double>(jobs)};
    return {};
  }

  /// Takes `count` reports, with a submit for each. Adds [jobs, seconds].
  Result<void> run(unsigned count, std::vector<double>& jobs_per_s) {
    const Clock::time_point start = Clock::now();
    const std::uint64_t first = reported_->count.load();
    for (std::uint64_t now = first; now - first < count; now = reported_->count.load()) {
      std::vector<double> unused;
      HATCHERY_TRY(fill(unused));
      reported_->count.wait(now);
    }
    const double took_s = micros(Clock::now() - start) / 1e6;
    jobs_per_s = {static_cast<double>(reported_->count.load() - first), took_s};
    if (reported_->bad == 0) return {};
    return failure("pool", "a queued job was not accepted");
  }

 private:
  DeepQueue(std::unique_ptr<Pool> pool, JobSpec job, std::uint32_t depth)
      : job_(std::move(job)), depth_(depth), pool_(std::move(pool)) {}

  JobSpec job_;
  std::uint64_t depth_;
  std::uint64_t submitted_ = 0;
  // Shared: those that wait are reported as cancelled when the pool ends.
  std::shared_ptr<Reported> reported_ = std::make_shared<Reported>();
  std::unique_ptr<Pool> pool_;
};

void measure_depth(Bench& bench, std::uint32_t depth) {
  const Program program = program_named("bare_c");
  Row row{.measure = "queue",
          .program = program.name,
          .way = "pool",
          .parameters = {{"queued", depth}}};
  const auto fail = [&](const Error& error) {
    bench.results.add(Trouble{"queue", program.name, "pool", error_text(error)});
  };
  Result<std::unique_ptr<DeepQueue>> queue = DeepQueue::create(bench, program, depth);
  if (!queue) return fail(queue.error());
  Rounds submit_us(1);
  if (Result<void> filled = (*queue)->fill(submit_us[0]); !filled) return fail(filled.error());
  Rounds jobs_per_s(bench.quick ? 2 : kRounds);
  const unsigned jobs = bench.quick ? 10 : 300;
  for (std::vector<double>& round : jobs_per_s)
    if (Result<void> ran = (*queue)->run(jobs, round); !ran) return fail(ran.error());
  row.jobs = jobs_per_s.size() * jobs;
  row.add("jobs_per_s", estimate(jobs_per_s, ratio_of_sums()));
  row.add("submit_us", estimate(submit_us, ratio_of_sums()));
  bench.results.add(std::move(row));
}

}  // namespace

void register_queue(Bench& bench) {
  for (const std::uint32_t depth : kDepths)
    if (!bench.quick || depth <= 1'000)
      register_measure(bench, "queue/" + std::to_string(depth),
                       [&bench, depth] { measure_depth(bench, depth); });
}

}  // namespace hatchery::bench
