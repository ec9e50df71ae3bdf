// A pool of several loops: one queue, slots shared out, jobs that end wherever they ran.
#include <gmock/gmock.h>

#include <future>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tests/pool_fixture.h"
#include "tests/slowness.h"

namespace hatchery::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

class PoolLoops : public PoolTest {
 protected:
  void SetUp() override {
    PoolTest::SetUp();
    config.loops = 2;
    profile().slots_min = 2;
    profile().slots_max = 2;
  }
  /// Six jobs of a minute, of which two run.
  std::vector<std::future<Report>> submit_long_jobs(std::vector<JobTicket>& tickets) {
    std::vector<std::future<Report>> reports;
    for (int i = 0; i < 6; ++i) {
      auto promise = std::make_shared<std::promise<Report>>();
      reports.push_back(promise->get_future());
      JobSpec spec = shell("echo >&3; exec sleep 60 3>&-");
      spec.fds[3] = CallerFdStream{begun_.write_end.get()};
      tickets.push_back(
          pool()
              .submit(std::move(spec),
                      [promise](Report report) { promise->set_value(std::move(report)); })
              .value());
    }
    EXPECT_EQ(begun_.read(2), "\n\n");
    return reports;
  }

 private:
  /// Open to the test's end: the others begin when the first are over, and must not die by SIGPIPE.
  const Pipe begun_;
};

TEST_F(PoolLoops, EachRunsJobsAndEachJobIsReportedOnce) {
  config.loops = 3;
  profile().slots_min = 3;
  profile().slots_max = 6;
  const std::uint64_t jobs = slowness() == 1 ? 300 : 60;
  std::vector<std::future<Report>> reports;
  reports.reserve(jobs);
  for (std::uint64_t i = 0; i < jobs; ++i)
    reports.push_back(pool().submit(shell("exit 0")).value());
  std::set<std::uint32_t> loops;
  for (std::future<Report>& report : reports) {
    const Report one = report.get();
    EXPECT_EQ(one.outcome, Outcome::kAccepted) << describe(one);
    loops.insert(one.slot % 3);
  }
  EXPECT_THAT(loops, UnorderedElementsAre(0, 1, 2));
  pool().drain();
  EXPECT_EQ(pool().stats().submitted, jobs);
  EXPECT_EQ(pool().stats().reported, jobs);
  EXPECT_EQ(pool().stats().queued, 0U);
}

TEST_F(PoolLoops, WhatWaitsGoesToWhicheverHasASlotFirst) {
  for (const bool first_ends : {true, false}) {
    Held held[2];
    std::future<Report> reports[2];
    for (int i = 0; i < 2; ++i) reports[i] = pool().submit(held[i].job()).value();
    for (Held& one : held) one.await_start();
    std::vector<std::future<Report>> waiting;
    for (int i = 0; i < 10; ++i) waiting.push_back(pool().submit(shell("exit 0")).value());
    const int ends = first_ends ? 0 : 1;
    held[ends].release();
    const Report ended = reports[ends].get();
    for (std::future<Report>& report : waiting) EXPECT_EQ(report.get().slot, ended.slot);
    held[1 - ends].release();
    EXPECT_NE(reports[1 - ends].get().slot, ended.slot);
    pool().drain();
  }
}

TEST_F(PoolLoops, PrioritiesAreThoseOfOneQueue) {
  Held held[2];
  for (const Held& one : held) ASSERT_TRUE(pool().submit(one.job()));
  for (Held& one : held) one.await_start();
  std::vector<int> order;
  std::promise<void> all;
  for (const int priority : {0, 5, 1, 4, 2, 3}) {
    JobSpec spec = shell("exit 0");
    spec.priority = priority;
    // One slot has them all, so one loop calls.
    ASSERT_TRUE(pool().submit(std::move(spec), [&, priority](const Report&) {
      order.push_back(priority);
      if (order.size() == 6) all.set_value();
    }));
  }
  held[0].release();
  all.get_future().wait();
  EXPECT_THAT(order, ElementsAre(5, 4, 3, 2, 1, 0));
  held[1].release();
  pool().drain();
}

TEST_F(PoolLoops, OnlySoManyRunAtOnceInAllOfThem) {
  // Control: without the bound two begin before one ends.
  for (const std::uint32_t bound : {0U, 1U}) {
    profile().running_max = bound;
    const Pipe said;
    std::vector<std::future<Report>> reports;
    for (int i = 0; i < 6; ++i) {
      JobSpec spec = shell("printf b >&3; sleep 0.05; printf e >&3");
      spec.fds[3] = CallerFdStream{said.write_end.get()};
      reports.push_back(pool().submit(std::move(spec)).value());
    }
    const std::string order = said.read(12);
    EXPECT_EQ(order == "bebebebebebe", bound == 1) << order;
    for (std::future<Report>& report : reports) EXPECT_EQ(report.get().outcome, Outcome::kAccepted);
    stop_pool();
  }
}

TEST_F(PoolLoops, AGroupHasItsSlotsInOneOfThem) {
  profile().slots_max = 4;
  for (const Report& report :
       pool().submit_group(std::vector<JobSpec>(2, shell(":"))).value().get())
    EXPECT_EQ(report.outcome, Outcome::kAccepted) << describe(report);
  const auto refused = pool().submit_group(std::vector<JobSpec>(3, shell(":")));
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(), HasSubstr("only 2 slots in each of 2 loops"));
}

TEST_F(PoolLoops, AJobIsCancelledWhereverItIs) {
  std::vector<JobTicket> tickets;
  std::vector<std::future<Report>> reports = submit_long_jobs(tickets);
  for (const JobTicket ticket : tickets) EXPECT_TRUE(pool().cancel(ticket));
  for (std::future<Report>& report : reports) {
    const Report one = report.get();
    EXPECT_EQ(one.outcome, Outcome::kCancelled) << describe(one);
  }
  for (const JobTicket ticket : tickets) EXPECT_FALSE(pool().cancel(ticket));
}

TEST_F(PoolLoops, EndingThePoolReportsWhatRunsAndWhatWaits) {
  config.shutdown_ms = 1;
  std::vector<JobTicket> tickets;
  std::vector<std::future<Report>> reports = submit_long_jobs(tickets);
  stop_pool();
  for (std::future<Report>& report : reports) EXPECT_EQ(report.get().outcome, Outcome::kCancelled);
}

}  // namespace
}  // namespace hatchery::testing
