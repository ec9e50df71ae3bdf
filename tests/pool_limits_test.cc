// Limits, durations and sizes: every text is read exactly or refused with a remedy; a job's limits
// are filled from its profile and never above its maximums.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <limits>

#include "pool/config.h"
#include "pool/limits.h"
#include "pool/nearest_name.h"
#include "pool/units.h"
#include "tests/host_features.h"
#include "tests/values.h"

namespace hatchery {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

TEST(ParseDuration, ReadsEveryUnitExactly) {
  const std::vector<std::pair<std::string, std::int64_t>> cases = {
      {"0", 0},
      {"0s", 0},
      {"90", 90'000'000'000},
      {"1.5", 1'500'000'000},
      {"1.5s", 1'500'000'000},
      {"1ns", 1},
      {"1us", 1'000},
      {"200ms", 200'000'000},
      {"0.1ms", 100'000},
      {"2m", 120'000'000'000},
      {"24h", 86'400'000'000'000},
      {"0.000000001", 1},
      {"0.1000000000000000000000000000s", 100'000'000},
      {"007s", 7'000'000'000},
      {"9223372036854775807ns", 9'223'372'036'854'775'807},
      {"9223372036.854775807", 9'223'372'036'854'775'807},
  };
  for (const auto& [text, nanoseconds] : cases) {
    const Result<Nanoseconds> value = parse_duration(text);
    ASSERT_TRUE(value) << text << ": " << value.error().message();
    EXPECT_EQ(value->count(), nanoseconds) << text;
  }
}

TEST(ParseDuration, RefusesWhatIsNotADuration) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "is empty"},
      {"-1s", "is negative"},
      {"+1s", "is not a duration"},
      {"s", "is not a duration"},
      {".5s", "is not a duration"},
      {"5.", "is not a duration"},
      {" 5s", "is not a duration"},
      {"5s ", "unknown unit"},
      {"5 s", "unknown unit"},
      {"5S", "unknown unit"},
      {"5sec", "unknown unit"},
      {"1e3", "unknown unit"},
      {"0x10", "unknown unit"},
      {"1.2.3s", "unknown unit"},
      {"1,5s", "unknown unit"},
      {"1s1s", "unknown unit"},
      {"0.1ns", "not a whole number of nanoseconds"},
      {"0.1234567890123456789s", "not a whole number of nanoseconds"},
      {"9223372036854775808ns", "too large"},
      {"9223372037", "too large"},
      {"99999999999999999999999999999999999999999999999999999h", "too large"},
      {"inf", "is not a duration"},
      {"nan", "is not a duration"},
      {std::string("5\0s", 3), "\"\\x00s\""},
      {"\u0665s", "is not a duration"},
  };
  for (const auto& [text, expected] : cases) {
    EXPECT_THAT(message_of(parse_duration(text)), HasSubstr(expected)) << text;
  }
}

TEST(ParseBytes, ReadsEveryUnitExactly) {
  const std::vector<std::pair<std::string, std::uint64_t>> cases = {
      {"0", 0},
      {"4096", 4096},
      {"1B", 1},
      {"1b", 1},
      {"1K", 1024},
      {"1KB", 1024},
      {"1KiB", 1024},
      {"1k", 1024},
      {"64MiB", 64ULL << 20U},
      {"64m", 64ULL << 20U},
      {"1.5G", 3ULL << 29U},
      {"2TiB", 2ULL << 40U},
      {"0.5K", 512},
      {"18446744073709551615", std::numeric_limits<std::uint64_t>::max()},
      {"16777215T", 16'777'215ULL << 40U},
  };
  for (const auto& [text, bytes] : cases) {
    const Result<std::uint64_t> value = parse_bytes(text);
    ASSERT_TRUE(value) << text << ": " << value.error().message();
    EXPECT_EQ(*value, bytes) << text;
  }
}

TEST(ParseBytes, RefusesWhatIsNotASize) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "is empty"},
      {"-1", "is negative"},
      {"M", "is not a size"},
      {"1P", "unknown unit"},
      {"1BiB", "unknown unit"},
      {"1MiBs", "unknown unit"},
      {"1 MiB", "unknown unit"},
      {"0.1K", "not a whole number of bytes"},
      {"0.5", "not a whole number of bytes"},
      {"18446744073709551616", "too large"},
      {"16777216T", "too large"},
  };
  for (const auto& [text, expected] : cases) {
    EXPECT_THAT(message_of(parse_bytes(text)), HasSubstr(expected)) << text;
  }
  EXPECT_THAT(message_of(parse_bytes("1P")), HasSubstr("64MiB"));
}

TEST(FormatUnits, IsReadBackAsTheSameValue) {
  for (const std::int64_t count : {0LL, 1LL, 999LL, 1'000LL, 1'500'000'000LL, 3'600'000'000'000LL,
                                   9'223'372'036'854'775'807LL}) {
    EXPECT_EQ(parse_duration(format_duration(Nanoseconds(count)))->count(), count);
  }
  for (const std::uint64_t count : {0ULL, 1ULL, 1023ULL, 1024ULL, 3ULL << 29U, ~0ULL}) {
    EXPECT_EQ(*parse_bytes(format_bytes(count)), count);
  }
  EXPECT_EQ(format_duration(seconds(90)), "90s");
  EXPECT_EQ(format_duration(milliseconds(1500)), "1500ms");
  EXPECT_EQ(format_bytes(64U << 20U), "64MiB");
}

TEST(DurationFromSeconds, RefusesWhatNoDurationHolds) {
  EXPECT_EQ(duration_from_seconds(0.1)->count(), 100'000'000);
  for (const double bad : {-1.0, std::numeric_limits<double>::infinity(), 1e300,
                           std::numeric_limits<double>::quiet_NaN(), 9.3e9}) {
    EXPECT_FALSE(duration_from_seconds(bad)) << bad;
  }
}

TEST(ParseCpuSet, ReadsListsOfTheKernel) {
  using List = std::vector<std::uint32_t>;
  EXPECT_EQ(*parse_cpu_set("0"), List({0}));
  EXPECT_EQ(*parse_cpu_set("0-2,5"), List({0, 1, 2, 5}));
  EXPECT_EQ(*parse_cpu_set("5,0-1,1"), List({0, 1, 5}));
  for (const std::string bad : {"", ",", "0,", "1-", "-1", "2-1", "0-99999999", "a", "0 1", "0-1:2",
                                "4294967296", " 0", "0\n"}) {
    EXPECT_FALSE(parse_cpu_set(bad)) << bad;
  }
}

TEST(SuggestName, FindsTheSlipOrListsAll) {
  EXPECT_EQ(suggest_name("memroy", {"cpu_time", "memory"}), "did you mean \"memory\"?");
  EXPECT_EQ(suggest_name("memory_bytes", {"cpu_time", "memory"}), "did you mean \"memory\"?");
  EXPECT_EQ(suggest_name("colour", {"cpu_time", "memory"}), "known: cpu_time, memory");
  EXPECT_EQ(suggest_name("", {"a", "b"}), "known: a, b");
  EXPECT_EQ(suggest_name(std::string(1000, 'a'), {"a"}), "known: a");
}

TEST(Quote, IsShortAndWithoutControlBytes) {
  EXPECT_EQ(quote("a\n\x1b[0m"), "\"a\\x0a\\x1b[0m\"");
  EXPECT_EQ(quote(std::string(79, 'a') + "ä"), "\"" + std::string(79, 'a') + "…\"");
}

TEST(EffectiveLimits, FillsAbsentFieldsFromTheProfile) {
  Profile profile = default_profile();
  profile.maximums.address_space_bytes = 1ULL << 40U;
  profile.maximums.cpu_weight = 500;
  Limits asked;
  asked.cpu_time = milliseconds(1500);
  const Result<Limits> limits = effective_limits(asked, profile);
  ASSERT_TRUE(limits) << limits.error().message();
  EXPECT_EQ(limits->cpu_time, milliseconds(1500));
  EXPECT_EQ(limits->wall_time, profile.defaults.wall_time);
  EXPECT_EQ(limits->memory_bytes, profile.defaults.memory_bytes);
  EXPECT_EQ(limits->address_space_bytes, 1ULL << 40U) << "no limit would exceed the maximum";
  EXPECT_FALSE(limits->cpu_weight.has_value()) << "the normal weight is below the maximum";
  EXPECT_FALSE(limits->cpu_rate.has_value());
}

TEST(EffectiveLimits, ASoftLimitOfTheProfileFollowsAHardLimitOfTheJob) {
  Profile profile = default_profile();
  profile.defaults.memory_soft_bytes = 256U << 20U;
  Limits asked;
  asked.memory_bytes = 64U << 20U;
  EXPECT_EQ(effective_limits(asked, profile)->memory_soft_bytes, 64U << 20U);
  asked.memory_soft_bytes = 65U << 20U;
  const Result<Limits> limits = effective_limits(asked, profile);
  ASSERT_FALSE(limits);
  EXPECT_EQ(limits.error().object, "limits.memory_soft");
}

TEST(EffectiveLimits, AJobInAPinnedSlotHasTheSlotsCpuUnlessItAsksForOthers) {
  Profile profile = default_profile();
  profile.maximums.cpu_set = "0";
  EXPECT_EQ(effective_limits({}, profile)->cpu_set, "0") << "the control";
  profile.pin_slots = true;
  EXPECT_EQ(effective_limits({}, profile)->cpu_set, std::nullopt);
  Limits own;
  own.cpu_set = "0";
  EXPECT_EQ(effective_limits(own, profile)->cpu_set, "0");
  own.cpu_set = "1";
  EXPECT_FALSE(effective_limits(own, profile));
}

struct BadLimits {
  const char* key;
  void (*change)(Limits&);
  const char* message;
};

TEST(EffectiveLimits, RefusesWhatIsOutOfRangeOrAboveTheMaximum) {
  Profile profile = default_profile();
  profile.maximums.wall_time = hours(1);
  profile.maximums.memory_bytes = 1ULL << 30U;
  profile.maximums.cpu_weight = 200;
  profile.maximums.cpu_set = "1-3";
  profile.defaults.cpu_set = "1";
  HATCHERY_REQUIRE_FEATURE("two_cpus");
  const std::vector<BadLimits> cases = {
      {"cpu_time", [](Limits& l) { l.cpu_time = Nanoseconds(999'999); }, "999999ns is out of"},
      {"cpu_time", [](Limits& l) { l.cpu_time = Nanoseconds(-1); }, "is negative"},
      {"cpu_time", [](Limits& l) { l.cpu_time = Nanoseconds::max(); }, "1ms to 87600h"},
      {"wall_time", [](Limits& l) { l.wall_time = hours(2); }, "ask for at most 1h"},
      {"memory", [](Limits& l) { l.memory_bytes = 1; }, "1MiB to"},
      {"memory", [](Limits& l) { l.memory_bytes = 2ULL << 30U; }, "maximum of profile \"default\""},
      {"memory", [](Limits& l) { l.memory_bytes = ~0ULL; }, "out of range"},
      {"memory_soft", [](Limits& l) { l.memory_soft_bytes = 0; }, "1MiB to"},
      {"processes", [](Limits& l) { l.processes = 0; }, "1 to 4194304"},
      {"processes", [](Limits& l) { l.processes = 4'194'305; }, "1 to 4194304"},
      {"open_files", [](Limits& l) { l.open_files = 3; }, "4 to"},
      {"stack", [](Limits& l) { l.stack_bytes = 1; }, "64KiB to"},
      {"cpu_rate", [](Limits& l) { l.cpu_rate = 0; }, "0.01 to"},
      {"cpu_rate", [](Limits& l) { l.cpu_rate = 1e9; }, "0.01 to"},
      {"cpu_rate", [](Limits& l) { l.cpu_rate = -1; }, "0.01 to"},
      {"cpu_rate", [](Limits& l) { l.cpu_rate = std::numeric_limits<double>::quiet_NaN(); }, "nan"},
      {"cpu_weight", [](Limits& l) { l.cpu_weight = 0; }, "1 to 10000"},
      {"cpu_weight", [](Limits& l) { l.cpu_weight = 201; }, "at most 200"},
      {"cpu_set", [](Limits& l) { l.cpu_set = ""; }, "not a list"},
      {"cpu_set", [](Limits& l) { l.cpu_set = "0"; }, "at most \"1-3\""},
      {"cpu_set", [](Limits& l) { l.cpu_set = "8000"; }, "doesn't have"},
  };
  for (const BadLimits& bad : cases) {
    Limits asked;
    bad.change(asked);
    const Result<Limits> limits = effective_limits(asked, profile);
    ASSERT_FALSE(limits) << bad.key << ": " << bad.message;
    EXPECT_EQ(limits.error().step, Step::kValidateJob);
    EXPECT_EQ(limits.error().object, std::string("limits.") + bad.key);
    EXPECT_THAT(limits.error().message(), HasSubstr(bad.message));
    EXPECT_FALSE(limits.error().remedy.empty());
  }
}

TEST(ReachableCpus, AreAllOnlineWhateverOurOwnAffinity) {
  cpu_set_t before;
  ASSERT_EQ(::sched_getaffinity(0, sizeof before, &before), 0);
  std::size_t first = 0;
  while (!CPU_ISSET(first, &before)) ++first;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  ASSERT_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
  const std::uint32_t usable = usable_cpus();
  const std::uint32_t reachable = reachable_cpus({});
  ASSERT_EQ(::sched_setaffinity(0, sizeof before, &before), 0);
  EXPECT_EQ(usable, 1U);
  EXPECT_EQ(reachable, static_cast<std::uint32_t>(::sysconf(_SC_NPROCESSORS_ONLN)));
  EXPECT_EQ(reachable_cpus({.cpu_set = "0"}), 1U);
  EXPECT_EQ(reachable_cpus({.cpu_set = "0-2,5"}), 4U);
}

}  // namespace
}  // namespace hatchery
