#include <gtest/gtest.h>

#include <cerrno>
#include <set>

#include "core/error.h"
#include "core/result.h"
#include "workers/protocol.h"

namespace hatchery {
namespace {

/// Every value of Step that the enum declares; step_name() aborts on any other.
std::vector<Step> all_steps() {
  std::vector<Step> steps;
  const std::pair<Step, Step> groups[] = {{Step::kNone, Step::kQueueJob},
                                          {Step::kCreateRing, Step::kSelinuxLabel},
                                          {Step::kSlotJoinCgroup, Step::kSlotOpenDirectory},
                                          {Step::kResetTmpfs, Step::kResetIpc},
                                          {Step::kWorkerClone, Step::kWorkerExec},
                                          {Step::kOpenInput, Step::kOpenOutput},
                                          {Step::kReadFile, Step::kCompileSubmission},
                                          {Step::kListen, Step::kParseRequest}};
  for (const auto& [first, last] : groups)
    for (int value = static_cast<int>(first); value <= static_cast<int>(last); ++value)
      steps.push_back(static_cast<Step>(value));
  return steps;
}

TEST(Step, HasANameOfItsOwn) {
  std::set<std::string> names;
  for (const Step step : all_steps())
    EXPECT_TRUE(names.insert(step_name(step)).second) << step_name(step);
}

TEST(Error, NamesStepObjectErrnoAndRemedy) {
  const Error error = errno_error(Step::kSlotMountProc, "profile \"x\"", EPERM, "do this");
  EXPECT_EQ(error.message(),
            "slot: mount /proc profile \"x\": Operation not permitted (EPERM); do this");
}

TEST(Error, LeavesOutWhatIsAbsent) {
  EXPECT_EQ((Error{.step = Step::kQueueJob}.message()), "queue job");
  EXPECT_EQ((Error{.step = Step::kQueueJob, .detail = "full"}.message()), "queue job: full");
}

TEST(Error, NamesAnErrnoThatHasNoName) { EXPECT_EQ(errno_name(9999), "errno 9999"); }

TEST(Result, HoldsAValueOrAnError) {
  const Result<int> good = 3;
  EXPECT_TRUE(good.has_value());
  EXPECT_EQ(*good, 3);
  const Result<int> bad = errno_error(Step::kReadFile, "f", ENOENT);
  EXPECT_FALSE(bad);
  EXPECT_EQ(bad.error().errnum, ENOENT);
}

TEST(Result, AbortsWhenTheWrongSideIsAsked) {
  const Result<int> bad = Error{.step = Step::kReadFile};
  EXPECT_DEATH(static_cast<void>(bad.value()), "CHECK failed");
}

}  // namespace
}  // namespace hatchery
