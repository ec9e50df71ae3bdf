#include <gtest/gtest.h>

#include "core/files.h"

namespace hatchery {
namespace {

TEST(KeyedNumber, FindsTheKeyAtTheStartOfALine) {
  const std::string_view text = "usage_usec 12\nuser_usec 7\nnr_throttled 0\n";
  EXPECT_EQ(keyed_number(text, "user_usec"), 7U);
  EXPECT_EQ(keyed_number(text, "usage_usec"), 12U);
  EXPECT_EQ(keyed_number(text, "nr_throttled"), 0U);
}

TEST(KeyedNumber, IsAbsentForAPrefixOrAMissingKey) {
  EXPECT_EQ(keyed_number("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", "oom_kill"), 3U);
  EXPECT_EQ(keyed_number("user_usec 7\n", "user"), std::nullopt);
  EXPECT_EQ(keyed_number("", "user"), std::nullopt);
  EXPECT_EQ(keyed_number("max max\n", "max"), std::nullopt);
}

TEST(LeadingNumber, IsAbsentWhenThereIsNone) {
  EXPECT_EQ(leading_number("42\n"), 42U);
  EXPECT_EQ(leading_number("max\n"), std::nullopt);
  EXPECT_EQ(leading_number("99999999999999999999999"), std::nullopt);
}

TEST(ReadWholeFile, ReadsFilesWithoutASize) {
  const Result<std::string> text = read_whole_file("/proc/self/status");
  ASSERT_TRUE(text);
  EXPECT_NE(text->find("Name:"), std::string::npos);
}

TEST(ReadWholeFile, RefusesMoreThanItsBound) {
  const Result<std::string> text = read_whole_file("/dev/zero", 1000);
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().errnum, EFBIG);
}

TEST(ReadWholeFile, NamesTheMissingFile) {
  const Result<std::string> text = read_whole_file("/no/such/file");
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().object, "/no/such/file");
  EXPECT_EQ(text.error().errnum, ENOENT);
}

}  // namespace
}  // namespace hatchery
