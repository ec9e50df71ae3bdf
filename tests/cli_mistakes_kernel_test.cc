// Mistakes of a user or an operator: each is told what was wrong, with which value, and what to do.
#include <sys/resource.h>
#include <unistd.h>

#include <regex>

#include "pool/job.h"
#include "tests/cli_fixture.h"

namespace hatchery {
namespace {

using namespace cli_testing;

struct Told {
  const char* name;
  std::vector<std::string> args;
  int status;
  std::vector<std::string> parts;  ///< All of them on stderr, in one line.
};

void PrintTo(const Told& told, std::ostream* stream) { *stream << told.name; }

void expect_told(const Told& told) {
  const ProcessResult result = run_hatchery(told.args);
  EXPECT_EQ(result.status, told.status) << result.err;
  EXPECT_EQ(lines_of(result.err), 1U) << result.err;
  for (const std::string& part : told.parts)
    EXPECT_TRUE(has(result.err, part)) << part << " is not in " << result.err;
}

class WrongValue : public ::testing::TestWithParam<Told> {};
TEST_P(WrongValue, IsNamedWithItsRemedy) { expect_told(GetParam()); }

INSTANTIATE_TEST_SUITE_P(
    All, WrongValue,
    ::testing::Values(
        Told{"Duration",
             {"run", "--cpu-time", "abc", "--", "true"},
             248,
             {"--cpu-time", "\"abc\" is not a duration", "; "}},
        Told{"Size",
             {"run", "--memory", "64Q", "--", "true"},
             248,
             {"--memory", "\"64Q\" has the unknown unit", "; "}},
        Told{"CpuSet", {"run", "--cpu-set", "x", "--", "true"}, 248, {"--cpu-set: \"x\"", "; "}},
        Told{"OutMax",
             {"run", "--out-max", "1T", "--", "true"},
             248,
             {"\"1T\" is out of range", "at most 1GiB"}},
        Told{"OutMaxUnit", {"run", "--out-max", "1Z", "--", "true"}, 248, {"\"1Z\"", "; "}},
        Told{"RelativeBind",
             {"run", "--bind", "/usr:rel", "--", "true"},
             248,
             {"--bind \"/usr:rel\"", "not a plain absolute path"}},
        Told{"SecondBind",
             {"run", "--bind", "/tmp:/x1", "--bind", "/usr:/proc/x", "--", "true"},
             248,
             {"--bind \"/usr:/proc/x\"", "belongs to the sandbox"}},
        Told{"RootWithoutMountPoints",
             {"run", "--root", "/usr/share", "--", "true"},
             248,
             {"--root", "\"/usr/share/proc\"", "ENOENT", "make it"}},
        Told{"JsonIntoNowhere",
             {"run", "--json", "/nonexistent/x", "--", "true"},
             245,
             {"\"/nonexistent/x\"", "ENOENT", "its directory must exist"}}),
    [](const auto& tested) { return tested.param.name; });

class WrongJob : public JobCommand, public ::testing::WithParamInterface<Told> {};
TEST_P(WrongJob, IsNamedWithItsRemedy) { expect_told(GetParam()); }

INSTANTIATE_TEST_SUITE_P(
    All, WrongJob,
    ::testing::Values(Told{"OutFileThatIsNotMade",
                           {"run", "--out", "nofile", "--", "true"},
                           245,
                           {"nofile", "ENOENT", "the job made no such file"}},
                      Told{"TwoFilesOnOnePath",
                           {"run", "--in", "/etc/passwd:a", "--in", "/etc/group:a", "--", "true"},
                           245,
                           {"EEXIST", "give each one of its own"}},
                      Told{"Directory", {"run", "--", "/etc"}, 126, {"/etc", "a regular file"}},
                      Told{"MountPointInAReadOnlyBind",
                           {"run", "--bind", "/etc/passwd:/usr/zzz", "--", "true"},
                           248,
                           {"\"/etc/passwd\" on \"/usr/zzz\"", "EROFS", "read-only bind"}},
                      Told{"FileOnADirectory",
                           {"run", "--bind", "/etc/passwd:/home", "--", "true"},
                           248,
                           {"\"/etc/passwd\" on \"/home\"", "EINVAL", "a file onto a file"}}),
    [](const auto& tested) { return tested.param.name; });

TEST_F(Command, MissingBindSourceNamesItsLineInTheFile) {
  const ScratchDirectory scratch;
  const std::string file = scratch / "pool.toml";
  write_file(file, "[[profile]]\n[[profile.bind]]\nsource = \"/nonexist\"\ntarget = \"/x\"\n");
  const ProcessResult result = run_hatchery({"run", "--profile", file, "--", "true"});
  EXPECT_EQ(result.status, 248) << result.err;
  EXPECT_TRUE(has(result.err, "pool.toml:3:") && has(result.err, "bind[0].source")) << result.err;
  EXPECT_TRUE(has(result.err, "\"/nonexist\"") && has(result.err, "optional")) << result.err;
}

TEST_F(Command, MaximumBelowABuiltInDefaultNamesItsLine) {
  const ScratchDirectory scratch;
  const std::string file = scratch / "pool.toml";
  write_file(file, "[[profile]]\nname = \"a\"\n\n[profile.maximums]\ncpu_time = \"1s\"\n");
  const ProcessResult result = run_hatchery({"run", "--profile", file, "--", "true"});
  EXPECT_EQ(result.status, 248) << result.err;
  EXPECT_TRUE(has(result.err, "pool.toml:5:") && has(result.err, "maximums.cpu_time"))
      << result.err;
}

TEST_F(Command, UserWithoutRootIsToldToBeRoot) {
  HATCHERY_REQUIRE_FEATURE("root");
  // As nobody, from a copy that nobody may read.
  const ScratchDirectory scratch;
  ASSERT_EQ(::chmod(scratch.path().c_str(), 0755), 0);
  for (const char* path : {HATCHERY_BINARY, HATCHERY_ZYGOTE})
    std::filesystem::copy(path, scratch.path());
  const std::string as_nobody =
      "setpriv --reuid 65534 --regid 65534 --clear-groups " + (scratch / "hatchery");
  const ProcessResult run = run_in_shell(as_nobody + " run -- true");
  EXPECT_EQ(run.status, 249) << run.err;
  EXPECT_TRUE(has(run.err, "EPERM") && has(run.err, "run as root")) << run.err;
  EXPECT_TRUE(has(run.err, "/etc/subuid: it lends no ids to nobody")) << run.err;
  EXPECT_FALSE(has(run.err, "state_directory")) << run.err;
  const ProcessResult doctor = run_in_shell(as_nobody + " doctor");
  EXPECT_EQ(doctor.status, 1);
  EXPECT_TRUE(has(doctor.out, "no pool starts") && has(doctor.out, "--add-subuids")) << doctor.out;
}

TEST_F(Command, ExamplesOfTheHelpAreThere) {
  const std::string help = run_hatchery({"--help"}).out;
  const std::size_t at = help.find("hatchery judge ");
  ASSERT_NE(at, std::string::npos) << help;
  const std::size_t begin = at + sizeof("hatchery judge ") - 1;
  const std::string package = help.substr(begin, help.find('\n', begin) - begin);
  EXPECT_TRUE(std::filesystem::exists(std::string(HATCHERY_SOURCE_DIR) + "/" + package)) << package;
}

TEST_F(Command, CompletionOffersVerbsOptionsAndValues) {
  const auto completed = [](std::vector<std::string> line) {
    const std::string source = HATCHERY_SOURCE_DIR;
    line.insert(line.begin(), {source + "/tests/completion", source + "/deploy/completion/hatchery",
                               HATCHERY_BINARY});
    return testing::run_process(line).out;
  };
  const std::string verbs = completed({""});
  EXPECT_EQ(verbs.rfind("run\nbatch\njudge\nserve\nconfig\ndoctor\n", 0), 0U) << verbs;
  EXPECT_FALSE(has(verbs, "hatchery")) << verbs;
  EXPECT_EQ(completed({"ba"}), "batch\n");
  EXPECT_EQ(completed({"run", "--cpu-t"}), "--cpu-time\n");
  EXPECT_EQ(completed({"run", "--network", "h"}), "host\n");
}

// --- Jobs that are more than a pool takes -----------------------------------------------------

std::string words(std::size_t count) {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) text += ",\"x\"";
  return text;
}

TEST_F(JobCommand, ArgumentsThatNoExecTakesAreRefusedAtSubmit) {
  const std::string many = R"({"args":["/bin/true")" + words(1'000'000) + "]}\n";
  const std::string small_stack =
      R"({"args":["/bin/true")" + words(50'000) + R"(],"limits":{"stack":"1MiB"}})" + "\n";
  const std::string long_one = R"({"args":["/bin/true",")" + std::string(131'072, 'x') + "\"]}\n";
  const std::string directories =
      R"({"args":["nothing"],"env":["PATH=)" + std::string(100'000, ':') + "\"]}\n";
  const ProcessResult result =
      run_hatchery({"batch", "-q", "--ordered", "-"}, many + small_stack + long_one + directories);
  EXPECT_EQ(result.status, 1) << result.err;
  EXPECT_EQ(lines_of(result.out), 4U);
  EXPECT_FALSE(has(result.out, "outcome")) << "nothing was accepted";
  EXPECT_TRUE(has(result.out, "args: and env take 100")) << result.out;
  EXPECT_TRUE(has(result.out, "takes 6291456") && has(result.out, "takes 262144")) << result.out;
  EXPECT_TRUE(has(result.out, "args[1]: has 131072 bytes")) << result.out;
  EXPECT_TRUE(has(result.out, "PATH of 100001 directories")) << result.out;
}

