// A pool that was told to do without cgroups says so in every report, limits what rlimits can, and
// refuses what they can't.
#include <gmock/gmock.h>

#include "tests/await.h"
#include "tests/pool_fixture.h"
#include "tests/slowness.h"

namespace hatchery::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

class PoolWithoutCgroups : public PoolTest {
 protected:
  void SetUp() override {
    PoolTest::SetUp();
    config.cgroup = CgroupUse::kNone;
    profile().binds.push_back({.source = HATCHERY_PAYLOADS, .target = "/payloads"});
  }
  Report payload(std::vector<std::string> args, Limits limits = {}) {
    args[0] = "/payloads/" + args[0];
    JobSpec spec{.args = std::move(args), .limits = std::move(limits)};
    spec.fds[1] = CollectorStream{.name = "stdout"};
    return run(std::move(spec));
  }
};

TEST_F(PoolWithoutCgroups, MakesNoneAndEveryReportSaysSo) {
  const Report report = run_shell("cat /proc/self/cgroup");
  EXPECT_EQ(report.outcome, Outcome::kAccepted) << describe(report);
  EXPECT_THAT(report.host, StartsWith("no cgroup"));
  EXPECT_EQ(pool().host(), report.host);
  EXPECT_TRUE(pool().controllers().empty());
  EXPECT_TRUE(host_traces(config).cgroups.empty());
  EXPECT_FALSE(report.memory_peak_bytes);
  EXPECT_FALSE(report.process_peak);
  EXPECT_FALSE(report.oom_kills);
  EXPECT_TRUE(report.cpu_time);
  stop_pool();
  config.cgroup = CgroupUse::kAuto;
  const Report control = run_shell("true");
  EXPECT_THAT(control.host, StartsWith("cgroup v"));
  EXPECT_FALSE(host_traces(config).cgroups.empty());
}

TEST_F(PoolWithoutCgroups, AJobHasNoMoreProcessesThanItsLimit) {
  EXPECT_EQ(output_of(payload({"crowd", "fork", "9"}, {.processes = 6})), "5 EAGAIN\n");
  EXPECT_EQ(output_of(payload({"crowd", "fork", "9"}, {.processes = 10})), "9 all\n");
}

TEST_F(PoolWithoutCgroups, ProcessesOfOneSlotDoNotCountInAnother) {
  profile().slots_max = 2;
  JobSpec first = shell("sleep 600 & sleep 600 & sleep 600 & echo x >&3; wait",
                        {.wall_time = seconds(600), .processes = 5});
  int started[2];
  ASSERT_EQ(::pipe2(started, O_CLOEXEC), 0);
  const UniqueFd read_end(started[0]);
  const UniqueFd write_end(started[1]);
  first.fds[3] = CallerFdStream{write_end.get()};
  const Result<JobTicket> ticket = pool().submit(std::move(first), [](Report) {});
  ASSERT_TRUE(ticket);
  char byte[2];
  ASSERT_EQ(::read(read_end.get(), byte, 2), 2);
  EXPECT_EQ(output_of(payload({"crowd", "fork", "3"}, {.processes = 4})), "3 all\n");
  EXPECT_TRUE(pool().cancel(*ticket));
}

TEST_F(PoolWithoutCgroups, NothingOutlivesAPoolThatEndsWhileItsSlotsStart) {
  profile().slots_min = profile().slots_max = 16;
  for (int round = 0; round < 10; ++round) {
    await([&] { return pool().stats().slots_ready > 0; });
    stop_pool();
    ASSERT_THAT(host_traces(config).processes, IsEmpty()) << round;
  }
}

TEST_F(PoolWithoutCgroups, MemoryIsEachProcessesAddressSpace) {
  const Report limited = payload({"hoard", "private", "64"}, {.memory_bytes = 32 * kMiB});
  EXPECT_NE(limited.outcome, Outcome::kAccepted) << describe(limited);
  const Report control = payload({"hoard", "private", "64"}, {.memory_bytes = 256 * kMiB});
  EXPECT_EQ(control.outcome, Outcome::kAccepted) << describe(control);
}

TEST_F(PoolWithoutCgroups, AnEndlessLoopEndsAtItsCpuLimitRoundedUp) {
  const Report report =
      run_shell("while :; do :; done", {.cpu_time = seconds(1), .wall_time = seconds(600)});
  EXPECT_EQ(report.outcome, Outcome::kTimeLimit) << describe(report);
  // Not by the wall limit; the kernel counts ticks.
  EXPECT_GE(report.cpu_time.value(), milliseconds(500));
  const Report deaf = run_shell("trap '' XCPU; while :; do :; done",
                                {.cpu_time = milliseconds(700), .wall_time = seconds(600)});
  EXPECT_EQ(deaf.outcome, Outcome::kTimeLimit) << describe(deaf);
  // Its children's time is the job's when it has ended.
  const std::string children = "for i in 1 2 3; do (i=0; while [ $i -lt " +
                               std::to_string(60'000 / slowness()) +
                               " ]; do i=$((i+1)); done); done";
  const Report several = run_shell(children);
  EXPECT_EQ(several.outcome, Outcome::kAccepted) << describe(several);
  EXPECT_GT(several.cpu_time.value(), Nanoseconds(0));
  const Report after = run_shell(children, {.cpu_time = *several.cpu_time / 3});
  EXPECT_EQ(after.outcome, Outcome::kTimeLimit) << describe(after);
}

TEST_F(PoolWithoutCgroups, LimitsThatOnlyCgroupsHaveAreRefused) {
  const auto refused = [this](Limits limits) {
    JobSpec spec = shell("true", std::move(limits));
    const Result<std::future<Report>> submitted = pool().submit(std::move(spec));
    return submitted ? "accepted" : submitted.error().message();
  };
  EXPECT_THAT(refused({.memory_soft_bytes = 16 * kMiB}), HasSubstr("memory_soft"));
  EXPECT_THAT(refused({.cpu_rate = 0.5}), HasSubstr("cpu_rate"));
  EXPECT_THAT(refused({.cpu_weight = 50}), HasSubstr("cpu_weight"));
  EXPECT_THAT(refused({.cpu_set = "0"}), HasSubstr("cpu_set"));
  EXPECT_EQ(refused({.memory_bytes = 64 * kMiB, .processes = 5}), "accepted");
  stop_pool();
  profile().pin_slots = true;
  const Result<std::unique_ptr<Pool>> pinned = Pool::create(config);
  ASSERT_FALSE(pinned);
  EXPECT_THAT(pinned.error().message(), HasSubstr("pin_slots"));
}

TEST_F(PoolWithoutCgroups, WhatAJobLeavesIsGoneWithIt) {
  EXPECT_EQ(run_shell("sleep 600 & echo mine > /tmp/left").outcome, Outcome::kAccepted);
  EXPECT_EQ(output_of(run_shell("ls /tmp; grep -l sleep /proc/[0-9]*/comm; echo nothing")),
            "nothing\n");
}

}  // namespace
}  // namespace hatchery::testing
