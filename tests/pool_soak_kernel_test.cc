// Many jobs through few slots, and nothing that grows: descriptors, memory, mounts, processes,
// control groups. HATCHERY_SOAK_JOBS says how many, default 5,000 (500 under emulation).
#include <gmock/gmock.h>
#include <malloc.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <random>

#include "tests/pool_fixture.h"
#include "tests/slowness.h"

namespace hatchery::testing {
namespace {

std::uint64_t soak_jobs() {
  const char* text = std::getenv("HATCHERY_SOAK_JOBS");
  // Under emulation a job takes a tenth of a second.
  if (text == nullptr) return slowness() == 1 ? 5'000 : 250;
  return std::strtoull(text, nullptr, 10);
}

std::uint64_t resident_bytes() {
  ::malloc_trim(0);
  std::ifstream statm("/proc/self/statm");
  std::uint64_t total = 0;
  std::uint64_t resident = 0;
  statm >> total >> resident;
  return resident * static_cast<std::uint64_t>(::getpagesize());
}

class PoolSoak : public PoolTest {
 protected:
  /// Submits `count` jobs, never more than a few at once; returns how often each outcome came.
  std::map<Outcome, std::uint64_t> soak(std::uint64_t count, std::function<JobSpec()> make) {
    constexpr std::uint64_t kInFlight = 64;
    std::mutex mutex;
    std::condition_variable changed;
    std::map<Outcome, std::uint64_t> outcomes;
    std::uint64_t in_flight = 0;
    for (std::uint64_t i = 0; i < count; ++i) {
      {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return in_flight < kInFlight; });
        ++in_flight;
      }
      const auto ticket = pool().submit(make(), [&](Report report) {
        // Within the lock: the waiter may return and take all this with it.
        const std::lock_guard lock(mutex);
        ++outcomes[report.outcome];
        --in_flight;
        changed.notify_all();
      });
      HATCHERY_CHECK(ticket.has_value());
    }
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return in_flight == 0; });
    return outcomes;
  }
};

TEST_F(PoolSoak, ThousandsOfSmallJobsLeaveNothingBehind) {
  const auto small = [] { return JobSpec{.args = {"/bin/true"}}; };
  soak(slowness() == 1 ? 200 : 40, small);
  const HostTraces before = host_traces(config);
  const std::uint64_t resident = resident_bytes();
  const std::uint64_t jobs = soak_jobs();
  const auto outcomes = soak(jobs, small);
  EXPECT_EQ(outcomes.at(Outcome::kAccepted), jobs);
  const HostTraces after = host_traces(config);
  // Whether a slot just then holds its parked worker's descriptors is chance: two slots, four each.
  EXPECT_NEAR(static_cast<double>(after.descriptors), static_cast<double>(before.descriptors), 8);
  EXPECT_EQ(after.mounts, before.mounts);
  EXPECT_EQ(after.cgroups, before.cgroups);
#if !defined(HATCHERY_SANITIZED)
  EXPECT_LT(resident_bytes(), resident + (4ULL << 20));
#endif
  static_cast<void>(resident);
  EXPECT_EQ(pool().stats().slots_replaced, 0U);
}

TEST_F(PoolSoak, JobsOfEveryKindAndCancellationsAllGetTheirReport) {
  profile().slots_max = 3;
  std::mt19937_64 random(std::random_device{}());
  const std::vector<std::string> scripts = {":",
                                            "exit 3",
                                            "kill -9 $$",
                                            "echo x >/w/a; sleep 60 & :",
                                            "exec 1>&-; exec yes",
                                            "head -c 300000 /dev/zero",
                                            "while :; do :; done",
                                            "sleep 60",
                                            "x=$(head -c 33554432 /dev/zero | tr '\\0' a)",
                                            "f() { f | f & }; f"};
  const std::uint64_t jobs = soak_jobs() / 20;
  const auto outcomes = soak(jobs, [&] {
    return shell(scripts[random() % scripts.size()], {.cpu_time = std::chrono::milliseconds(20),
                                                      .wall_time = std::chrono::milliseconds(60),
                                                      .memory_bytes = 16ULL << 20,
                                                      .processes = 16,
                                                      .output_bytes = 100'000});
  });
  std::uint64_t reports = 0;
  for (const auto& [outcome, count] : outcomes) reports += count;
  EXPECT_EQ(reports, jobs);
  EXPECT_FALSE(outcomes.contains(Outcome::kInternalError));
  std::vector<JobTicket> tickets;
  std::atomic<std::uint64_t> cancelled = 0;
  for (int i = 0; i < 100; ++i)
    tickets.push_back(
        pool().submit(shell("sleep 60"), [&](const Report&) { ++cancelled; }).value());
  for (const JobTicket ticket : tickets) EXPECT_TRUE(pool().cancel(ticket));
  pool().drain();
  EXPECT_EQ(cancelled, 100U);
}

}  // namespace
}  // namespace hatchery::testing
