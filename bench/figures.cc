// hatchery-figures: are times and memory right? Each target is measured beside its baseline in the
// same run, and printed with what is allowed:
//
//   empty job     CPU time and memory above the same program by itself in a bare control group
//   limit         how far a CPU limit is overrun beside four busy neighbours
//   neighbours    median CPU time of one program alone and beside busy slots, each on its own CPU
//   re-judged     runs of a program whose limit is 1.1 times its time, and of one whose time is 1.1
//                 times its limit: how often the verdict is another
//
// Exits 1 when a target is missed; --quick does little of each and never fails for that.
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <deque>
#include <string>
#include <thread>
#include <vector>

#include "bench/bare_group.h"
#include "pool/limits.h"
#include "pool/pool.h"

namespace hatchery {
namespace {

using std::chrono::milliseconds;

[[noreturn]] void fail(const std::string& message) {
  std::fprintf(stderr, "figures: %s\n", message.c_str());
  std::exit(1);
}

/// What was measured against its targets.
class Verdict {
 public:
  explicit Verdict(bool quick) : quick_(quick) {}
  void judge(const char* what, double measured, double allowed, const char* unit) {
    const bool good = measured <= allowed;
    missed_ |= !good;
    std::printf("  %-4s %s: %.2f %s, allowed %.2f\n",
                quick_ ? "-"
                : good ? "pass"
                       : "FAIL",
                what, measured, unit, allowed);
    std::fflush(stdout);
  }
  int exit_status() const { return missed_ && !quick_ ? 1 : 0; }

 private:
  bool quick_;
  bool missed_ = false;
};

double quantile(std::vector<double> values, double at) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(at * static_cast<double>(values.size() - 1))];
}

std::unique_ptr<Pool> make_pool(std::uint32_t slots, bool pin) {
  PoolConfig config;
  Profile& profile = config.profiles[0];
  profile.binds.push_back({.source = HATCHERY_PAYLOADS, .target = "/payloads"});
  profile.slots_min = profile.slots_max = slots;
  profile.pin_slots = pin;
  Result<std::unique_ptr<Pool>> pool = Pool::create(std::move(config));
  if (!pool) fail(pool.error().message());
  return *std::move(pool);
}

JobSpec work(long rounds, std::optional<Nanoseconds> cpu_time = {}) {
  JobSpec spec{.args = {"/payloads/work", std::to_string(rounds)}};
  spec.limits.cpu_time = cpu_time;
  return spec;
}

std::future<Report> start(Pool& pool, JobSpec spec) {
  Result<std::future<Report>> future = pool.submit(std::move(spec));
  if (!future) fail(future.error().message());
  return *std::move(future);
}

Report accepted(Report report) {
  if (report.outcome == Outcome::kAccepted && report.cpu_time && report.memory_peak_bytes)
    return report;
  fail(std::string(outcome_name(report.outcome)) +
       (report.error ? ": " + report.error->message() : ""));
}

double micros(Nanoseconds time) { return static_cast<double>(time.count()) / 1e3; }

/// Endless jobs in slots of the pool, for as long as this lives.
class Neighbours {
 public:
  Neighbours(Pool& pool, std::size_t count) : pool_(pool) {
    for (std::size_t i = 0; i < count; ++i) {
      JobSpec spec = work(0, std::chrono::hours(1));
      spec.limits.wall_time = std::chrono::hours(1);
      const Result<JobTicket> ticket = pool.submit(std::move(spec), [](const Report&) {});
      if (!ticket) fail(ticket.error().message());
      tickets_.push_back(*ticket);
    }
    while (pool_.stats().running < count) std::this_thread::yield();
  }
  ~Neighbours() {
    for (const JobTicket ticket : tickets_) pool_.cancel(ticket);
    pool_.drain();
  }
  Neighbours(const Neighbours&) = delete;
  Neighbours& operator=(const Neighbours&) = delete;

 private:
  Pool& pool_;
  std::vector<JobTicket> tickets_;
};

