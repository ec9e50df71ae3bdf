#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "core/fd.h"
#include "core/ring.h"
#include "tests/host_features.h"

namespace hatchery {
namespace {

constexpr std::int64_t kFarAwayNs = 10'000'000'000;

std::int64_t now_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

class RingTest : public ::testing::Test {
 protected:
  void SetUp() override {
    HATCHERY_REQUIRE_FEATURE("io_uring");
    Result<std::unique_ptr<Ring>> made = Ring::create(8);
    ASSERT_TRUE(made) << made.error().message();
    ring = *std::move(made);
    int fds[2];
    ASSERT_EQ(::pipe2(fds, O_CLOEXEC), 0);
    read_end = UniqueFd(fds[0]);
    write_end = UniqueFd(fds[1]);
  }
  void run_until(const Completion& completion) {
    while (completion.in_flight()) ASSERT_TRUE(ring->run_once(now_ns() + kFarAwayNs));
  }

  std::unique_ptr<Ring> ring;
  UniqueFd read_end;
  UniqueFd write_end;
};

TEST_F(RingTest, ReadsWhatIsWritten) {
  int result = 0;
  char buffer[8] = {};
  Completion completion([&](int value) { result = value; });
  ring->read(completion, read_end.get(), buffer, sizeof buffer);
  ASSERT_EQ(::write(write_end.get(), "abc", 3), 3);
  run_until(completion);
  EXPECT_EQ(result, 3);
  EXPECT_STREQ(buffer, "abc");
}

TEST_F(RingTest, PollsAndCanBeArmedAgainFromItsCallback) {
  int calls = 0;
  std::unique_ptr<Completion> completion;
  completion = std::make_unique<Completion>([&](int events) {
    EXPECT_NE(events & POLLIN, 0);
    if (++calls < 3) ring->poll(*completion, read_end.get(), POLLIN);
  });
  ASSERT_EQ(::write(write_end.get(), "x", 1), 1);
  ring->poll(*completion, read_end.get(), POLLIN);
  run_until(*completion);
  EXPECT_EQ(calls, 3);
}

TEST_F(RingTest, CallsBackACancelledOperation) {
  int result = 0;
  Completion completion([&](int value) { result = value; });
  ring->poll(completion, read_end.get(), POLLIN);
  ring->cancel(completion);
  run_until(completion);
  EXPECT_EQ(result, -ECANCELED);
  EXPECT_EQ(ring->in_flight(), 0U);
}

TEST_F(RingTest, ComesBackAtTheDeadline) {
  const std::int64_t deadline_ns = now_ns() + 2'000'000;
  ASSERT_TRUE(ring->run_once(deadline_ns));
  EXPECT_GE(now_ns(), deadline_ns);
}

TEST_F(RingTest, TakesMoreOperationsThanItHasEntries) {
  std::vector<std::unique_ptr<Completion>> all;
  int called = 0;
  for (int i = 0; i < 100; ++i) {
    all.push_back(std::make_unique<Completion>([&](int) { ++called; }));
    ring->poll(*all.back(), read_end.get(), POLLIN);
  }
  ASSERT_EQ(::write(write_end.get(), "x", 1), 1);
  for (const auto& completion : all) run_until(*completion);
  EXPECT_EQ(called, 100);
}

TEST_F(RingTest, AbortsWhenAnOperationInFlightIsDestroyed) {
  EXPECT_DEATH(
      {
        Result<std::unique_ptr<Ring>> own = Ring::create(8);
        Completion completion([](int) {});
        (*own)->poll(completion, read_end.get(), POLLIN);
      },
      "CHECK failed");
}

}  // namespace
}  // namespace hatchery
