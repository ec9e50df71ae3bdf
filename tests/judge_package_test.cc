// Problem packages: good ones in, what is wrong with bad ones out.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "pool/cli/judge/package.h"

namespace hatchery::judge {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
namespace fs = std::filesystem;

/// A package in a directory of its own, removed at the end.
class PackageTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "hatchery-package-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override {
    std::error_code code;
    fs::remove_all(directory_, code);
  }
  void write(const std::string& path, const std::string& text) const {
    fs::create_directories(fs::path(directory_ + "/" + path).parent_path());
    std::ofstream(directory_ + "/" + path, std::ios::binary) << text;
  }
  void write_test(const std::string& name) const {
    write("data/" + name + ".in", "1 2\n");
    write("data/" + name + ".ans", "3\n");
  }
  void write_minimal() const {
    write("problem.yaml", "name: Sum\nlimits:\n  time_limit: 2\n");
    write_test("secret/1");
  }
  Package read() const {
    Result<Package> package = read_package(directory_);
    EXPECT_TRUE(package) << package.error().message();
    return package ? *std::move(package) : Package{};
  }
  std::string error() const {
    const Result<Package> package = read_package(directory_);
    EXPECT_FALSE(package);
    if (package) return "";
    EXPECT_FALSE(package.error().remedy.empty()) << package.error().message();
    return package.error().message();
  }
  static std::vector<std::string> names(const Package& package) {
    std::vector<std::string> names;
    for (const TestCase& test : package.tests) names.push_back(test.name);
    return names;
  }

  std::string directory_;
};

TEST_F(PackageTest, AMinimalOneHasTheFormatsDefaults) {
  write_minimal();
  const Package package = read();
  EXPECT_EQ(package.name, "Sum");
  EXPECT_EQ(package.validation, Validation::kDefault);
  EXPECT_EQ(package.limits.time, std::chrono::seconds(2));
  EXPECT_EQ(package.limits.memory_bytes, 2048ULL << 20U);
  EXPECT_EQ(package.limits.output_bytes, 8ULL << 20U);
  EXPECT_EQ(package.limits.compile_time, std::chrono::seconds(60));
  EXPECT_THAT(package.submissions, IsEmpty());
  EXPECT_THAT(package.warnings, IsEmpty());
}

TEST_F(PackageTest, AllLimitsAreRead) {
  write_minimal();
  write("problem.yaml",
        "name: {sv: Summa, en: Sum}\n"
        "validation: default\n"
        "validator_flags: case_sensitive float_tolerance 1e-4\n"
        "limits: {time_limit: 0.5, memory: 64, output: 1.5, compilation_time: 10,\n"
        "  compilation_memory: 512, validation_time: 5, validation_memory: 128,\n"
        "  validation_output: 2, code: 64, time_multiplier: 3}\n");
  const Package package = read();
  EXPECT_EQ(package.name, "Sum");
  EXPECT_EQ(package.limits.time, std::chrono::milliseconds(500));
  EXPECT_EQ(package.limits.memory_bytes, 64ULL << 20U);
  EXPECT_EQ(package.limits.output_bytes, 3ULL << 19U);
  EXPECT_EQ(package.limits.compile_time, std::chrono::seconds(10));
  EXPECT_EQ(package.limits.compile_memory_bytes, 512ULL << 20U);
  EXPECT_EQ(package.limits.validation_time, std::chrono::seconds(5));
  EXPECT_EQ(package.limits.validation_memory_bytes, 128ULL << 20U);
  EXPECT_EQ(package.limits.validation_output_bytes, 2ULL << 20U);
  EXPECT_TRUE(package.tests.front().options.case_sensitive);
  EXPECT_EQ(package.tests.front().options.float_absolute, 1e-4L);
  EXPECT_THAT(package.warnings, IsEmpty());
}

TEST_F(PackageTest, TestsAreInOrderSamplesFirstGroupsInside) {
  write_minimal();
  for (const char* name : {"secret/2", "secret/10", "secret/group2/b", "secret/group1/sub/a",
                           "secret/group1/c", "sample/2", "sample/1"}) {
    write_test(name);
  }
  write("data/secret/.hidden.in", "");
  write("data/secret/1.png", "");
  EXPECT_THAT(names(read()),
              ElementsAre("sample/1", "sample/2", "secret/1", "secret/10", "secret/2",
                          "secret/group1/c", "secret/group1/sub/a", "secret/group2/b"));
}

