// The backlog between threads: some submit and cancel, others are loops that take, run nothing, and
// sleep without a timer as soon as there is nothing for them. A wake-up that is lost hangs the
// test.
#include <gtest/gtest.h>
#include <poll.h>

#include <atomic>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "pool/backlog.h"

namespace hatchery {
namespace {

constexpr std::size_t kLoops = 3;
constexpr std::size_t kProfiles = 2;
constexpr std::size_t kSlots = 3;  ///< Of each profile in each loop.
constexpr std::size_t kSubmitters = 3;
constexpr int kSubmissions = 5'000;       ///< Of each submitter.
constexpr std::uint32_t kRunningMax = 2;  ///< Of the second profile, in all loops.

class BacklogOfThreads {
 public:
  void run() {
    std::vector<std::thread> loops;
    for (std::size_t i = 0; i < kLoops; ++i) loops.emplace_back([this, i] { loop(i); });
    std::vector<std::thread> submitters;
    for (std::size_t i = 0; i < kSubmitters; ++i) submitters.emplace_back([this] { submit(); });
    for (std::thread& thread : submitters) thread.join();
    backlog_.drain();
    over_ = true;
    for (std::size_t i = 0; i < kLoops; ++i) backlog_.taker(i).wakeup.wake();
    for (std::thread& thread : loops) thread.join();
    EXPECT_EQ(backlog_.submitted(), jobs_accepted_);
    EXPECT_EQ(backlog_.reported(), jobs_accepted_);
    EXPECT_EQ(taken_ + withdrawn_, submissions_accepted_);
    EXPECT_EQ(backlog_.count(), 0U);
    EXPECT_LE(most_running_, kRunningMax);
    EXPECT_GT(withdrawn_, 0U);
    EXPECT_GT(refused_, 0U);
  }

 private:
  struct Running {
    std::unique_ptr<Submission> submission;
    std::size_t profile;
  };

  void submit() {
    std::mt19937 random(next_seed_++);
    std::vector<JobTicket> tickets;
    for (int i = 0; i < kSubmissions; ++i) {
      auto submission = std::make_unique<Submission>();
      submission->ticket = ++next_ticket_;
      submission->profile = random() % kProfiles;
      submission->client = std::string(1, static_cast<char>('a' + random() % 3));
      submission->priority = static_cast<std::int32_t>(random() % 2);
      const std::size_t jobs = random() % 4 == 0 ? 1 + random() % kSlots : 1;
      for (std::size_t job = 0; job < jobs; ++job)
        submission->jobs.push_back(std::make_unique<Job>());
      const JobTicket ticket = submission->ticket;
      if (!backlog_.push(submission)) {
        ++refused_;
        continue;
      }
      ++submissions_accepted_;
      jobs_accepted_ += jobs;
      tickets.push_back(ticket);
      if (random() % 8 == 0) cancel(tickets[random() % tickets.size()]);
    }
  }

  void cancel(JobTicket ticket) {
    const Backlog::Found found = backlog_.find(ticket);
    if (found.waiting == nullptr) return;
    ++withdrawn_;
    backlog_.reported(found.waiting->jobs.size());
    backlog_.withdrawn();
  }

  /// As Loop::turn() does it.
  void loop(std::size_t index) {
    std::mt19937 random(static_cast<unsigned>(index));
    Backlog::Taker& taker = backlog_.taker(index);
    std::vector<Running> running;
    std::size_t free[kProfiles];
    std::uint64_t seen[kProfiles];
    for (std::size_t& slots : free) slots = kSlots;
    while (!over_) {
      for (std::size_t profile = 0; profile < kProfiles; ++profile) {
        taker.offers[profile].ready = free[profile];
        while (auto submission = backlog_.take(profile, index, free[profile])) {
          ++taken_;
          EXPECT_LE(submission->jobs.size(), free[profile]);
          free[profile] -= submission->jobs.size();
          if (profile == 1) note_running(++running_);
          running.push_back({std::move(submission), profile});
        }
        taker.offers[profile].ready = free[profile];
        const Backlog::Demand left = backlog_.demand(profile);
        seen[profile] = left.version;
        if (left.startable > 0) backlog_.hand_on(profile, index);
      }
      if (!running.empty()) {
        const auto ended = running.begin() + static_cast<std::ptrdiff_t>(random() % running.size());
        const std::size_t jobs = ended->submission->jobs.size();
        free[ended->profile] += jobs;
        if (ended->profile == 1) --running_;
        backlog_.over(*ended->submission);
        backlog_.reported(jobs);
        running.erase(ended);
        continue;
      }
      taker.wakeup.prepare_sleep();
      bool work = over_ || backlog_.has_new();
      for (std::size_t profile = 0; profile < kProfiles; ++profile)
        work |= backlog_.version(profile) != seen[profile];
      if (!work) {
        pollfd waits{taker.wakeup.fd(), POLLIN, 0};
        ::poll(&waits, 1, -1);
      }
      taker.wakeup.awake();
      taker.wakeup.swallow();
    }
  }

