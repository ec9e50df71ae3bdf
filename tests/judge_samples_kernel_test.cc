// Every sample, as its README says: each submission gets the verdict of its directory, and the CI
// project its artifact.
#include <gmock/gmock.h>

#include <filesystem>

#include "tests/host_features.h"
#include "tests/process.h"
#include "tests/slowness.h"

namespace hatchery::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

const fs::path kSamples = fs::path(HATCHERY_SOURCE_DIR) / "deploy/samples";
constexpr std::chrono::seconds kDeadline(170);

class JudgeSamples : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    for (const char* feature : {"root", "userns", "cgroup_memory", "gcc", "gxx", "python3"})
      HATCHERY_REQUIRE_FEATURE(feature);
  }
  static ProcessResult judge(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {HATCHERY_BINARY, "judge"});
    return Process(arguments, "", kDeadline).wait();
  }
};

TEST_P(JudgeSamples, EverySubmissionGetsTheVerdictOfItsDirectory) {
  HATCHERY_REQUIRE_FEATURE("javac");
  std::vector<std::string> arguments = {kSamples / GetParam()};
#if defined(HATCHERY_SANITIZED)
  // Guests run beside these builds: then the start of Java alone may take the usual wall limit.
  arguments.insert(arguments.begin(), {"--time-limit", "3"});
#endif
  const ProcessResult result = judge(std::move(arguments));
  EXPECT_EQ(result.status, 0) << result.out << result.err;
  EXPECT_THAT(result.out, HasSubstr("verdicts as expected"));
}

INSTANTIATE_TEST_SUITE_P(Package, JudgeSamples,
                         ::testing::Values("addition", "longsort", "hypotenuse", "guess",
                                           "anagram"),
                         [](const auto& package) { return package.param; });

TEST_F(JudgeSamples, AVerdictThatIsNotTheExpectedOneFailsTheRun) {
  const fs::path copy = fs::path(::testing::TempDir()) / ("judge-" + std::to_string(::getpid()));
  fs::copy(kSamples / "addition", copy, fs::copy_options::recursive);
  fs::remove_all(copy / "submissions");
  fs::create_directories(copy / "submissions/wrong_answer");
  for (const auto& entry : fs::directory_iterator(kSamples / "addition/submissions/accepted"))
    if (entry.path().extension() == ".py")
      fs::copy(entry.path(), copy / "submissions/wrong_answer");
  const ProcessResult result = judge({"--time-limit", std::to_string(slowness()), copy});
  fs::remove_all(copy);
  EXPECT_EQ(result.status, 1) << result.out << result.err;
  EXPECT_THAT(result.out, HasSubstr("AC"));
}

TEST_F(JudgeSamples, TheCiProjectIsBuiltAndTestedFromAReadOnlyDirectory) {
  HATCHERY_REQUIRE_FEATURE("full_speed");
  const fs::path artifact =
      fs::path(::testing::TempDir()) / ("artifact-" + std::to_string(::getpid()) + ".tar.gz");
  const ProcessResult result =
      Process({HATCHERY_BINARY, "run", "--bind", (kSamples / "ci-project").string() + ":/src",
               "--out", "artifact.tar.gz=" + artifact.string(), "--", "sh", "-c",
               "touch /src/planted 2>/dev/null && exit 99; sh /src/ci.sh"},
              "", kDeadline)
          .wait();
  EXPECT_EQ(result.status, 0) << result.out << result.err;
  EXPECT_GT(fs::file_size(artifact), 1000U);
  fs::remove(artifact);
  EXPECT_FALSE(fs::exists(kSamples / "ci-project/planted"));
}

}  // namespace
}  // namespace hatchery::testing