TEST_F(PackageTest, FlagsOfTheClosestGroupHold) {
  write_minimal();
  write_test("secret/a/1");
  write_test("secret/a/deep/1");
  write_test("secret/b/1");
  write("problem.yaml", "validator_flags: case_sensitive\nlimits: {time_limit: 1}\n");
  write("data/testdata.yaml", "output_validator_flags: float_tolerance 1\n");
  write("data/secret/a/testdata.yaml", "output_validator_flags: float_tolerance 2\ngrading: x\n");
  const Package package = read();
  ASSERT_THAT(names(package),
              ElementsAre("secret/1", "secret/a/1", "secret/a/deep/1", "secret/b/1"));
  EXPECT_THAT(package.tests[1].validator_flags,
              ElementsAre("case_sensitive", "float_tolerance", "2"));
  EXPECT_EQ(package.tests[0].options.float_absolute, 1.0L);
  EXPECT_EQ(package.tests[2].options.float_absolute, 2.0L);
  EXPECT_EQ(package.tests[3].options.float_absolute, 1.0L);
  EXPECT_TRUE(package.tests[3].options.case_sensitive);
}

TEST_F(PackageTest, TheTimeLimitMayStandElsewhere) {
  write_minimal();
  write("problem.yaml", "name: x\n");
  EXPECT_FALSE(read().limits.time.has_value());
  write("domjudge-problem.ini", "short-name = 'x'\ntimelimit='3'\ncolor='#fff'\n");
  EXPECT_EQ(read().limits.time, std::chrono::seconds(3));
  write(".timelimit", "1.5\n");
  EXPECT_EQ(read().limits.time, std::chrono::milliseconds(1500));
  EXPECT_EQ(read().time_limit_source, ".timelimit");
}

TEST_F(PackageTest, SubmissionsHaveExpectations) {
  write_minimal();
  write("submissions/accepted/a.cc", "int main() {}");
  write("submissions/accepted/dir/main.cc", "");
  write("submissions/accepted/dir/lib/x.h", "");
  write("submissions/accepted/README.md", "not a submission");
  write("submissions/run_time_error/b.py", "");
  write("submissions/mixed/c.py", "#!/x\n# @EXPECTED_RESULTS@: wrong-answer, TIMELIMIT\n");
  write("submissions/rejected/d.c", "/* @EXPECTED_RESULTS@: COMPILER-ERROR */\n");
  write("submissions/slow/e.py", "");
  const Package package = read();
  ASSERT_EQ(package.submissions.size(), 6U);
  EXPECT_EQ(package.submissions[0].name, "accepted/a.cc");
  EXPECT_TRUE(package.submissions[0].expectation.met_by(Verdict::kAccepted));
  EXPECT_FALSE(package.submissions[0].expectation.met_by(Verdict::kWrongAnswer));
  ASSERT_EQ(package.submissions[1].files.size(), 2U);
  EXPECT_EQ(package.submissions[1].files[0].name, "lib/x.h");
  EXPECT_EQ(package.submissions[2].expectation.text, "WA|TLE");
  EXPECT_EQ(package.submissions[3].expectation.text, "CE");
  // Memory and output limit have no directory of their own in the original format.
  EXPECT_TRUE(package.submissions[4].expectation.met_by(Verdict::kMemoryLimit));
  EXPECT_TRUE(package.submissions[4].expectation.met_by(Verdict::kRunTimeError));
  EXPECT_FALSE(package.submissions[4].expectation.met_by(Verdict::kTimeLimit));
  EXPECT_TRUE(package.submissions[5].expectation.any());
  ASSERT_EQ(package.warnings.size(), 1U);
  EXPECT_THAT(package.warnings[0], HasSubstr("slow"));
}

