// The parts of the command that need no pool: lines, percentiles, options, statuses.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <random>
#include <thread>

#include "pool/cli/exit_status.h"
#include "pool/cli/histogram.h"
#include "pool/cli/line_reader.h"
#include "pool/cli/options.h"
#include "pool/cli/report_text.h"
#include "pool/cli/run_files.h"
#include "pool/cli/stream_pump.h"
#include "pool/host_probe.h"
#include "tests/pipe.h"

namespace hatchery::cli {
namespace {

std::string read_until_end(int fd) {
  std::string text;
  char buffer[4096];
  ssize_t got = 0;
  while ((got = ::read(fd, buffer, sizeof buffer)) > 0) {
    text.append(buffer, static_cast<std::size_t>(got));
  }
  return text;
}

// --- Histogram --------------------------------------------------------------------------------

TEST(Histogram, PercentilesAreWithinThreePercent) {
  Histogram histogram;
  for (int index = 1; index <= 10'000; ++index) histogram.add(std::chrono::microseconds(index));
  EXPECT_EQ(histogram.count(), 10'000U);
  for (const double percent : {1.0, 50.0, 99.0, 99.9}) {
    const double exact = percent / 100 * 10'000 * 1'000;
    const auto found = static_cast<double>(histogram.percentile(percent).count());
    EXPECT_GE(found, exact) << percent;
    EXPECT_LE(found, exact * 1.032) << percent;
  }
  EXPECT_EQ(histogram.percentile(100), std::chrono::milliseconds(10));
  EXPECT_EQ(histogram.max(), std::chrono::milliseconds(10));
}

TEST(Histogram, TakesTheWholeRange) {
  Histogram histogram;
  histogram.add(Nanoseconds(-1));
  EXPECT_EQ(histogram.percentile(100), Nanoseconds(0));
  histogram.add(Nanoseconds::max());
  EXPECT_EQ(histogram.percentile(100), Nanoseconds::max());
  std::mt19937_64 generator(7);
  for (int index = 0; index < 1'000; ++index) {
    const Nanoseconds value(static_cast<std::int64_t>(generator() >> (1 + generator() % 63)));
    Histogram one;
    one.add(value);
    EXPECT_EQ(one.percentile(50), value) << "a bucket holds its only value, bounded by the maximum";
  }
}

// --- LineReader -------------------------------------------------------------------------------

std::vector<std::string> lines_read(const std::string& text, std::size_t line_bytes_max) {
  Pipe pipe;
  // A thread, since the text may be larger than a pipe.
  std::thread writer([&] {
    HATCHERY_CHECK(write_all(pipe.write_end.get(), text) == 0);
    pipe.write_end.reset();
  });
  LineReader reader(pipe.read_end.get(), line_bytes_max);
  std::vector<std::string> lines;
  std::string line;
  bool more = true;
  while (more) {
    switch (reader.next(line)) {
      case LineReader::Next::kLine: lines.push_back(line); break;
      case LineReader::Next::kTooLong: lines.emplace_back("<too long>"); break;
      case LineReader::Next::kNeedInput: more = reader.fill().has_value(); break;
      case LineReader::Next::kEnd: more = false; break;
    }
  }
  writer.join();
  EXPECT_EQ(reader.bytes_read(), text.size());
  return lines;
}

TEST(LineReader, SplitsAtNewlines) {
  using Lines = std::vector<std::string>;
  EXPECT_EQ(lines_read("", 10), Lines{});
  EXPECT_EQ(lines_read("a\n\nb", 10), (Lines{"a", "", "b"}));
  EXPECT_EQ(lines_read("a\nb\n", 10), (Lines{"a", "b"}));
  EXPECT_EQ(lines_read(std::string("a\0b\n", 4), 10), (Lines{std::string("a\0b", 3)}));
}

TEST(LineReader, LeavesOutLinesAboveTheBound) {
  using Lines = std::vector<std::string>;
  EXPECT_EQ(lines_read("1234567890\n12345678901\nx\n", 10),
            (Lines{"1234567890", "<too long>", "x"}));
  const std::string huge(3'000'000, 'y');
  EXPECT_EQ(lines_read(huge + "\nx\n" + huge, 10), (Lines{"<too long>", "x", "<too long>"}));
}

TEST(LineReader, KeepsLinesLargerThanOneRead) {
  const std::string large(1'000'000, 'z');
  EXPECT_EQ(lines_read(large + "\n" + large + "\n", 2'000'000),
            (std::vector<std::string>{large, large}));
}

// --- StreamPump -------------------------------------------------------------------------------

struct Pumped {
  std::string text;
  bool overflowed = false;
  int overflow_calls = 0;
};

Pumped pump(const std::string& text, std::optional<std::uint64_t> bytes_max) {
  Pipe target;
  Pumped pumped;
  Result<std::unique_ptr<StreamPump>> made = StreamPump::create(bytes_max);
  HATCHERY_CHECK(made.has_value());
  StreamPump& stream_pump = **made;
  const Result<int> lent = stream_pump.add(target.write_end.get(), "target");
  HATCHERY_CHECK(lent.has_value());
  // As the pool does it: a duplicate of the lent descriptor, which outlives the pump's own.
  UniqueFd job_end(::fcntl(*lent, F_DUPFD_CLOEXEC, 0));
  std::thread job([&] {
    write_all(job_end.get(), text);  // EPIPE once the limit is reached.
    stream_pump.finish();            // Although the write end is still open.
  });
  std::thread reader([&] { pumped.text = read_until_end(target.read_end.get()); });
  stream_pump.start([&] { ++pumped.overflow_calls; });
  pollfd done = {.fd = stream_pump.done_fd(), .events = POLLIN, .revents = 0};
  ::poll(&done, 1, -1);
  job.join();
  stream_pump.join();
  target.write_end.reset();
  reader.join();
  pumped.overflowed = stream_pump.overflowed();
  return pumped;
}

TEST(StreamPump, PassesAllBytesOnWithinTheLimit) {
  std::string text(1'000'000, 'a');
  text[500'000] = '\0';
  const Pumped exact = pump(text, text.size());
  EXPECT_TRUE(exact.text == text);
  EXPECT_FALSE(exact.overflowed);
  const Pumped unlimited = pump(text, std::nullopt);
  EXPECT_TRUE(unlimited.text == text);
}

TEST(StreamPump, StopsAtTheLimitAndSaysSoOnce) {
  ::signal(SIGPIPE, SIG_IGN);
  const Pumped pumped = pump(std::string(1'000'000, 'a'), 999'999);
  EXPECT_EQ(pumped.text.size(), 999'999U);
  EXPECT_TRUE(pumped.overflowed);
  EXPECT_EQ(pumped.overflow_calls, 1);
  const Pumped nothing = pump("a", 0);
  EXPECT_EQ(nothing.text, "");
  EXPECT_TRUE(nothing.overflowed);
}

TEST(StreamPump, AbandonEndsItWhileTheTargetIsFull) {
  Pipe target;
  Result<std::unique_ptr<StreamPump>> made = StreamPump::create(std::nullopt);
  ASSERT_TRUE(made.has_value());
  const Result<int> lent = (*made)->add(target.write_end.get(), "target");
  ASSERT_TRUE(lent.has_value());
  UniqueFd job_end(::fcntl(*lent, F_DUPFD_CLOEXEC, 0));
  (*made)->start([] {});
  // More than the target holds, and no more than target, pump and pipe hold together.
  EXPECT_EQ(write_all(job_end.get(), std::string(100'000, 'a')), 0);
  (*made)->abandon();
  pollfd done = {.fd = (*made)->done_fd(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(::poll(&done, 1, 10'000), 1);
}

// --- Options ----------------------------------------------------------------------------------

TEST(ParseFileIn, NamesTheTargetAfterTheSource) {
  const Result<FileIn> directory = parse_file_in("/proc/self/");
  ASSERT_TRUE(directory.has_value()) << directory.error().message();
  EXPECT_EQ(directory->path, "self");
  EXPECT_TRUE(std::holds_alternative<FileIn::HostDirectory>(directory->source));
  const Result<FileIn> file = parse_file_in("/proc/self/status:a/b");
  ASSERT_TRUE(file.has_value());
  EXPECT_EQ(file->path, "a/b");
  EXPECT_TRUE(std::holds_alternative<FileIn::HostFile>(file->source));
}

TEST(ParseFileIn, RefusesWhatNamesNoFile) {
  for (const char* text : {"", ":x", "/", "/proc:", "/proc:..", "/dev/null", "/no/such"}) {
    EXPECT_FALSE(parse_file_in(text).has_value()) << text;
  }
}

TEST(ParseFileOut, SplitsAtTheFirstEqualsSign) {
  const Result<FileOutOption> plain = parse_file_out("dir/made");
  ASSERT_TRUE(plain.has_value());
  EXPECT_EQ(plain->path, "dir/made");
  EXPECT_EQ(plain->host_path, "made");
  const Result<FileOutOption> named = parse_file_out("made=x=y");
  ASSERT_TRUE(named.has_value());
  EXPECT_EQ(named->path, "made");
  EXPECT_EQ(named->host_path, "x=y");
  for (const char* text : {"", "=x", "made=", "a/", "..", "a=/tmp/"}) {
    EXPECT_FALSE(parse_file_out(text).has_value()) << text;
  }
}

TEST(ParseBind, IsReadOnlyUnlessItSaysOtherwise) {
  const std::string here = std::filesystem::canonical("/usr");
  const Result<BindMount> same = parse_bind("/usr");
  ASSERT_TRUE(same.has_value());
  EXPECT_EQ(*same, (BindMount{.source = here, .target = here}));
  const Result<BindMount> moved = parse_bind("/usr:/x");
  ASSERT_TRUE(moved.has_value());
  EXPECT_EQ(*moved, (BindMount{.source = here, .target = "/x"}));
  const Result<BindMount> writable = parse_bind("/usr:/x:rw");
  ASSERT_TRUE(writable.has_value());
  EXPECT_EQ(*writable, (BindMount{.source = here, .target = "/x", .writable = true}));
  for (const char* text : {"", "/no/such", "/usr:/x:w", "/no/such:/x"}) {
    EXPECT_FALSE(parse_bind(text).has_value()) << text;
  }
}

TEST(SetLimit, ReadsWhatPeopleWrite) {
  Limits limits;
  EXPECT_TRUE(set_limit(limits, "cpu_time", "1.5s").has_value());
  EXPECT_TRUE(set_limit(limits, "memory", "64MiB").has_value());
  EXPECT_TRUE(set_limit(limits, "processes", "7").has_value());
  EXPECT_TRUE(set_limit(limits, "cpu_rate", "0.5").has_value());
  EXPECT_TRUE(set_limit(limits, "cpu_set", "0").has_value());
  EXPECT_EQ(limits.cpu_time, std::chrono::milliseconds(1500));
  EXPECT_EQ(limits.memory_bytes, 64ULL << 20);
  EXPECT_EQ(limits.processes, 7U);
  EXPECT_EQ(limits.cpu_rate, 0.5);
  EXPECT_EQ(limits.cpu_set, "0");
}

TEST(SetLimit, RefusesWithARemedy) {
  const std::pair<const char*, const char*> cases[] = {
      {"cpu_time", ""},    {"cpu_time", "-1s"},  {"memory", "12"},      {"processes", "0"},
      {"processes", "1x"}, {"cpu_rate", "nan"},  {"cpu_rate", "1e9"},   {"cpu_set", "a"},
      {"cpu_set", ""},     {"open_files", "-4"}, {"cpu_weight", "1e3"},
  };
  for (const auto& [key, text] : cases) {
    Limits limits;
    const Result<void> result = set_limit(limits, key, text);
    ASSERT_FALSE(result.has_value()) << key << " " << text;
    EXPECT_NE(result.error().remedy, "") << key << " " << text;
  }
}

// --- Statuses and texts -----------------------------------------------------------------------

TEST(ExitStatus, OfOurOwnEndingsIsDistinct) {
  const std::pair<Outcome, int> cases[] = {
      {Outcome::kAccepted, 0},      {Outcome::kTimeLimit, 240},   {Outcome::kWallLimit, 241},
      {Outcome::kMemoryLimit, 242}, {Outcome::kOutputLimit, 243}, {Outcome::kForbiddenSyscall, 244},
      {Outcome::kFileError, 245},   {Outcome::kCancelled, 246},   {Outcome::kInternalError, 247},
  };
  for (const auto& [outcome, status] : cases) {
    EXPECT_EQ(exit_status_of(Report{.outcome = outcome}), status) << outcome_name(outcome);
  }
}

TEST(ExitStatus, OfACommandIsAsTheShellHasIt) {
  EXPECT_EQ(exit_status_of(Report{.outcome = Outcome::kNonzeroExit, .exit_code = 3}), 3);
  EXPECT_EQ(exit_status_of(Report{.outcome = Outcome::kSignalled, .signal = SIGSEGV}), 139);
  Report report = {.outcome = Outcome::kFileError};
  report.error = Error{.step = Step::kWorkerExec, .errnum = ENOENT};
  EXPECT_EQ(exit_status_of(report), 127);
  report.error = Error{.step = Step::kWorkerExec, .errnum = EACCES};
  EXPECT_EQ(exit_status_of(report), 126);
  report.error = Error{.step = Step::kCopyOut, .errnum = ENOENT};
  EXPECT_EQ(exit_status_of(report), 245);
}

TEST(OutcomeLine, NamesUseAndLimit) {
  Report report = {.outcome = Outcome::kTimeLimit, .cpu_time = std::chrono::milliseconds(1003)};
  EXPECT_EQ(outcome_line(report, Limits{.cpu_time = std::chrono::seconds(1)}),
            "time limit: used 1.003 s of CPU time, allowed 1s");
  report = {.outcome = Outcome::kSignalled, .signal = 11};
  EXPECT_EQ(outcome_line(report, {}), "signalled: killed by signal 11 (SIGSEGV)");
}

TEST(ReadableSize, HasThreeDigitsOrSo) {
  EXPECT_EQ(readable_size(1023), "1023 B");
  EXPECT_EQ(readable_size(1536), "1.5 KiB");
  EXPECT_EQ(readable_size(64ULL << 20), "64.0 MiB");
}

// --- Host probe -------------------------------------------------------------------------------

TEST(HostProbe, ExplainsEverythingThatCanBeMissing) {
  for (const HostFeatureGroup& group : probe_host()) {
    EXPECT_FALSE(group.features.empty()) << group.name;
    for (const HostFeature& feature : group.features) {
      EXPECT_NE(feature.name, "") << group.name;
      EXPECT_NE(feature.value, "") << feature.name;
      if (feature.present) continue;
      EXPECT_NE(feature.consequence, "") << feature.name;
      EXPECT_NE(feature.remedy, "") << feature.name;
    }
  }
}

TEST(HostProbe, OnlyRequiredFeaturesDecide) {
  std::vector<HostFeatureGroup> groups = {
      {.name = "g", .features = {{.name = "a", .need = FeatureNeed::kWanted}}}};
  EXPECT_TRUE(host_suffices(groups));
  groups[0].features.push_back({.name = "b", .need = FeatureNeed::kRequired});
  EXPECT_FALSE(host_suffices(groups));
  groups[0].features.back().present = true;
  EXPECT_TRUE(host_suffices(groups));
  EXPECT_NE(find_feature(groups, "b"), nullptr);
  EXPECT_EQ(find_feature(groups, "c"), nullptr);
}

}  // namespace
}  // namespace hatchery::cli
