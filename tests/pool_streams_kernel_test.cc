// What a job's descriptors are connected to, what it finds and leaves in its directories, and that
// nothing a job makes leads the pool outside.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <random>

#include "tests/pool_fixture.h"
#include "tests/slowness.h"

namespace hatchery::testing {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

std::string random_bytes(std::size_t size) {
  std::mt19937_64 random(size + 1);
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

std::string contents(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// A job that copies stdin to stdout.
JobSpec cat(Stream input) {
  JobSpec spec{.args = {"cat"}};
  spec.fds[0] = std::move(input);
  spec.fds[1] = CollectorStream{.name = "stdout"};
  return spec;
}

class PoolStreams : public PoolTest {
 protected:
  void SetUp() override {
    directory_ = make_temporary_directory();
    PoolTest::SetUp();
  }
  void TearDown() override {
    fs::remove_all(directory_);
    PoolTest::TearDown();
  }
  fs::path host_file(const std::string& name, const std::string& bytes) const {
    std::ofstream(directory_ / name, std::ios::binary) << bytes;
    return directory_ / name;
  }
  static Report expect_accepted(Report report) {
    EXPECT_EQ(report.outcome, Outcome::kAccepted) << describe(report);
    return report;
  }

  fs::path directory_;
};

TEST_F(PoolStreams, AnInputIsItsJobsOwnAndCanNotGrow) {
  const auto job = [](const std::string& script) {
    JobSpec spec = shell(script);
    spec.fds[0] = BytesStream{"ab"};
    return spec;
  };
  const Report grown = run(job("printf XYZ >&0; cat"));
  EXPECT_EQ(output_of(grown), "ab") << describe(grown);
  EXPECT_THAT(output_of(grown, "stderr"), HasSubstr("printf: I/O error"));
  // What fits goes, for this job alone.
  EXPECT_EQ(output_of(run(job("printf XY >&0 && echo written"))), "written\n");
  EXPECT_EQ(output_of(run(job("cat"))), "ab");
}

TEST_F(PoolStreams, AStreamThatIsNotNamedIsDevNullOfTheJobsOwn) {
  JobSpec spec = shell("cat; echo lost >&2; readlink /proc/self/fd/0 /proc/self/fd/2 2>/dev/null");
  spec.fds.erase(2);
  EXPECT_EQ(output_of(expect_accepted(run(spec))), "/dev/null\n/dev/null\n");
}

TEST_F(PoolStreams, BytesOfAnySizeAndValueComeInAndOutAsTheyAre) {
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, std::size_t{65'537}, std::size_t{5'000'000}}) {
    const std::string bytes = random_bytes(size);
    const Report report = expect_accepted(run(cat(BytesStream{bytes})));
    EXPECT_EQ(output_of(report) == bytes, true) << size << " bytes";
  }
}

TEST_F(PoolStreams, ALargeFileGoesThroughAJob) {
  const std::uint64_t size = slowness() == 1 ? 1024 * kMiB : 200 * kMiB;
  const fs::path file = host_file("large", "");
  fs::resize_file(file, size);
  JobSpec spec = shell("exec cat >&3", {.cpu_time = seconds(300), .wall_time = seconds(600)});
  const fs::path copy = directory_ / "copy";
  spec.fds[0] = HostFileStream{.path = file};
  spec.fds[3] = HostFileStream{.path = copy, .write = true};
  spec.limits.file_bytes = 2 * size;
  spec.limits.memory_bytes = size;
  expect_accepted(run(std::move(spec)));
  EXPECT_EQ(fs::file_size(copy), size);
}

TEST_F(PoolStreams, HostFilesAreReadAndWrittenWithThePoolsRights) {
  const fs::path secret = host_file("secret", "only root reads this\n");
  ASSERT_EQ(::chmod(secret.c_str(), 0600), 0);
  JobSpec spec = cat(HostFileStream{.path = secret});
  spec.fds[1] = HostFileStream{.path = directory_ / "out", .write = true};
  expect_accepted(run(std::move(spec)));
  EXPECT_EQ(contents(directory_ / "out"), "only root reads this\n");
}

TEST_F(PoolStreams, AHostFileThatCannotBeOpenedRefusesTheJobAndNamesIt) {
  for (const std::string path : {directory_ / "missing", directory_}) {
    const auto refused = pool().submit(cat(HostFileStream{.path = path}));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().step, Step::kOpenInput);
    EXPECT_THAT(refused.error().message(), HasSubstr(path));
  }
}

TEST_F(PoolStreams, AStoredFileIsReadByManyJobsEachFromItsStart) {
  const std::string bytes = random_bytes(300'000);
  const FileId id = pool().files().put(bytes).value();
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(output_of(expect_accepted(run(cat(StoredFileStream{id})))) == bytes, true);
  EXPECT_FALSE(pool().submit(cat(StoredFileStream{std::string(32, '0')})));
  pool().files().remove(id);
}

TEST_F(PoolStreams, AnyDescriptorNumberCanBeConnected) {
  JobSpec spec = shell("cat <&7; echo nine >&9; echo both >&2", {.open_files = 1024});
  spec.fds[7] = BytesStream{"seven\n"};
  spec.fds[9] = CollectorStream{.name = "nine"};
  spec.fds[1023] = CollectorStream{.name = "last"};
  spec.fds[2] = SameAsStream{1};
  const Report report = expect_accepted(run(std::move(spec)));
  EXPECT_EQ(output_of(report), "seven\nboth\n");
  EXPECT_EQ(output_of(report, "nine"), "nine\n");
  EXPECT_EQ(output_of(report, "last"), "");
}

TEST_F(PoolStreams, AJobHasTheDescriptorsItWasGrantedAndNoOther) {
  JobSpec spec = shell("ls /proc/self/fd");
  spec.fds[5] = NullStream{};
  // 3 is the directory that ls itself reads.
  EXPECT_EQ(output_of(expect_accepted(run(std::move(spec)))), "0\n1\n2\n3\n5\n");
}

TEST_F(PoolStreams, TheCallersDescriptorIsLentAndStaysOpen) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  JobSpec spec = shell("echo hello");
  spec.fds[1] = CallerFdStream{write_end.get()};
  expect_accepted(run(std::move(spec)));
  std::array<char, 32> text{};
  EXPECT_EQ(::read(read_end.get(), text.data(), text.size()), 6);
  write_end.reset();
  EXPECT_EQ(::read(read_end.get(), text.data(), text.size()), 0) << "the job's copy is closed";
}

TEST_F(PoolStreams, ADaemonThatHoldsStdoutDelaysNoReportAndDies) {
  // It would hold the pipe for a minute.
  const Report report = expect_accepted(
      run_shell("(setsid sh -c 'echo up >/w/up; exec sleep 60' &); while [ ! -e /w/up ]; do :; "
                "done; echo parent"));
  EXPECT_EQ(output_of(report), "parent\n");
  EXPECT_LT(report.wall_time.value(), seconds(30));
}

TEST_F(PoolStreams, FilesOfEveryKindComeIn) {
  fs::create_directories(directory_ / "tree/deep");
  host_file("tree/one", "1");
  host_file("tree/deep/two", "22");
  fs::create_symlink("one", directory_ / "tree/link");
  const FileId stored = pool().files().put("stored bytes").value();
  JobSpec spec = shell(
      "cat bytes text/in/deep /tmp/abs from-host stored; cat tree/one tree/deep/two tree/link; "
      "readlink tree/link; [ -d empty ] && echo dir; stat -c %a bytes run empty; ./run; "
      "stat -c %U bytes tree/deep empty");
  spec.files_in = {
      {.path = "bytes", .source = FileIn::Bytes{"a\n"}},
      {.path = "text/in/deep", .source = FileIn::Bytes{"b\n"}},
      {.path = "/tmp/abs", .source = FileIn::Bytes{"c\n"}},
      {.path = "from-host", .source = FileIn::HostFile{host_file("plain", "d\n")}},
      {.path = "stored", .source = FileIn::Stored{stored}},
      {.path = "tree", .source = FileIn::HostDirectory{directory_ / "tree"}},
      {.path = "empty", .source = FileIn::Directory{}},
      {.path = "run", .source = FileIn::Bytes{"#!/bin/sh\necho ran\n"}, .mode = 0700},
  };
  const Report report = expect_accepted(run(std::move(spec)));
  EXPECT_EQ(output_of(report),
            "a\nb\nc\nd\nstored bytes1221one\ndir\n644\n700\n755\nran\njob\njob\njob\n");
  pool().files().remove(stored);
}

TEST_F(PoolStreams, AnExecutableThatWasJustDeliveredRunsWhileManyAre) {
  // ETXTBSY would come from a fork that holds the file open for writing.
  const std::string program = contents("/bin/true");
  std::vector<std::future<Report>> reports;
  for (int i = 0; i < 100; ++i) {
    JobSpec spec{.args = {"./program"}};
    spec.files_in = {{.path = "program", .source = FileIn::Bytes{program}, .mode = 0755}};
    reports.push_back(pool().submit(std::move(spec)).value());
  }
  for (std::future<Report>& report : reports) expect_accepted(report.get());
}

TEST_F(PoolStreams, AFileThatDoesNotFitIsAFileErrorAndTheSlotIsFine) {
  profile().work_bytes = 1 * kMiB;
  JobSpec spec = shell(":");
  spec.files_in = {{.path = "big", .source = FileIn::Bytes{std::string(2 * kMiB, 'x')}}};
  const Report report = run(std::move(spec));
  EXPECT_EQ(report.outcome, Outcome::kFileError) << describe(report);
  ASSERT_TRUE(report.error);
  EXPECT_EQ(report.error->errnum, ENOSPC);
  EXPECT_THAT(report.error->message(), HasSubstr("big"));
  EXPECT_EQ(output_of(expect_accepted(run_shell("ls /w"))), "");
}

TEST_F(PoolStreams, FilesComeOutAfterTheEnd) {
  JobSpec spec = shell("mkdir d; printf abc >d/file; printf xyz >/tmp/t; : >empty");
  spec.files_out = {{.path = "d/file"},
                    {.path = "/tmp/t", .store = true},
                    {.path = "empty"},
                    {.path = "maybe", .optional = true}};
  const Report report = expect_accepted(run(std::move(spec)));
  EXPECT_EQ(output_of(report, "d/file"), "abc");
  EXPECT_EQ(output_of(report, "empty"), "");
  const FileId& id = report.output("/tmp/t")->stored;
  EXPECT_EQ(pool().files().read(id).value(), "xyz");
  pool().files().remove(id);
}

TEST_F(PoolStreams, AFileOutThatIsMissingOrTooLargeIsAFileError) {
  JobSpec missing = shell(":");
  missing.files_out = {{.path = "missing"}};
  EXPECT_EQ(run(std::move(missing)).outcome, Outcome::kFileError);
  JobSpec large = shell("head -c 1001 /dev/zero >large");
  large.files_out = {{.path = "large", .bytes_max = 1000}};
  const Report report = run(large);
  EXPECT_EQ(report.outcome, Outcome::kFileError);
  EXPECT_EQ(output_of(report, "large"), "");
  large.files_out[0].bytes_max = 1001;
  EXPECT_EQ(output_of(expect_accepted(run(std::move(large))), "large").size(), 1001U);
}

TEST_F(PoolStreams, AFileOutThatIsTooLargeIsCutOffWhereThatIsAsked) {
  JobSpec spec = shell("printf 123456 >cut; cp cut stored");
  spec.files_out = {{.path = "cut", .bytes_max = 3, .truncate = true},
                    {.path = "stored", .bytes_max = 2, .store = true, .truncate = true}};
  const Report report = run(std::move(spec));
  EXPECT_EQ(report.outcome, Outcome::kFileError);
  for (const char* name : {"cut", "stored"}) {
    const Output* output = report.output(name);
    ASSERT_NE(output, nullptr);
    EXPECT_TRUE(output->truncated);
    ASSERT_TRUE(output->error);
    EXPECT_EQ(output->error->errnum, EFBIG);
  }
  EXPECT_EQ(output_of(report, "cut"), "123");
  EXPECT_EQ(pool().files().read(report.output("stored")->stored).value(), "12");
}

TEST_F(PoolStreams, ACollectorThatDiscardsTheRestLetsTheJobGoOn) {
  JobSpec spec = shell("head -c 300000 /dev/zero; echo end >&2");
  spec.fds[1] = CollectorStream{.name = "stdout", .bytes_max = 10, .discard_rest = true};
  const Report report = run(spec);
  EXPECT_EQ(report.outcome, Outcome::kOutputLimit);
  EXPECT_EQ(report.exit_code, 0);
  EXPECT_EQ(output_of(report).size(), 10U);
  EXPECT_TRUE(report.output("stdout")->truncated);
  EXPECT_EQ(output_of(report, "stderr"), "end\n");
  // Whatever else went wrong is told instead.
  spec.args.back() += "; exit 4";
  EXPECT_EQ(run(spec).outcome, Outcome::kNonzeroExit);
  // The control: without it the job dies.
  spec.fds[1] = CollectorStream{.name = "stdout", .bytes_max = 10};
  EXPECT_EQ(run(std::move(spec)).signal, SIGKILL);
}

TEST_F(PoolStreams, AFileCollectorIsAFileForTheJob) {
  JobSpec spec = shell(
      "echo abcdef; printf X | dd of=out conv=notrunc 2>/dev/null; echo more >>/w/out; rm out");
  spec.fds[1] = FileCollectorStream{.path = "out"};
  spec.fds[2] = SameAsStream{1};
  EXPECT_EQ(output_of(expect_accepted(run(std::move(spec))), "out"), "Xbcdef\nmore\n");
}

TEST_F(PoolStreams, AFileCollectorKeepsNobodyBusyWhileItsJobSleeps) {
  JobSpec spec = shell("sleep 0.5");
  spec.fds[1] = FileCollectorStream{.path = "out"};
  const auto cpu_time = [] {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    return seconds(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           std::chrono::microseconds(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
  };
  pool();
  const auto before = cpu_time();
  const Report report = run(spec);
  EXPECT_EQ(report.outcome, Outcome::kAccepted) << describe(report);
  EXPECT_LT(cpu_time() - before, milliseconds(250)) << "the pool's thread waits for nothing";
}

TEST_F(PoolStreams, AFileCollectorTakesItsCapAndTheJobGoesOn) {
  for (const std::uint64_t size : {std::uint64_t{1000}, std::uint64_t{400'000}}) {
    JobSpec spec = shell("head -c " + std::to_string(size) + " /dev/zero; cat out | wc -c >&2");
    spec.fds[1] = FileCollectorStream{.path = "out", .bytes_max = size};
    const Report whole = expect_accepted(run(spec));
    EXPECT_EQ(output_of(whole, "out").size(), size);
    EXPECT_EQ(output_of(whole, "stderr"), std::to_string(size) + "\n");
    spec.fds[1] = FileCollectorStream{.path = "/tmp/a/out", .bytes_max = size - 1};
    spec.args.back() = "head -c " + std::to_string(size) + " /dev/zero";
    const Report cut = run(std::move(spec));
    EXPECT_EQ(cut.outcome, Outcome::kOutputLimit);
    EXPECT_EQ(cut.exit_code, 0);
    EXPECT_EQ(output_of(cut, "/tmp/a/out").size(), size - 1);
  }
}

TEST_F(PoolStreams, AFileCollectorFollowsNothingThatCameIn) {
  const fs::path canary = host_file("canary", "of the host");
  JobSpec spec = shell("echo pwned");
  spec.files_in = {{.path = "out", .source = FileIn::Symlink{canary}}};
  spec.fds[1] = FileCollectorStream{.path = "out"};
  const Report report = run(std::move(spec));
  EXPECT_NE(report.outcome, Outcome::kAccepted) << describe(report);
  EXPECT_EQ(contents(canary), "of the host");
  EXPECT_EQ(output_of(expect_accepted(run_shell("ls /w"))), "");
}

TEST_F(PoolStreams, ACommandIsFoundInTheWorkingDirectoryWhereThatIsAsked) {
  JobSpec spec = shell("");
  spec.args = {"ls"};
  spec.files_in = {{.path = "ls", .source = FileIn::Bytes{"#!/bin/sh\necho mine\n"}, .mode = 0755}};
  EXPECT_EQ(output_of(expect_accepted(run(spec))), "ls\n");
  spec.search_working_directory = true;
  EXPECT_EQ(output_of(expect_accepted(run(spec))), "mine\n");
  spec.files_in[0].mode = 0644;  // No command; the next in PATH is.
  EXPECT_EQ(output_of(expect_accepted(run(std::move(spec)))), "ls\n");
}

TEST_F(PoolStreams, ATerminalThatIsLentCanBeTheControllingOne) {
  const UniqueFd master(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  ASSERT_TRUE(master.valid());
  ASSERT_EQ(::unlockpt(master.get()), 0);
  const UniqueFd slave(::ioctl(master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  ASSERT_TRUE(slave.valid());
  // /dev/tty is not there: the session's terminal shows in /proc/self/stat.
  JobSpec spec = shell("cut -d' ' -f7 /proc/self/stat");
  spec.fds[0] = CallerFdStream{slave.get()};
  EXPECT_EQ(output_of(expect_accepted(run(spec))), "0\n");
  spec.controlling_terminal = true;
  EXPECT_NE(output_of(expect_accepted(run(spec))), "0\n");
  spec.fds[0] = NullStream{};
  EXPECT_EQ(run(std::move(spec)).outcome, Outcome::kInternalError);
}

TEST_F(PoolStreams, AFileOutIsNeverSomethingThatAJobMadeInItsPlace) {
  const fs::path canary = host_file("canary", "of the host");
  const std::string target = canary;
  const struct {
    std::string script;
    std::string path;
  } tricks[] = {
      {"ln -s " + target + " out", "out"},
      {"ln -s /etc/passwd out", "out"},
      {"ln -s /w/real out; echo x >real", "out"},
      {"ln -s " + directory_.string() + " d", "d/canary"},
      {"ln -s .. d", "d/etc/passwd"},
      {"ln -s /proc/self/root d", "d/etc/passwd"},
      {"mkfifo out", "out"},
      {"mkdir out", "out"},
      {"python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"out\")'", "out"},
  };
  for (const auto& trick : tricks) {
    JobSpec spec = shell(trick.script);
    spec.files_out = {{.path = trick.path}};
    const Report report = run(std::move(spec));
    EXPECT_EQ(report.outcome, Outcome::kFileError) << trick.script << ": " << describe(report);
    EXPECT_EQ(output_of(report, trick.path), "") << trick.script;
  }
  // The control: the same name as a regular file is taken.
  JobSpec spec = shell("echo real >out");
  spec.files_out = {{.path = "out"}};
  EXPECT_EQ(output_of(expect_accepted(run(std::move(spec))), "out"), "real\n");
}

TEST_F(PoolStreams, AFileInFollowsNoLinkOfADirectoryThatCameBefore) {
  fs::create_directories(directory_ / "tree");
  fs::create_symlink(directory_, directory_ / "tree/out");
  JobSpec spec = shell(":");
  spec.files_in = {{.path = "tree", .source = FileIn::HostDirectory{directory_ / "tree"}},
                   {.path = "tree/out/planted", .source = FileIn::Bytes{"x"}}};
  EXPECT_EQ(run(std::move(spec)).outcome, Outcome::kFileError);
  EXPECT_FALSE(fs::exists(directory_ / "planted"));
}

TEST_F(PoolStreams, PathsThatLeaveTheSandboxAreRefusedAtSubmit) {
  for (const char* path : {"../x", "a/../../x", "/etc/x", "/w/../etc/x", ""}) {
    JobSpec in = shell(":");
    in.files_in = {{.path = path, .source = FileIn::Bytes{"x"}}};
    EXPECT_FALSE(pool().submit(std::move(in))) << path;
    JobSpec out = shell(":");
    out.files_out = {{.path = path}};
    EXPECT_FALSE(pool().submit(std::move(out))) << path;
  }
}

TEST_F(PoolStreams, TheEnvironmentIsTheJobsAndNothingOfThePools) {
  ASSERT_EQ(::setenv("HATCHERY_SECRET", "1", 1), 0);
  EXPECT_EQ(output_of(run({.args = {"/usr/bin/env"}, .fds = {{1, CollectorStream{"stdout"}}}})),
            "PATH=/usr/local/bin:/usr/bin:/bin\nHOME=/w\nLANG=C.UTF-8\n");
  EXPECT_EQ(output_of(run({.args = {"/usr/bin/env"},
                           .env = std::vector<std::string>{"A=1", "B= 2"},
                           .fds = {{1, CollectorStream{"stdout"}}}})),
            "A=1\nB= 2\n");
  ::unsetenv("HATCHERY_SECRET");
}

TEST_F(PoolStreams, ArgumentsOfAnySizeArrive) {
  std::vector<std::string> args = {"/usr/bin/printf", "%s.%s.", "", "a b\n\xff"};
  EXPECT_EQ(output_of(run({.args = args, .fds = {{1, CollectorStream{"stdout"}}}})), ".a b\n\xff.");
  args = {"/usr/bin/printf", "%.3s"};
  for (int i = 0; i < 10; ++i) args.push_back(std::string(100'000, 'x'));
  const Report report = run({.args = args, .fds = {{1, CollectorStream{"stdout"}}}});
  EXPECT_EQ(output_of(expect_accepted(report)).size(), 30U);
}

// ---- groups ----

JobSpec piped(const std::string& script, std::optional<std::size_t> reads,
              std::optional<std::size_t> writes) {
  JobSpec spec{.args = {"/bin/sh", "-c", script}};
  spec.fds[2] = CollectorStream{.name = "stderr"};
  if (reads) spec.fds[0] = PipeStream{.pipe = *reads, .write = false};
  if (writes) spec.fds[1] = PipeStream{.pipe = *writes, .write = true};
  return spec;
}

class PoolGroups : public PoolTest {
 protected:
  std::vector<Report> run_group(std::vector<JobSpec> specs) {
    auto future = pool().submit_group(std::move(specs));
    if (future) return future->get();
    ADD_FAILURE() << future.error().message();
    return {};
  }
};

TEST_F(PoolGroups, TwoJobsTalkThroughTheirPipes) {
  const std::vector<Report> reports =
      run_group({piped("echo 20; read answer; echo \"got $answer\" >&2", 1, 0),
                 piped("read n; echo $((n * 2 + 2))", 0, 1)});
  ASSERT_EQ(reports.size(), 2U);
  EXPECT_EQ(reports[0].outcome, Outcome::kAccepted) << describe(reports[0]);
  EXPECT_EQ(output_of(reports[0], "stderr"), "got 42\n");
  EXPECT_EQ(reports[1].outcome, Outcome::kAccepted) << describe(reports[1]);
  EXPECT_NE(reports[0].slot, reports[1].slot) << "each in its own slot";
}

TEST_F(PoolGroups, TheReportsSayWhichEndedFirst) {
  for (const bool first : {true, false}) {
    const std::string waits = "cat >/dev/null";  // Until the other end is closed by its end.
    std::vector<JobSpec> specs = {piped(first ? ":" : waits, 1, 0),
                                  piped(first ? waits : ":", 0, 1)};
    // Else the other could have ended, too, before the pool hears of the first.
    for (JobSpec& spec : specs)
      for (const int fd : {0, 1}) std::get<PipeStream>(spec.fds[fd]).held = true;
    const std::vector<Report> reports = run_group(std::move(specs));
    ASSERT_EQ(reports.size(), 2U);
    EXPECT_EQ(reports[first ? 0 : 1].end_order, 0U);
    EXPECT_EQ(reports[first ? 1 : 0].end_order, 1U);
  }
}

TEST_F(PoolGroups, AJobWhoseReaderIsGoneGetsSigpipe) {
  const std::vector<Report> reports =
      run_group({piped("exec yes", {}, 0), piped("exec head -c 1", 0, {})});
  ASSERT_EQ(reports.size(), 2U);
  EXPECT_EQ(reports[0].signal, SIGPIPE) << describe(reports[0]);
  EXPECT_EQ(reports[1].outcome, Outcome::kAccepted);
}

TEST_F(PoolGroups, OneThatCannotStartEndsTheOthers) {
  std::vector<JobSpec> specs = {piped("cat; sleep 60", 0, {}), piped(":", {}, 0)};
  specs[1].args = {"/no/such/command"};
  const std::vector<Report> reports = run_group(std::move(specs));
  ASSERT_EQ(reports.size(), 2U);
  EXPECT_EQ(reports[0].outcome, Outcome::kCancelled) << describe(reports[0]);
  EXPECT_EQ(reports[1].outcome, Outcome::kFileError) << describe(reports[1]);
}

TEST_F(PoolGroups, EachJobHasLimitsOfItsOwn) {
  std::vector<JobSpec> specs = {piped("sleep 60", {}, 0), piped("cat >/dev/null", 0, {})};
  specs[0].limits.wall_time = milliseconds(100);
  const std::vector<Report> reports = run_group(std::move(specs));
  ASSERT_EQ(reports.size(), 2U);
  EXPECT_EQ(reports[0].outcome, Outcome::kWallLimit) << describe(reports[0]);
  EXPECT_EQ(reports[1].outcome, Outcome::kAccepted) << describe(reports[1]);
}

TEST_F(PoolGroups, ManyGroupsShareFewSlotsWithoutDeadlock) {
  std::vector<std::future<std::vector<Report>>> groups;
  std::vector<std::future<Report>> singles;
  for (int i = 0; i < 20; ++i) {
    groups.push_back(pool().submit_group({piped("echo x", {}, 0), piped("read x", 0, {})}).value());
    singles.push_back(pool().submit(shell(":")).value());
  }
  for (auto& group : groups)
    for (const Report& report : group.get())
      EXPECT_EQ(report.outcome, Outcome::kAccepted) << describe(report);
  for (auto& single : singles) EXPECT_EQ(single.get().outcome, Outcome::kAccepted);
}

TEST_F(PoolGroups, OnlySoManySubmissionsRunAtOnceAsTheProfileSays) {
  profile().slots_max = 4;
  profile().slots_min = 4;
  profile().running_max = 1;
  std::vector<std::future<Report>> reports;
  // Each would see another's file, if another ran: they wait until the pool says that four run.
  for (int i = 0; i < 3; ++i) reports.push_back(pool().submit(shell("sleep 0.2")).value());
  std::uint32_t most = 0;
  while (reports.back().wait_for(milliseconds(1)) != std::future_status::ready)
    most = std::max(most, pool().stats().running);
  EXPECT_EQ(most, 1U);
  // A group counts once, whatever its size.
  std::vector<JobSpec> group(3, shell("exit 0"));
  for (const Report& report : pool().submit_group(group).value().get())
    EXPECT_EQ(report.outcome, Outcome::kAccepted);
}

TEST_F(PoolGroups, AGroupThatCanNeverRunIsRefused) {
  const auto refusal = [this](std::vector<JobSpec> specs) {
    const auto refused = pool().submit_group(std::move(specs));
    return refused ? std::string() : refused.error().message();
  };
  EXPECT_THAT(refusal({}), HasSubstr("empty"));
  EXPECT_THAT(refusal({piped(":", {}, {}), piped(":", {}, {}), piped(":", {}, {})}),
              HasSubstr("slots"));
  EXPECT_THAT(refusal({piped(":", 0, {}), piped(":", 0, {})}),
              HasSubstr("2 readers and 0 writers"));
  const auto alone = pool().submit(piped(":", 0, {}));
  ASSERT_FALSE(alone);
  EXPECT_THAT(alone.error().message(), HasSubstr("group"));
}

}  // namespace
}  // namespace hatchery::testing
