// The standard streams of `hatchery` when they are closed, full or gone.
#include <sys/mount.h>

#include "tests/cli_fixture.h"

namespace hatchery {
namespace {

using namespace cli_testing;

class ClosedStream : public JobCommand {};

TEST_F(ClosedStream, NoDescriptorOfOursTakesItsNumber) {
  for (const char* closed : {"<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"}) {
    const std::string listing = scratch_ / "listing";
    const ProcessResult result = run_in_shell(
        "$H run --stdout " + listing + " -- readlink /proc/self/fd/0 /proc/self/fd/2 " + closed);
    EXPECT_EQ(result.status, 0) << closed << result.err;
    const std::string seen = contents(listing);
    EXPECT_EQ(lines_of(seen), 2U) << closed;
    EXPECT_FALSE(has(seen, "anon_inode")) << closed << seen;
    EXPECT_TRUE(!has(closed, "<&-") || has(seen, "/dev/null\n")) << closed << seen;
  }
}

TEST_F(ClosedStream, OutputThatCanGoNowhereIsAFileError) {
  const ProcessResult result = run_in_shell("$H run --wall-time 20s -- echo hi >&-");
  EXPECT_FALSE(result.timed_out);
  EXPECT_EQ(result.status, 245) << result.err;
  EXPECT_TRUE(has(result.err, "standard output") && has(result.err, "EBADF")) << result.err;
  EXPECT_EQ(run_in_shell("$H run -- true >&-").status, 0);
}

TEST_F(ClosedStream, ReportsThatCanGoNowhereAreAFileError) {
  const ProcessResult result = run_in_shell(R"(echo '{"args":["/bin/true"]}' | $H batch -q - >&-)");
  EXPECT_EQ(result.status, 245) << result.err;
  EXPECT_TRUE(has(result.err, "EBADF")) << result.err;
}

TEST_F(ClosedStream, ABatchOfAClosedInputIsAnErrorNotAnEmptyBatch) {
  const ProcessResult result = run_in_shell("$H batch -q - <&-");
  EXPECT_EQ(result.status, 245) << result.err;
  EXPECT_TRUE(has(result.err, "EBADF")) << result.err;
}

TEST_F(Command, TextThatCantBeWrittenIsAFileError) {
  for (const char* verb : {"--help", "--version", "run --help", "doctor --print-config"}) {
    for (const char* stream : {"> /dev/full", ">&-"}) {
      const ProcessResult result = run_in_shell(std::string("$H ") + verb + " " + stream);
      EXPECT_EQ(result.status, 245) << verb << stream;
      EXPECT_TRUE(has(result.err, "standard output")) << result.err;
    }
  }
}

TEST_F(JobCommand, FullDiskUnderAnOutputIsAFileErrorWhateverTheJobDiedOf) {
  const std::string small = scratch_ / "small";
  ASSERT_TRUE(std::filesystem::create_directory(small));
  ASSERT_EQ(::mount("none", small.c_str(), "tmpfs", 0, "size=64k"), 0);
  for (const char* job : {"cat /dev/zero", "trap '' PIPE; cat /dev/zero; exit 3"}) {
    const ProcessResult result = run_hatchery(
        {"run", "--stdout", small + "/o", "--json", scratch_ / "r", "--", "sh", "-c", job});
    EXPECT_EQ(result.status, 245) << result.err;
    EXPECT_TRUE(has(result.err, "small/o") && has(result.err, "ENOSPC")) << result.err;
    EXPECT_FALSE(has(result.err, "signal")) << result.err;
    EXPECT_TRUE(has(contents(scratch_ / "r"), R"("outcome":"file error")"));
  }
  EXPECT_EQ(::umount2(small.c_str(), MNT_DETACH), 0);
}

}  // namespace
}  // namespace hatchery