void empty_job(int count, Verdict& verdict) {
  const Result<CgroupHost> host = CgroupHost::find();
  if (!host) fail(host.error().message());
  BareGroup bare(*host);
  const std::unique_ptr<Pool> pool = make_pool(1, false);
  std::vector<double> bare_us, bare_kib, job_us, job_kib;
  for (int i = 0; i < count; ++i) {
    const BareGroup::Cost cost = bare.run(HATCHERY_PAYLOADS "/noop");
    bare_us.push_back(cost.cpu_us);
    bare_kib.push_back(cost.memory_kib);
    const Report report = accepted(start(*pool, {.args = {"/payloads/noop"}}).get());
    job_us.push_back(micros(*report.cpu_time));
    job_kib.push_back(static_cast<double>(*report.memory_peak_bytes) / 1024);
  }
  std::printf("empty job, %d of each (p10, median, p90)\n", count);
  const auto row = [](const char* name, const std::vector<double>& us, std::vector<double>& kib) {
    std::printf("  %-8s %6.0f %6.0f %6.0f us  %5.0f %5.0f %5.0f KiB\n", name, quantile(us, 0.1),
                quantile(us, 0.5), quantile(us, 0.9), quantile(kib, 0.1), quantile(kib, 0.5),
                quantile(kib, 0.9));
  };
  row("bare", bare_us, bare_kib);
  row("job", job_us, job_kib);
  verdict.judge("CPU time above bare, medians", quantile(job_us, 0.5) - quantile(bare_us, 0.5), 50,
                "us");
  verdict.judge("memory above bare, medians", quantile(job_kib, 0.5) - quantile(bare_kib, 0.5), 300,
                "KiB");
}

void limit_beside_neighbours(int count, Verdict& verdict) {
  const std::unique_ptr<Pool> pool = make_pool(5, false);
  const Neighbours busy(*pool, 4);
  std::vector<double> over_ms;
  for (int i = 0; i < count; ++i) {
    const milliseconds limit(50 + 10 * (i % 10));
    const Report report = start(*pool, work(0, limit)).get();
    if (report.outcome != Outcome::kTimeLimit) fail(outcome_name(report.outcome));
    over_ms.push_back(std::fabs(micros(*report.cpu_time - limit)) / 1e3);
  }
  std::printf("limit, %d jobs of 50 to 140 ms beside four busy neighbours\n", count);
  std::printf("  off by %.2f ms (median), %.2f ms (p90)\n", quantile(over_ms, 0.5),
              quantile(over_ms, 0.9));
  verdict.judge("CPU limit off by, worst", quantile(over_ms, 1), 5, "ms");
}

/// Rounds of `work` that take about that long.
long calibrate(Pool& pool, double wanted_us) {
  const long rounds = 200;
  std::vector<double> us;
  for (int i = 0; i < 9; ++i)
    us.push_back(micros(*accepted(start(pool, work(rounds)).get()).cpu_time));
  return std::max(1L, std::lround(static_cast<double>(rounds) * wanted_us / quantile(us, 0.5)));
}

std::vector<double> times_us(Pool& pool, long rounds, int count) {
  std::vector<double> us;
  for (int i = 0; i < count; ++i)
    us.push_back(micros(*accepted(start(pool, work(rounds)).get()).cpu_time));
  return us;
}