TEST_F(JobCommand, ArgumentsJustBelowTheKernelsLimitsRun) {
  const std::string many = R"({"args":["/bin/true")" + words(600'000) + "]}\n";
  const std::string small_stack =
      R"({"args":["/bin/true")" + words(25'000) + R"(],"limits":{"stack":"1MiB"}})" + "\n";
  const std::string long_one = R"({"args":["/bin/true",")" + std::string(131'071, 'x') + "\"]}\n";
  const ProcessResult result = run_hatchery({"batch", "-q", "-"}, many + small_stack + long_one);
  EXPECT_EQ(result.status, 0) << result.out;
  EXPECT_FALSE(has(result.out, "error\":{")) << result.out;
}

TEST_F(JobCommand, SparseFileIsAFileErrorHoweverLarge) {
  const ProcessResult beyond =
      run_hatchery({"run", "--file-size", "1T", "--out-max", "1G", "--out", "f=" + (scratch_ / "f"),
                    "--", "truncate", "-s", "900G", "f"});
  EXPECT_EQ(beyond.status, 245) << beyond.err;
  EXPECT_TRUE(has(beyond.err, "EFBIG") && has(beyond.err, "966367641600")) << beyond.err;
  const std::string stored =
      R"({"args":["/usr/bin/truncate","-s","900G","f"],"limits":{"file_size":"1T"},)"
      R"("files_out":[{"path":"f","max":"1T","store":true}]})";
  const ProcessResult batch = run_hatchery({"batch", "-q", "-"}, stored);
  EXPECT_TRUE(has(batch.out, "file error") && has(batch.out, "room for 1073741824")) << batch.out;
}

TEST_F(JobCommand, OutputsOfAReportAreBoundedTogether) {
  const std::string caps =
      R"({"args":["/bin/true"],"files_out":[{"path":"f","max":"1025MiB"}]})"
      "\n"
      R"({"args":["/bin/true"],"stdout":{"collect":"a","max":"2GiB"}})"
      "\n"
      R"({"args":["/bin/true"],"limits":{"output":"2GiB"}})"
      "\n"
      R"({"args":["/bin/true"],"limits":{"output":"1GiB"},"fds":{"3":{"collect":"b"}}})"
      "\n";
  const ProcessResult refused = run_hatchery({"batch", "-q", "--ordered", "-"}, caps);
  EXPECT_EQ(lines_of(refused.out), 4U);
  EXPECT_FALSE(has(refused.out, "outcome")) << refused.out;
  for (const char* part : {"files_out[0].max: 1025MiB", "fds[1].max: 2GiB", "limits.output: 2GiB",
                           "collect up to 3GiB"})
    EXPECT_TRUE(has(refused.out, part)) << part << refused.out;
}

#if !defined(HATCHERY_SANITIZED)

// A sanitizer needs more address space than any machine has memory.
TEST_F(JobCommand, JobWhoseOutputsFindNoMemoryIsAFileErrorAndTheNextOneRuns) {
  write_file(scratch_ / "jobs",
             R"({"id":"file","args":["/usr/bin/truncate","-s","400M","f"],)"
             R"("limits":{"file_size":"500M"},"files_out":[{"path":"f","max":"500M"}]})"
             "\n"
             R"({"id":"stream","args":["/usr/bin/head","-c","400M","/dev/zero"],)"
             R"("limits":{"output":"500M"}})"
             "\n"
             R"({"id":"small","args":["/bin/echo","hi"]})"
             "\n");
  const ProcessResult result =
      run_in_shell("ulimit -v 500000; $H batch -q --slots 1 --ordered " + (scratch_ / "jobs"));
  EXPECT_EQ(result.status, 0) << result.err << result.out.substr(0, 1000);
  ASSERT_EQ(lines_of(result.out), 3U);
  EXPECT_EQ(result.out.rfind(R"({"id":"file","outcome":"file error")", 0), 0U) << result.out;
  EXPECT_TRUE(has(result.out, R"("id":"stream","outcome":"file error")")) << result.out;
  EXPECT_TRUE(has(result.out, R"("id":"small","outcome":"accepted")")) << result.out;
  EXPECT_TRUE(has(result.out, "ENOMEM")) << result.out;
}

TEST_F(JobCommand, AReportIsWrittenWithLittleMoreMemoryThanItTakes) {
  write_file(scratch_ / "jobs", R"({"args":["/usr/bin/head","-c","100M","/dev/zero"],)"
                                R"("limits":{"output":"1G","cpu_time":"5m","wall_time":"5m"}})"
                                "\n"
                                R"({"args":["/bin/echo","hi"]})"
                                "\n");
  const ProcessResult result = run_in_shell(
      "ulimit -v 500000; $H batch --slots 1 --ordered --reports /dev/null " + (scratch_ / "jobs"));
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_TRUE(std::regex_search(result.err, std::regex("accepted +2\n"))) << result.err;
}

#endif

}  // namespace
}  // namespace hatchery