TEST_F(PackageTest, ALoneSubmissionIsExpectedWhatItsDirectorySays) {
  write("submissions/wrong_answer/a.py", "");
  write("accepted/b.py", "");
  const auto inside = read_submission(directory_ + "/submissions/wrong_answer/a.py");
  ASSERT_TRUE(inside);
  EXPECT_TRUE(inside->expectation.met_by(Verdict::kWrongAnswer));
  EXPECT_FALSE(inside->expectation.any());
  const auto outside = read_submission(directory_ + "/accepted/b.py");
  ASSERT_TRUE(outside);
  EXPECT_TRUE(outside->expectation.any());
  const auto missing = read_submission(directory_ + "/none.py");
  ASSERT_FALSE(missing);
  EXPECT_THAT(missing.error().message(), HasSubstr("none.py"));
}

TEST_F(PackageTest, ACustomValidatorIsRead) {
  write_minimal();
  write("problem.yaml",
        "validation: custom\nvalidator_flags: any thing\nlimits: {time_limit: 1}\n");
  write("output_validators/check/check.cc", "");
  write("output_validators/check/validate.h", "");
  const Package package = read();
  EXPECT_EQ(package.validation, Validation::kCustom);
  EXPECT_EQ(package.validator_files.size(), 2U);
  EXPECT_THAT(package.tests[0].validator_flags, ElementsAre("any", "thing"));
}

TEST_F(PackageTest, AnInteractiveOneNeedsNoAnswers) {
  write("problem.yaml", "validation: custom interactive\n");
  write("data/secret/1.in", "5\n");
  write("output_validators/judge.py", "");
  const Package package = read();
  EXPECT_EQ(package.validation, Validation::kInteractive);
  EXPECT_EQ(package.tests[0].answer_path, "");
  EXPECT_EQ(package.validator_files.size(), 1U);
}

TEST_F(PackageTest, TheSuccessorsDirectoriesAreUnderstood) {
  write_minimal();
  write("problem.yaml",
        "problem_format_version: 2023-07-draft\ntype: interactive\nlimits: {time_limit: 1}\n");
  write("output_validator/validate.py", "");
  write("data/secret/test_group.yaml", "output_validator_args: [a, b c]\n");
  const Package package = read();
  EXPECT_EQ(package.validation, Validation::kInteractive);
  EXPECT_THAT(package.tests[0].validator_flags, ElementsAre("a", "b c"));
}

TEST_F(PackageTest, ASlipInLimitsIsAWarningWithItsLine) {
  write_minimal();
  write("problem.yaml", "limits:\n  memroy: 64\n");
  const Package package = read();
  ASSERT_EQ(package.warnings.size(), 1U);
  EXPECT_THAT(package.warnings[0], HasSubstr("problem.yaml:2:3"));
  EXPECT_THAT(package.warnings[0], HasSubstr("memory"));
}

struct WrongYaml {
  const char* name;
  const char* yaml;
  const char* place;
  const char* says;
};

std::ostream& operator<<(std::ostream& out, const WrongYaml& test) { return out << test.name; }

class WrongProblemYaml : public testing::TestWithParam<WrongYaml> {};

TEST_P(WrongProblemYaml, IsRefusedWithPlaceAndRemedy) {
  const Result<ProblemYaml> problem = read_problem_yaml(GetParam().yaml, "problem.yaml");
  ASSERT_FALSE(problem);
  EXPECT_EQ(problem.error().step, Step::kReadPackage);
  EXPECT_THAT(problem.error().object, HasSubstr(GetParam().place));
  EXPECT_THAT(problem.error().message(), HasSubstr(GetParam().says));
  EXPECT_FALSE(problem.error().remedy.empty());
}

