// The `hatchery` command as a user meets it: a real process, its statuses, its messages, its
// signals.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <filesystem>

#include "pool/config.h"
#include "pool/host_probe.h"
#include "tests/cli_fixture.h"

namespace hatchery {
namespace {

using namespace cli_testing;

// --- What needs no pool -----------------------------------------------------------------------

TEST_F(Command, HelpOfEveryVerbHasAnExample) {
  const std::vector<std::vector<std::string>> verbs = {{},        {"run"},    {"batch"}, {"judge"},
                                                       {"serve"}, {"config"}, {"doctor"}};
  for (std::vector<std::string> args : verbs) {
    args.push_back("--help");
    const ProcessResult result = run_hatchery(args);
    EXPECT_EQ(result.status, 0) << args.front();
    EXPECT_TRUE(has(result.out, "Example")) << args.front();
    EXPECT_EQ(result.err, "") << args.front();
  }
}

TEST_F(Command, VersionIsOneLine) {
  const ProcessResult result = run_hatchery({"--version"});
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(result.out.rfind("hatchery ", 0), 0U) << result.out;
  EXPECT_EQ(lines_of(result.out), 1U);
}

struct Mistake {
  const char* name;
  std::vector<std::string> args;
  const char* message;
};

class UsageMistake : public ::testing::TestWithParam<Mistake> {};

TEST_P(UsageMistake, GivesOneLineWithARemedy) {
  const ProcessResult result = run_hatchery(GetParam().args);
  EXPECT_EQ(result.status, 248) << result.err;
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(lines_of(result.err), 1U) << result.err;
  EXPECT_EQ(result.err.rfind("hatchery: ", 0), 0U) << result.err;
  EXPECT_TRUE(has(result.err, GetParam().message)) << result.err;
}

INSTANTIATE_TEST_SUITE_P(
    All, UsageMistake,
    ::testing::Values(
        Mistake{"NoVerb", {}, "known: run, batch, judge, serve, config, doctor"},
        Mistake{"UnknownVerb", {"bacth"}, "did you mean \"batch\"?"},
        Mistake{"UnknownFlag",
                {"run", "--cpu-tme", "1s", "--", "true"},
                "did you mean \"--cpu-time\"?"},
        Mistake{"UnknownFlagOfDoctor", {"doctor", "--jsn"}, "did you mean \"--json\"?"},
        Mistake{"NoCommand", {"run", "--cpu-time", "1s"}, "hatchery run -- true"},
        Mistake{"WrongUnit", {"run", "--cpu-time", "1x", "--", "true"}, "unknown unit"},
        Mistake{"TooLittleMemory", {"run", "--memory", "5", "--", "true"}, "give 1MiB to"},
        Mistake{"WrongNumber", {"run", "--processes", "many", "--", "true"}, "not a number"},
        Mistake{"WrongChoice", {"run", "--network", "all", "--", "true"}, "--network"},
        Mistake{"DirectWithOutput", {"run", "--direct", "--output", "5", "--", "true"}, "exclude"},
        Mistake{"ExtraArgument", {"run", "true", "--", "true"}, "unexpected argument"},
        Mistake{"BatchWithoutFile", {"batch"}, "FILE is required"},
        Mistake{"EmptyEnvName", {"run", "--env", "=x", "--", "true"}, "has no name"}),
    [](const auto& tested) { return tested.param.name; });

TEST_F(Command, AVerbOfAnotherProgramNeedsItBesideItOrInLibexec) {
  namespace fs = std::filesystem;
  const ScratchDirectory scratch;
  const std::string command = scratch / "bin/hatchery";
  const fs::path serve = fs::path(HATCHERY_BINARY).parent_path() / "hatchery-serve";
  fs::create_directories(scratch / "bin");
  fs::create_directories(scratch / "libexec/hatchery");
  fs::copy(HATCHERY_BINARY, command);
  const ProcessResult missing = testing::run_process({command, "serve", "--help"});
  EXPECT_EQ(missing.status, 249);
  EXPECT_TRUE(has(missing.err, "hatchery-serve is neither in " + scratch.path() + "/bin nor in " +
                                   scratch.path() + "/libexec/hatchery; build and install"))
      << missing.err;
  fs::copy(serve, scratch / "libexec/hatchery/hatchery-serve");
  const ProcessResult found = testing::run_process({command, "serve", "--help"});
  EXPECT_EQ(found.status, 0) << found.err;
  EXPECT_TRUE(has(found.out, "--http-addr"));
}

TEST_F(Command, BadProfileNamesFileLineAndKey) {
  const ScratchDirectory scratch;
  write_file(scratch / "bad.toml", "[[profile]]\nname = \"default\"\nslots_mxa = 3\n");
  const ProcessResult result =
      run_hatchery({"run", "--profile", scratch / "bad.toml", "--", "true"});
  EXPECT_EQ(result.status, 248);
  EXPECT_TRUE(has(result.err, "bad.toml:3")) << result.err;
  EXPECT_TRUE(has(result.err, "slots_max")) << result.err;
}

TEST_F(Command, MissingFilesAreFileErrors) {
  const std::array<std::vector<std::string>, 4> cases = {{
      {"run", "--in", "/nonexistent/x", "--", "true"},
      {"run", "--out", "x=/nonexistent/x", "--", "true"},
      {"run", "--profile", "/nonexistent.toml", "--", "true"},
      {"batch", "/nonexistent.jsonl"},
  }};
  for (const std::vector<std::string>& args : cases) {
    const ProcessResult result = run_hatchery(args);
    EXPECT_EQ(result.status, 245) << args[1];
    EXPECT_TRUE(has(result.err, "ENOENT")) << result.err;
  }
}

TEST_F(Command, DoctorTellsWhetherTheHostSuffices) {
  const bool suffices = host_suffices(probe_host());
  const ProcessResult text = run_hatchery({"doctor"});
  EXPECT_EQ(text.status, suffices ? 0 : 1);
  EXPECT_TRUE(has(text.out, suffices ? "This host can run jobs" : "This host can't run jobs"));
  EXPECT_FALSE(has(text.out, "\x1b")) << "colour is for terminals";
  const ProcessResult json = run_hatchery({"doctor", "--json"});
  EXPECT_EQ(json.status, text.status);
  EXPECT_TRUE(has(json.out, suffices ? "\"ok\":true" : "\"ok\":false"));
}

TEST_F(Command, PrintedConfigIsTheDefault) {
  const ProcessResult result = run_hatchery({"doctor", "--print-config"});
  EXPECT_EQ(result.status, 0);
  const Result<PoolConfig> read = config_from_toml(result.out, "printed");
  ASSERT_TRUE(read.has_value()) << read.error().message();
  EXPECT_EQ(config_to_toml(*read), result.out);
}

// --- run --------------------------------------------------------------------------------------

struct Ending {
  const char* name;
  std::vector<std::string> args;  ///< After "run".
  int status;
  const char* message;  ///< On stderr; "" for none at all.
};

class RunEnding : public JobCommand, public ::testing::WithParamInterface<Ending> {};

TEST_P(RunEnding, HasItsStatusAndItsMessage) {
  std::vector<std::string> args = GetParam().args;
  args.insert(args.begin(), "run");
  const ProcessResult result = run_hatchery(args);
  EXPECT_FALSE(result.timed_out);
  EXPECT_EQ(result.status, GetParam().status) << result.err;
  if (*GetParam().message == '\0') {
    EXPECT_EQ(result.err, "");
  } else {
    EXPECT_TRUE(has(result.err, GetParam().message)) << result.err;
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, RunEnding,
    ::testing::Values(
        Ending{"True", {"--", "true"}, 0, ""},
        Ending{"WithoutDashes", {"--quiet", "sh", "-c", "exit 3"}, 3, ""},
        Ending{"ExitStatus", {"--", "sh", "-c", "exit 3"}, 3, "nonzero exit: exit status 3"},
        Ending{"Killed",
               {"--", "sh", "-c", "kill -9 $$"},
               137,
               "signalled: killed by signal 9 (SIGKILL)"},
        Ending{"ForkBomb",
               {"--processes", "32", "--wall-time", "700ms", "--report", "--", "perl", "-e",
                "while(1){fork}"},
               241,
               "wall limit"},
        Ending{"MemoryBomb",
               {"--memory", "32MiB", "--cpu-time", "10m", "--", "perl", "-e",
                "$x .= 'a' x 1000000 while 1"},
               242,
               "memory limit"},
        Ending{"BusyLoop",
               {"--cpu-time", "200ms", "--", "sh", "-c", "while :; do :; done"},
               240,
               "time limit"},
        Ending{"Sleep", {"--wall-time", "200ms", "--", "sleep", "100"}, 241, "wall limit"},
        Ending{"LargeFile",
               {"--file-size", "1MiB", "--", "sh", "-c",
                "exec dd if=/dev/zero of=big bs=1M count=3 2>/dev/null"},
               243,
               "output limit"},
        Ending{"MissingCommand", {"--", "no-such-command"}, 127, "no-such-command"},
        Ending{"DirectoryAsCommand", {"--", "/etc"}, 126, "Permission denied"},
        Ending{"MissingDirectory", {"--cwd", "/no/such", "--", "true"}, 245, "/no/such"},
        Ending{"MissingOutFile", {"--out", "nothing=/dev/null/x", "--", "true"}, 245, "ENOTDIR"},
        Ending{"AboveMaximumCpus", {"--cpu-rate", "100000", "--", "true"}, 248, "cpu-rate"}),
    [](const auto& tested) { return tested.param.name; });

TEST_F(JobCommand, YesEndsAtTheDefaultOutputLimit) {
  const ProcessResult result = run_hatchery({"run", "--", "yes"});
  EXPECT_EQ(result.status, 243) << result.err;
  EXPECT_EQ(result.out.size(), *default_profile().defaults.output_bytes);
  EXPECT_TRUE(has(result.err, "output limit")) << result.err;
}

TEST_F(JobCommand, OutputLimitIsExact) {
  const std::vector<std::string> job = {"--", "sh", "-c", "printf 12345"};
  std::vector<std::string> enough = {"run", "--output", "5"};
  std::vector<std::string> short_by_one = {"run", "--output", "4"};
  enough.insert(enough.end(), job.begin(), job.end());
  short_by_one.insert(short_by_one.end(), job.begin(), job.end());
  const ProcessResult accepted = run_hatchery(enough);
  EXPECT_EQ(accepted.status, 0) << accepted.err;
  EXPECT_EQ(accepted.out, "12345");
  const ProcessResult limited = run_hatchery(short_by_one);
  EXPECT_EQ(limited.status, 243) << limited.err;
  EXPECT_EQ(limited.out, "1234");
}

TEST_F(JobCommand, UnreadableDirectoryIsRefusedByItsOwnRights) {
  ASSERT_EQ(::chmod(scratch_.path().c_str(), 0700), 0);
  const ProcessResult listed =
      run_hatchery({"run", "--bind", scratch_.path() + ":/secret", "--", "ls", "/secret"});
  EXPECT_EQ(listed.status, 2) << listed.err;
  EXPECT_TRUE(has(listed.err, "Permission denied")) << listed.err;
  const ProcessResult entered = run_hatchery(
      {"run", "--bind", scratch_.path() + ":/secret", "--cwd", "/secret", "--", "true"});
  EXPECT_EQ(entered.status, 245) << entered.err;
  EXPECT_TRUE(has(entered.err, "Permission denied")) << entered.err;
}

TEST_F(JobCommand, StreamsPassThroughUnchanged) {
  std::string bytes;
  for (int index = 0; index < 3'000'000; ++index) {
    bytes += static_cast<char>((index * 31) ^ (index >> 8));
  }
  const ProcessResult result = run_hatchery({"run", "--", "cat"}, bytes);
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_TRUE(result.out == bytes);
  const ProcessResult both = run_hatchery({"run", "--", "sh", "-c", "echo out; echo err >&2"});
  EXPECT_EQ(both.out, "out\n");
  EXPECT_EQ(both.err, "err\n");
}

TEST_F(JobCommand, StreamsComeFromAndGoToFiles) {
  write_file(scratch_ / "in", "b\na\n");
  const ProcessResult result =
      run_hatchery({"run", "--stdin", scratch_ / "in", "--stdout", scratch_ / "out", "--", "sort"});
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(contents(scratch_ / "out"), "a\nb\n");
}

TEST_F(JobCommand, FilesGoInAndComeOut) {
  std::filesystem::create_directories(scratch_ / "tree/deep");
  write_file(scratch_ / "tree/deep/file", std::string("a\0b", 3));
  const ProcessResult result =
      run_hatchery({"run", "--in", (scratch_ / "tree") + ":given", "--out",
                    "made=" + (scratch_ / "made"), "--", "cp", "given/deep/file", "made"});
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(contents(scratch_ / "made"), std::string("a\0b", 3));
}

TEST_F(JobCommand, FileOutNeverFollowsALink) {
  write_file(scratch_ / "precious", "old");
  std::filesystem::create_symlink(scratch_ / "precious", scratch_ / "link");
  const ProcessResult result =
      run_hatchery({"run", "--out", "x=" + (scratch_ / "link"), "--", "sh", "-c", "echo new > x"});
  EXPECT_EQ(result.status, 245);
  EXPECT_TRUE(has(result.err, "symbolic links are not followed")) << result.err;
  EXPECT_EQ(contents(scratch_ / "precious"), "old");
}

TEST_F(JobCommand, EnvironmentIsTheProfilesAndWhatIsAsked) {
  ::setenv("HATCHERY_TEST_PASSED", "on", 1);
  ::setenv("HATCHERY_TEST_SECRET", "host", 1);
  const ProcessResult result = run_hatchery({"run", "--clear-env", "--env", "A=b=c", "--env",
                                             "HATCHERY_TEST_PASSED", "--", "/usr/bin/env"});
  EXPECT_EQ(result.out, "A=b=c\nHATCHERY_TEST_PASSED=on\n");
  const ProcessResult usual = run_hatchery({"run", "--", "env"});
  EXPECT_TRUE(has(usual.out, "PATH="));
  EXPECT_FALSE(has(usual.out, "HATCHERY_TEST_SECRET"));
}

TEST_F(JobCommand, ReportsAreForPeopleAndPrograms) {
  const ProcessResult text = run_hatchery({"run", "--report", "--", "true"});
  EXPECT_TRUE(has(text.err, "outcome             accepted")) << text.err;
  const ProcessResult json = run_hatchery({"run", "--json", scratch_ / "r.json", "--", "true"});
  EXPECT_EQ(json.err, "");
  EXPECT_TRUE(has(contents(scratch_ / "r.json"), "\"outcome\":\"accepted\""));
}

TEST_F(JobCommand, LentDirectoryIsRefused) {
  const ProcessResult result = testing::run_process(
      {"/bin/sh", "-c",
       std::string("exec ") + HATCHERY_BINARY + " run -- ls /proc/self/fd/0/ < /"});
  EXPECT_EQ(result.status, 245);
  EXPECT_TRUE(has(result.err, "out of its sandbox")) << result.err;
}

TEST_F(JobCommand, GoneReaderEndsTheJobInSilence) {
  Process process(hatchery({"run", "--output", "1GiB", "--wall-time", "1m", "--", "yes"}), {});
  ASSERT_TRUE(process.wait_for_output("y\n"));
  process.close_stdout();
  const ProcessResult result = process.wait();
  EXPECT_FALSE(result.timed_out);
  EXPECT_EQ(result.status, 128 + SIGPIPE);
  EXPECT_EQ(result.err, "");
}

class RunSignal : public JobCommand, public ::testing::WithParamInterface<int> {};

TEST_P(RunSignal, CancelsTheJob) {
  Process process(
      hatchery({"run", "--wall-time", "10m", "--", "sh", "-c", "echo ready; sleep 500"}), {});
  ASSERT_TRUE(process.wait_for_output("ready"));
  process.kill(GetParam());
  const ProcessResult result = process.wait();
  EXPECT_FALSE(result.timed_out);
  EXPECT_EQ(result.status, 128 + GetParam());
  EXPECT_TRUE(has(result.err, "cancelled")) << result.err;
}

INSTANTIATE_TEST_SUITE_P(All, RunSignal, ::testing::Values(SIGINT, SIGTERM, SIGHUP));

// --- batch ------------------------------------------------------------------------------------

constexpr const char* kEcho = R"({"args":["/bin/echo","hi"],"stdout":{"collect":"out"}})";

TEST_F(JobCommand, BatchReportsEachLine) {
  const std::string input = std::string(kEcho) + "\n\n" + kEcho + "\n" + kEcho;
  const ProcessResult result = run_hatchery({"batch", "-"}, input);
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(lines_of(result.out), 3U);
  EXPECT_TRUE(has(result.out, "\"id\":\"4\"")) << "a job without an id gets its line's number";
  EXPECT_TRUE(has(result.out, R"("text":"hi\n")")) << result.out;
  EXPECT_TRUE(has(result.err, "3 jobs in ")) << result.err;
}

TEST_F(JobCommand, BadLineOfABatchFailsAlone) {
  const std::string input = std::string("{not json\n") + kEcho + "\n{\"argz\":[\"x\"]}\n" + kEcho +
                            "\n{\"args\":[\"x\"],\"profile\":\"none such\"}\n";
  const ProcessResult result = run_hatchery({"batch", "--ordered", "--quiet", "-"}, input);
  EXPECT_EQ(result.status, 1);
  EXPECT_EQ(result.err, "");
  EXPECT_EQ(lines_of(result.out), 5U) << result.out;
  EXPECT_EQ(result.out.rfind("{\"line\":1,\"error\":", 0), 0U) << result.out;
  EXPECT_TRUE(has(result.out, "{\"line\":3,\"error\":")) << result.out;
  EXPECT_TRUE(has(result.out, "{\"line\":5,\"id\":\"5\",\"error\":")) << result.out;
}

TEST_F(JobCommand, OrderedBatchKeepsTheOrder) {
  std::string input = R"({"id":"slow","args":["/bin/sleep","0.3"]})"
                      "\n";
  for (int index = 0; index < 20; ++index) {
    input += R"({"id":")" + std::to_string(index) +
             R"(","args":["/bin/true"]})"
             "\n";
  }
  const ProcessResult result =
      run_hatchery({"batch", "--ordered", "--quiet", "--slots", "2", "-"}, input);
  EXPECT_EQ(result.status, 0) << result.err;
  std::size_t position = result.out.find("\"id\":\"slow\"");
  EXPECT_EQ(position, 1U);
  for (int index = 0; index < 20; ++index) {
    const std::size_t next = result.out.find("\"id\":\"" + std::to_string(index) + "\"");
    ASSERT_NE(next, std::string::npos) << index;
    EXPECT_GT(next, position);
    position = next;
  }
}