void neighbours(int count, Verdict& verdict) {
  const std::uint32_t cpus = usable_cpus();
  const std::unique_ptr<Pool> pool = make_pool(std::max(cpus, 2U), true);
  const long rounds = calibrate(*pool, 20'000);
  // By turns, so that what else the machine does falls on both.
  std::vector<double> alone, beside;
  for (int left = count; left > 0; left -= 20) {
    const std::vector<double> quiet = times_us(*pool, rounds, std::min(left, 20));
    alone.insert(alone.end(), quiet.begin(), quiet.end());
    const Neighbours busy(*pool, std::max(cpus, 2U) - 1);
    const std::vector<double> loud = times_us(*pool, rounds, std::min(left, 20));
    beside.insert(beside.end(), loud.begin(), loud.end());
  }
  const double ratio = quantile(beside, 0.5) / quantile(alone, 0.5);
  std::printf("neighbours, %d runs each, slots pinned (p10, median, p90)\n", count);
  for (const auto& [name, us] : {std::pair("alone", alone), std::pair("beside", beside)})
    std::printf("  %-8s %8.0f %8.0f %8.0f us\n", name, quantile(us, 0.1), quantile(us, 0.5),
                quantile(us, 0.9));
  verdict.judge("medians differ by", std::fabs(ratio - 1) * 100, 5, "%");
}

struct Judged {
  int other_verdicts = 0;
  std::vector<double> us = {};
};

void judge_again(Pool& pool, const JobSpec& spec, Outcome right, int count, std::size_t in_flight,
                 Judged& judged) {
  std::deque<std::future<Report>> running;
  for (int started = 0; started < count || !running.empty();) {
    if (started < count && running.size() < in_flight) {
      running.push_back(start(pool, spec));
      ++started;
      continue;
    }
    const Report report = running.front().get();
    running.pop_front();
    if (report.outcome != right) ++judged.other_verdicts;
    judged.us.push_back(micros(report.cpu_time.value_or(Nanoseconds(0))));
  }
}

void print_spread(const char* what, const std::vector<double>& us, double unit_us) {
  std::printf("  %s: %.3f (median), %.3f (p99), %.3f (most) of the time\n", what,
              quantile(us, 0.5) / unit_us, quantile(us, 0.99) / unit_us, quantile(us, 1) / unit_us);
}

void judged_again(int count, Verdict& verdict) {
  const Result<CgroupHost> host = CgroupHost::find();
  if (!host) fail(host.error().message());
  BareGroup bare(*host);
  for (const std::size_t in_flight : {1UL, 4UL}) {
    const std::unique_ptr<Pool> pool = make_pool(static_cast<std::uint32_t>(in_flight), true);
    const long rounds = calibrate(*pool, 30'000);
    const double us = quantile(times_us(*pool, rounds, 25), 0.5);
    const auto limit = [us](double factor) {
      return Nanoseconds(static_cast<std::int64_t>(us * factor * 1e3));
    };
    Judged within, beyond;
    std::vector<double> by_itself_us;
    // By turns, so that what else the machine does falls on all.
    for (int left = count; left > 0; left -= 20) {
      const int turn = std::min(left, 20);
      judge_again(*pool, work(rounds, limit(1.1)), Outcome::kAccepted, turn, in_flight, within);
      judge_again(*pool, work(rounds, limit(1 / 1.1)), Outcome::kTimeLimit, turn, in_flight,
                  beyond);
      for (int i = 0; i < turn; ++i)
        by_itself_us.push_back(bare.run(HATCHERY_PAYLOADS "/work", std::to_string(rounds)).cpu_us);
    }
    std::printf("re-judged, %d of each, %zu in flight, %.1f ms by itself\n", count, in_flight,
                us / 1e3);
    print_spread("limit 1.1 x time", within.us, us);
    print_spread("in a bare group", by_itself_us, us);
    std::printf("  in a bare group %td would be over the limit of 1.1 x time\n",
                std::count_if(by_itself_us.begin(), by_itself_us.end(),
                              [us](double one) { return one > us * 1.1; }));
    verdict.judge("other verdicts, limit 1.1 x time", within.other_verdicts, 0, "runs");
    verdict.judge("other verdicts, time 1.1 x limit", beyond.other_verdicts, 0, "runs");
  }
}

int run(bool quick) {
  Verdict verdict(quick);
  empty_job(quick ? 3 : 300, verdict);
  limit_beside_neighbours(quick ? 2 : 50, verdict);
  neighbours(quick ? 3 : 200, verdict);
  judged_again(quick ? 4 : 1000, verdict);
  return verdict.exit_status();
}

}  // namespace
}  // namespace hatchery

int main(int argc, char** argv) {
  const bool quick = argc == 2 && std::strcmp(argv[1], "--quick") == 0;
  if (argc > 1 && !quick) {
    std::fprintf(stderr, "usage: hatchery-figures [--quick]\n");
    return 2;
  }
  return hatchery::run(quick);
}