INSTANTIATE_TEST_SUITE_P(
    All, WrongProblemYaml,
    testing::Values(
        WrongYaml{"NoYaml", "name: [a\n", "problem.yaml:2", ""},
        WrongYaml{"Tab", "limits:\n\tmemory: 1\n", "problem.yaml:2", ""},
        WrongYaml{"AList", "- a\n- b\n", "problem.yaml:1", "no map"},
        WrongYaml{"UnknownAlias", "a: *b\n", "problem.yaml:1", ""},
        WrongYaml{"ScoreValidation", "name: a\nvalidation: custom score\n", "problem.yaml:2:13",
                  "custom score"},
        WrongYaml{"UnknownValidation", "validation: fancy\n", "problem.yaml:1:13", "fancy"},
        WrongYaml{"ValidationIsAMap", "validation: {a: b}\n", "problem.yaml:1:13", "map"},
        WrongYaml{"Scoring", "type: scoring\n", "problem.yaml:1:7", "scoring"},
        WrongYaml{"LimitsIsAList", "limits: [1]\n", "problem.yaml:1:9", "no map"},
        WrongYaml{"NegativeTime", "limits:\n  time_limit: -1\n", "problem.yaml:2:15", "-1"},
        WrongYaml{"ZeroTime", "limits: {time_limit: 0}\n", "problem.yaml:1:22", "0.001"},
        WrongYaml{"TimeWithUnit", "limits: {time_limit: 2s}\n", "time_limit", "2s"},
        WrongYaml{"InfiniteTime", "limits: {time_limit: inf}\n", "time_limit", "inf"},
        WrongYaml{"NanMemory", "limits: {memory: nan}\n", "memory", "nan"},
        WrongYaml{"HugeMemory", "limits: {memory: 1e30}\n", "memory", "1e30"},
        WrongYaml{"MemoryIsAList", "limits: {memory: [1]}\n", "memory", "MiB"},
        WrongYaml{"FlagsAreAMap", "validator_flags: {a: b}\n", "validator_flags", "map"},
        WrongYaml{"FlagIsAList", "validator_flags: [[a]]\n", "validator_flags", "no word"}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(ProblemYaml, DeepNestingIsAnErrorNotACrash) {
  EXPECT_FALSE(read_problem_yaml("a: " + std::string(100'000, '['), "problem.yaml"));
}

TEST(ProblemYaml, EmptyIsFine) {
  for (const char* text : {"", "\n", "# only a comment\n", "limits:\n", "---\n"}) {
    EXPECT_TRUE(read_problem_yaml(text, "problem.yaml")) << text;
  }
}

TEST_F(PackageTest, AMissingPackageNamesTheFile) {
  const Result<Package> package = read_package("/nonexistent/package");
  ASSERT_FALSE(package);
  EXPECT_THAT(package.error().message(), HasSubstr("/nonexistent/package/problem.yaml"));
}

TEST_F(PackageTest, WhatIsMissingIsNamed) {
  write("problem.yaml", "limits: {time_limit: 1}\n");
  EXPECT_THAT(error(), HasSubstr("has no test"));
  write("data/secret/1.in", "1\n");
  EXPECT_THAT(error(), HasSubstr("data/secret/1.ans"));
  write("data/secret/1.ans", "1\n");
  write("data/secret/2.ans", "1\n");
  EXPECT_THAT(read().warnings, ElementsAre(HasSubstr("2.ans")));
  write("problem.yaml", "validation: custom\n");
  EXPECT_THAT(error(), HasSubstr("has no validator"));
  write("output_validators/a.py", "");
  write("output_validators/b.py", "");
  EXPECT_THAT(error(), HasSubstr("more than one"));
}

TEST_F(PackageTest, WrongFlagsNameTheirFile) {
  write_minimal();
  write("problem.yaml", "validator_flags: float_tolerence 1\n");
  EXPECT_THAT(error(), HasSubstr("problem.yaml: validator_flags"));
  write("problem.yaml", "name: x\n");
  write("data/secret/testdata.yaml", "output_validator_flags: float_tolerance\n");
  EXPECT_THAT(error(), HasSubstr("data/secret/testdata.yaml"));
}

TEST_F(PackageTest, WrongExpectedResultsNameTheirLine) {
  write_minimal();
  write("submissions/mixed/a.py", "\n\n# @EXPECTED_RESULTS@: MAYBE\n");
  EXPECT_THAT(error(), HasSubstr("submissions/mixed/a.py:3"));
  write("submissions/mixed/a.py", "# @EXPECTED_RESULTS@:\n");
  EXPECT_THAT(error(), HasSubstr("names no result"));
}

TEST_F(PackageTest, ALoopOfSymlinksEnds) {
  write_minimal();
  fs::create_directory_symlink(directory_ + "/data/secret", directory_ + "/data/secret/loop");
  EXPECT_THAT(error(), HasSubstr("too deep"));
}

TEST_F(PackageTest, WrongTimeLimitFilesAreNamed) {
  write_minimal();
  write("problem.yaml", "name: x\n");
  write(".timelimit", "soon\n");
  EXPECT_THAT(error(), HasSubstr(".timelimit"));
}

}  // namespace
}  // namespace hatchery::judge