TEST_F(JobCommand, RepeatRunsALineManyTimes) {
  const ProcessResult result =
      run_hatchery({"batch", "--repeat", "100", "-o", scratch_ / "out", "-"}, kEcho);
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(lines_of(contents(scratch_ / "out")), 100U);
  EXPECT_TRUE(has(result.err, "100 jobs in ")) << result.err;
  EXPECT_TRUE(has(result.err, "p99")) << result.err;
}

TEST_F(JobCommand, InterruptedBatchReportsWhatRan) {
  std::string input = std::string(kEcho) + "\n";
  for (int index = 0; index < 50; ++index)
    input += R"({"args":["/bin/sleep","500"]})"
             "\n";
  Process process(hatchery({"batch", "--wall-time", "10m", "--slots", "2", "-"}), input);
  ASSERT_TRUE(process.wait_for_output("accepted"));
  process.kill(SIGINT);
  const ProcessResult result = process.wait();
  EXPECT_FALSE(result.timed_out);
  EXPECT_EQ(result.status, 130);
  EXPECT_TRUE(has(result.out, "\"cancelled\"")) << result.out;
  EXPECT_LT(lines_of(result.out), 51U) << "most were never submitted";
  EXPECT_TRUE(has(result.err, "interrupted")) << result.err;
}

TEST_F(JobCommand, BatchWhoseReaderIsGoneStops) {
  Process process(hatchery({"batch", "--repeat", "1000000", "-"}), kEcho);
  ASSERT_TRUE(process.wait_for_output("accepted"));
  process.close_stdout();
  const ProcessResult result = process.wait();
  EXPECT_FALSE(result.timed_out);
  EXPECT_EQ(result.status, 245);
  EXPECT_TRUE(has(result.err, "EPIPE")) << result.err;
}

}  // namespace
}  // namespace hatchery
