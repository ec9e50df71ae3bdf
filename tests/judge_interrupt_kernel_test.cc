// `hatchery judge` after Ctrl-C: what it counts it has shown.
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

#include "tests/cli_fixture.h"
#include "tests/selinux_fixture.h"

namespace hatchery {
namespace {

using namespace cli_testing;

TEST_F(JobCommand, InterruptedJudgeShowsEveryVerdictThatItCounts) {
  HATCHERY_REQUIRE_FEATURE("python3");
  const std::string package = scratch_ / "package";
  const std::string shared = scratch_ / "shared";
  std::filesystem::create_directories(package + "/data/secret");
  std::filesystem::create_directories(package + "/submissions/accepted");
  std::filesystem::create_directory(shared);
  ASSERT_EQ(::chmod(scratch_.path().c_str(), 0755) + ::chmod(shared.c_str(), 0777), 0);
  ASSERT_EQ(::mkfifo((shared + "/running").c_str(), 0666), 0);
  ASSERT_EQ(::chmod((shared + "/running").c_str(), 0666), 0);
  testing::show_to_jobs(shared, "hatchery_job_file_t");
  write_file(package + "/problem.yaml", "name: Interrupted\nlimits:\n  time_limit: 60\n");
  write_file(package + "/data/secret/1.in", "1\n");
  write_file(package + "/data/secret/1.ans", "1\n");
  const std::string accepted = package + "/submissions/accepted/";
  const std::string forever = "import signal\nsignal.pause()\n";
  // With two jobs at once the first holds one place, so the third runs when the second has ended.
  write_file(accepted + "a.py", forever);
  write_file(accepted + "b.py", "print(1)\n");
  write_file(accepted + "c.py", "open('/shared/running', 'w').write('x')\n" + forever);
  const UniqueFd running(::open((shared + "/running").c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_TRUE(running.valid());
  Process process(
      hatchery({"judge", "--slots", "2", "--jobs", "2", "--bind", shared + ":/shared:rw", package}),
      {});
  pollfd waiting = {.fd = running.get(), .events = POLLIN, .revents = 0};
  ASSERT_EQ(::poll(&waiting, 1, 50'000 * testing::slowness()), 1)
      << "the third submission never ran";
  process.kill(SIGINT);
  const ProcessResult result = process.wait();
  EXPECT_EQ(result.status, 130) << result.err;
  EXPECT_TRUE(has(result.out, "b.py")) << result.out;
  EXPECT_FALSE(has(result.out, "a.py") || has(result.out, "c.py")) << result.out;
  EXPECT_TRUE(has(result.out, "interrupted: 1/3 verdicts as expected")) << result.out;
}

}  // namespace
}  // namespace hatchery
