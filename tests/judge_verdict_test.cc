// From reports to verdicts, and when a submission's verdict is known.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <random>

#include "pool/cli/judge/run_verdict.h"
#include "pool/cli/judge/table.h"
#include "pool/cli/judge/test_schedule.h"

namespace hatchery::judge {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using enum Verdict;

Report ended(Outcome outcome) {
  Report report;
  report.outcome = outcome;
  return report;
}

Report exited(int status) {
  Report report = ended(status == 0 ? Outcome::kAccepted : Outcome::kNonzeroExit);
  report.exit_code = status;
  return report;
}

Report signalled(int number) {
  Report report = ended(Outcome::kSignalled);
  report.signal = number;
  return report;
}

TEST(FindingOfRun, EveryOutcomeHasAVerdict) {
  const std::vector<std::pair<Outcome, Verdict>> expected = {
      {Outcome::kAccepted, kAccepted},        {Outcome::kNonzeroExit, kRunTimeError},
      {Outcome::kSignalled, kRunTimeError},   {Outcome::kTimeLimit, kTimeLimit},
      {Outcome::kWallLimit, kTimeLimit},      {Outcome::kMemoryLimit, kMemoryLimit},
      {Outcome::kOutputLimit, kOutputLimit},  {Outcome::kForbiddenSyscall, kRunTimeError},
      {Outcome::kFileError, kJudgeError},     {Outcome::kCancelled, kJudgeError},
      {Outcome::kInternalError, kJudgeError},
  };
  for (const auto& [outcome, verdict] : expected) {
    EXPECT_EQ(finding_of_run(ended(outcome), {}).verdict, verdict) << outcome_name(outcome);
  }
}

TEST(FindingOfRun, ARuntimeThatSaysSoIsOutOfMemory) {
  Language java;
  java.memory_limit_text = "java.lang.OutOfMemoryError";
  Report report = exited(1);
  report.outputs.push_back(Output{.name = kStderr, .bytes = "… java.lang.OutOfMemoryError: heap"});
  EXPECT_EQ(finding_of_run(report, java).verdict, kMemoryLimit);
  EXPECT_EQ(finding_of_run(report, {}).verdict, kRunTimeError);
  report = exited(1);
  report.oom_kills = 1;
  EXPECT_EQ(finding_of_run(report, {}).verdict, kMemoryLimit);
}

TEST(FindingOfCompile, TellsTheSourceFromTheCompiler) {
  EXPECT_EQ(finding_of_compile(exited(0), true).verdict, kAccepted);
  EXPECT_EQ(finding_of_compile(exited(1), true).verdict, kCompileError);
  EXPECT_EQ(finding_of_compile(ended(Outcome::kWallLimit), true).verdict, kCompileError);
  EXPECT_EQ(finding_of_compile(ended(Outcome::kMemoryLimit), true).verdict, kCompileError);
  EXPECT_EQ(finding_of_compile(exited(127), true).verdict, kJudgeError);
  EXPECT_EQ(finding_of_compile(ended(Outcome::kInternalError), true).verdict, kJudgeError);
  Report no_binary = ended(Outcome::kFileError);
  EXPECT_EQ(finding_of_compile(no_binary, true).verdict, kJudgeError);
  no_binary.exit_code = 0;
  EXPECT_EQ(finding_of_compile(no_binary, true).verdict, kCompileError);
}

TEST(FindingOfValidator, OnlyTwoStatusesAreAnswers) {
  EXPECT_EQ(finding_of_validator(exited(42)).verdict, kAccepted);
  EXPECT_EQ(finding_of_validator(exited(43)).verdict, kWrongAnswer);
  for (const int status : {0, 1, 41, 44, 255}) {
    EXPECT_EQ(finding_of_validator(exited(status)).verdict, kJudgeError) << status;
  }
  EXPECT_EQ(finding_of_validator(signalled(SIGSEGV)).verdict, kJudgeError);
  EXPECT_EQ(finding_of_validator(ended(Outcome::kTimeLimit)).verdict, kJudgeError);
  EXPECT_EQ(finding_of_validator(ended(Outcome::kInternalError)).verdict, kJudgeError);
}

TEST(FindingOfValidator, TakesTheFirstLineForTheJudges) {
  Report report = exited(43);
  report.outputs.push_back(Output{.name = kStderr, .bytes = "debugging"});
  EXPECT_EQ(finding_of_validator(report).message, "debugging");
  report.outputs.push_back(
      Output{.name = "judge/feedback/judgemessage.txt", .bytes = "too many\nguesses\n"});
  EXPECT_EQ(finding_of_validator(report).message, "too many");
}

struct Interaction {
  const char* name;
  bool validator_first;
  Report submission;
  Report validator;
  Verdict verdict;
};

std::ostream& operator<<(std::ostream& out, const Interaction& test) { return out << test.name; }

class FindingOfInteraction : public testing::TestWithParam<Interaction> {};

TEST_P(FindingOfInteraction, BelievesTheRightSide) {
  Report submission = GetParam().submission;
  Report validator = GetParam().validator;
  submission.end_order = GetParam().validator_first ? 1 : 0;
  validator.end_order = GetParam().validator_first ? 0 : 1;
  const Finding finding = finding_of_interaction(submission, validator, {});
  EXPECT_EQ(finding.verdict, GetParam().verdict) << finding.message;
}

INSTANTIATE_TEST_SUITE_P(
    All, FindingOfInteraction,
    testing::Values(
        Interaction{"BothWell", false, exited(0), exited(42), kAccepted},
        Interaction{"ValidatorWellFirst", true, exited(0), exited(42), kAccepted},
        Interaction{"Rejected", false, exited(0), exited(43), kWrongAnswer},
        Interaction{"RejectedFirst", true, exited(0), exited(43), kWrongAnswer},
        Interaction{"RejectedThenClosedPipe", true, signalled(SIGPIPE), exited(43), kWrongAnswer},
        Interaction{"RejectedThenFailed", true, exited(1), exited(43), kWrongAnswer},
        Interaction{"RejectedThenLoops", true, ended(Outcome::kTimeLimit), exited(43),
                    kWrongAnswer},
        Interaction{"ClosedPipeSeenBeforeTheRejection", false, signalled(SIGPIPE), exited(43),
                    kWrongAnswer},
        Interaction{"FailedThenRejected", false, exited(1), exited(43), kRunTimeError},
        Interaction{"CrashedThenRejected", false, signalled(SIGSEGV), exited(43), kRunTimeError},
        Interaction{"FailedWithHappyValidator", true, exited(1), exited(42), kRunTimeError},
        Interaction{"TimeLimitThenRejected", false, ended(Outcome::kTimeLimit), exited(43),
                    kTimeLimit},
        Interaction{"BothWaited", false, ended(Outcome::kWallLimit), exited(43), kTimeLimit},
        Interaction{"MemoryLimit", false, ended(Outcome::kMemoryLimit), exited(43), kMemoryLimit},
        Interaction{"CrashedThenValidatorPipe", false, signalled(SIGSEGV), signalled(SIGPIPE),
                    kRunTimeError},
        Interaction{"LeftEarly", false, exited(0), signalled(SIGPIPE), kWrongAnswer},
        Interaction{"ValidatorCrashedFirst", true, signalled(SIGPIPE), signalled(SIGSEGV),
                    kJudgeError},
        Interaction{"ValidatorWrongStatus", false, exited(0), exited(1), kJudgeError},
        Interaction{"ValidatorLoops", false, exited(0), ended(Outcome::kTimeLimit), kJudgeError},
        Interaction{"ValidatorCannotStart", true, ended(Outcome::kCancelled),
                    ended(Outcome::kFileError), kJudgeError},
        Interaction{"SubmissionCannotStart", true, ended(Outcome::kInternalError),
                    ended(Outcome::kCancelled), kJudgeError}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(TestSchedule, TheFirstFailureInOrderDecides) {
  TestSchedule schedule(4, false);
  for (std::size_t test = 0; test < 4; ++test) schedule.start(test);
  EXPECT_THAT(schedule.superfluous(), IsEmpty());
  schedule.done(2, kTimeLimit);
  EXPECT_THAT(schedule.superfluous(), ElementsAre(3U));
  schedule.cancelled(3);
  schedule.done(1, kWrongAnswer);
  EXPECT_FALSE(schedule.finished());
  schedule.done(0, kAccepted);
  ASSERT_TRUE(schedule.finished());
  EXPECT_EQ(schedule.verdict(), kWrongAnswer);
  EXPECT_EQ(schedule.deciding(), 1U);
}

TEST(TestSchedule, NothingStartsAfterAFailure) {
  TestSchedule schedule(3, false);
  schedule.start(0);
  EXPECT_EQ(schedule.peek(), 1U);
  schedule.done(0, kRunTimeError);
  EXPECT_EQ(schedule.peek(), std::nullopt);
  EXPECT_TRUE(schedule.finished());
}

TEST(TestSchedule, AllRunsEverything) {
  TestSchedule schedule(3, true);
  schedule.start(0);
  schedule.done(0, kRunTimeError);
  schedule.start(1);
  schedule.done(1, kWrongAnswer);
  EXPECT_THAT(schedule.superfluous(), IsEmpty());
  EXPECT_FALSE(schedule.finished());
  schedule.start(2);
  schedule.done(2, kAccepted);
  ASSERT_TRUE(schedule.finished());
  EXPECT_EQ(schedule.verdict(), kRunTimeError);
  EXPECT_EQ(schedule.done_count(), 3U);
}

// Whatever order reports come in, the verdict is that of running the tests one after the other.
TEST(TestSchedule, TheOrderOfReportsDoesNotMatter) {
  for (unsigned seed = 0; seed < 200; ++seed) {
    std::mt19937 random(seed);
    const std::size_t count = 1 + random() % 12;
    std::vector<Verdict> verdicts(count, kAccepted);
    for (Verdict& verdict : verdicts) {
      if (random() % 4 == 0) verdict = static_cast<Verdict>(random() % kVerdictCount);
    }
    TestSchedule schedule(count, false);
    std::vector<std::size_t> in_flight;
    while (!schedule.finished()) {
      if (const auto next = schedule.peek(); next.has_value() && random() % 2 == 0) {
        schedule.start(*next);
        in_flight.push_back(*next);
      } else if (!in_flight.empty()) {
        const auto chosen =
            in_flight.begin() + static_cast<std::ptrdiff_t>(random() % in_flight.size());
        const std::size_t test = *chosen;
        in_flight.erase(chosen);
        const std::vector<std::size_t> dropped = schedule.superfluous();
        const bool drop = std::find(dropped.begin(), dropped.end(), test) != dropped.end();
        drop ? schedule.cancelled(test) : schedule.done(test, verdicts[test]);
      }
    }
    const auto first = std::find_if(verdicts.begin(), verdicts.end(),
                                    [](Verdict verdict) { return verdict != kAccepted; });
    EXPECT_EQ(schedule.verdict(), first == verdicts.end() ? kAccepted : *first) << "seed " << seed;
  }
}

TEST(Printable, LetsNothingControlATerminal) {
  EXPECT_EQ(printable("plain ö"), "plain ö");
  EXPECT_EQ(printable("\x1b[31m\x07\n"), "?[31m??");
  EXPECT_EQ(printable("a\tb"), "a b");
  EXPECT_EQ(printable("\xc2\x9b"
                      "31m"),
            "?31m");
  EXPECT_EQ(printable("\xff"), "\xef\xbf\xbd");
  EXPECT_EQ(printable("12345", 3), "123…");
}

}  // namespace
}  // namespace hatchery::judge