  void note_running(std::uint32_t count) {
    std::uint32_t most = most_running_;
    while (count > most && !most_running_.compare_exchange_weak(most, count)) {
    }
  }

  Backlog backlog_{64, {0, kRunningMax}, kLoops};
  std::atomic<bool> over_{false};
  std::atomic<unsigned> next_seed_{1};
  std::atomic<JobTicket> next_ticket_{0};
  std::atomic<std::uint64_t> submissions_accepted_{0}, jobs_accepted_{0}, refused_{0};
  std::atomic<std::uint64_t> taken_{0}, withdrawn_{0};
  std::atomic<std::uint32_t> running_{0}, most_running_{0};
};

TEST(Backlog, EveryLoopWakesForWhatItCanTake) { BacklogOfThreads().run(); }

void push(Backlog& backlog, JobTicket ticket, std::size_t jobs) {
  auto submission = std::make_unique<Submission>();
  submission->ticket = ticket;
  for (std::size_t i = 0; i < jobs; ++i) submission->jobs.push_back(std::make_unique<Job>());
  EXPECT_TRUE(backlog.push(submission));
}

TEST(Backlog, WhatALoopCanNotTakeWakesOneThatCan) {
  Backlog backlog(8, {0}, 2);
  const auto woken = [&] {
    pollfd second{backlog.taker(1).wakeup.fd(), POLLIN, 0};
    return ::poll(&second, 1, 0) == 1;
  };
  for (std::size_t loop = 0; loop < 2; ++loop) backlog.taker(loop).offers[0].ready = 1;
  backlog.taker(1).wakeup.prepare_sleep();
  // Both go to the first, which seems to have a slot for each.
  push(backlog, 1, 1);
  push(backlog, 2, 1);
  const auto taken = backlog.take(0, 0, 1);
  ASSERT_NE(taken, nullptr);
  backlog.taker(0).offers[0].ready = 0;
  EXPECT_EQ(backlog.take(0, 0, 0), nullptr);
  EXPECT_FALSE(woken());
  backlog.hand_on(0, 0);
  EXPECT_TRUE(woken());
  const auto other = backlog.take(0, 1, 1);
  ASSERT_NE(other, nullptr);
  EXPECT_EQ(other->ticket, 2U);
}

TEST(Backlog, ALoopNoticesBeforeItSleepsWhatAnotherHasSortedIn) {
  Backlog backlog(8, {0}, 2);
  backlog.taker(1).offers[0].ready = 1;
  ASSERT_EQ(backlog.take(0, 1, 1), nullptr);
  const std::uint64_t seen = backlog.demand(0).version;
  EXPECT_EQ(backlog.version(0), seen);
  // While it is awake nobody wakes it; the other has the submission out of the queue.
  push(backlog, 1, 1);
  EXPECT_EQ(backlog.take(0, 0, 0), nullptr);
  backlog.hand_on(0, 0);
  backlog.taker(1).wakeup.prepare_sleep();
  EXPECT_FALSE(backlog.has_new());
  EXPECT_NE(backlog.version(0), seen);
  EXPECT_NE(backlog.take(0, 1, 1), nullptr);
}

TEST(Backlog, WhatNoLoopHasSlotsForIsHopeless) {
  Backlog backlog(8, {0}, 2);
  for (std::size_t loop = 0; loop < 2; ++loop) backlog.taker(loop).offers[0].capacity = 2;
  push(backlog, 1, 2);
  push(backlog, 2, 1);
  EXPECT_EQ(backlog.take_hopeless(0, 0), nullptr);
  backlog.taker(0).offers[0].capacity = 0;
  EXPECT_EQ(backlog.take_hopeless(0, 0), nullptr) << "the other loop's";
  backlog.taker(1).offers[0].capacity = 1;
  const auto given = backlog.take_hopeless(0, 0);
  ASSERT_NE(given, nullptr);
  EXPECT_EQ(given->ticket, 1U);
  EXPECT_EQ(backlog.take_hopeless(0, 0), nullptr) << "one slot is enough for what is left";
  EXPECT_EQ(backlog.find(2).loop, std::nullopt);
  backlog.withdrawn();
  EXPECT_EQ(backlog.count(), 0U);
}

}  // namespace
}  // namespace hatchery
