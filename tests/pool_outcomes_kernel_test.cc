// Each outcome of a job, each limit beside the same job without it, and the figures of a report.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>

#include "pool/limits.h"
#include "tests/await.h"
#include "tests/pool_fixture.h"
#include "tests/slowness.h"
#include "workers/protocol.h"

namespace hatchery::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

/// About 150 ms of CPU time where this was written; the limits around it are far from that.
const std::string kBurn =
    "i=0; while [ $i -lt " + std::to_string(200'000 / slowness()) + " ]; do i=$((i+1)); done";
/// Holds 48 MiB of its own memory.
constexpr const char* kHoard = "x=$(head -c 50331648 /dev/zero | tr '\\0' a); echo ${#x}";

/// Whether zygotes and parked workers all wait for a message: what there was to tell is told.
bool slots_wait(const PoolConfig& config) {
  for (const std::string& process : host_traces(config).processes) {
    if (process.find("hatchery-zygote") == std::string::npos) continue;
    std::ifstream file("/proc/" + std::to_string(std::stoi(process)) + "/syscall");
    long number = SYS_recvmsg;
    if (file >> number; number != SYS_recvmsg) return false;
  }
  return true;
}

class PoolOutcomes : public PoolTest {};

TEST_F(PoolOutcomes, ExitStatusZeroIsAccepted) {
  const Report report = run_shell("echo out; echo err >&2");
  EXPECT_EQ(report.outcome, Outcome::kAccepted) << describe(report);
  EXPECT_EQ(report.exit_code, 0);
  EXPECT_EQ(report.signal, std::nullopt);
  EXPECT_EQ(output_of(report), "out\n");
  EXPECT_EQ(output_of(report, "stderr"), "err\n");
}

TEST_F(PoolOutcomes, TheLastOutputAndTheEndMayComeInOneTurnOfTheLoop) {
  profile().slots_min = profile().slots_max = 2;
  int go[2], alive[2];
  ASSERT_TRUE(::pipe2(go, O_CLOEXEC) == 0 && ::pipe2(alive, O_CLOEXEC) == 0);
  const UniqueFd go_read(go[0]), go_write(go[1]), alive_read(alive[0]);
  UniqueFd alive_write(alive[1]);
  // With a file to collect it stays the slot's job while another thread reads that.
  JobSpec spec = shell("head -c 30000000 /dev/zero >file; read x; echo last");
  spec.fds[0] = CallerFdStream{go_read.get()};
  spec.fds[3] = CallerFdStream{alive_write.get()};
  spec.files_out = {{.path = "file"}};
  auto job = pool().submit(std::move(spec));
  ASSERT_TRUE(job);
  alive_write.reset();
  // On the loop's thread, which sees nothing of the other's end until this returns.
  std::promise<void> done;
  const auto hold_the_loop = [&](const Report&) {
    char byte = 0;
    EXPECT_EQ(::write(go_write.get(), "\n", 1), 1);
    EXPECT_EQ(::read(alive_read.get(), &byte, 1), 0);
    await([this] { return slots_wait(config); });
    done.set_value();
  };
  ASSERT_TRUE(pool().submit(shell(":"), hold_the_loop));
  done.get_future().get();
  const Report report = job->get();
  EXPECT_EQ(report.outcome, Outcome::kAccepted) << describe(report);
  EXPECT_EQ(output_of(report), "last\n");
  EXPECT_EQ(output_of(report, "file").size(), 30'000'000U);
}

TEST_F(PoolOutcomes, AnyOtherExitStatusIsReportedAsItIs) {
  for (const int status : {1, 42, 126, 127, 255}) {
    const Report report = run_shell("exit " + std::to_string(status));
    EXPECT_EQ(report.outcome, Outcome::kNonzeroExit) << describe(report);
    EXPECT_EQ(report.exit_code, status);
  }
}

TEST_F(PoolOutcomes, ADeathOfASignalNamesTheSignal) {
  for (const int number : {SIGKILL, SIGSEGV, SIGTERM, SIGSYS}) {
    const Report report = run_shell("kill -" + std::to_string(number) + " $$");
    EXPECT_EQ(report.outcome, Outcome::kSignalled) << describe(report);
    EXPECT_EQ(report.signal, number);
    EXPECT_EQ(report.exit_code, std::nullopt);
  }
}

TEST_F(PoolOutcomes, ACommandThatIsMissingOrNotExecutableIsAFileErrorThatNamesIt) {
  const struct {
    const char* command;
    int errnum;
  } cases[] = {{"no-such-command", ENOENT},
               {"/no/such/command", ENOENT},
               {"/etc/passwd", EACCES},
               {"/etc/passwd/x", ENOTDIR},
               {"/usr", EACCES}};
  for (const auto& one : cases) {
    const Report report = run({.args = {one.command}});
    EXPECT_EQ(report.outcome, Outcome::kFileError) << describe(report);
    ASSERT_TRUE(report.error);
    EXPECT_EQ(report.error->step, Step::kWorkerExec);
    EXPECT_EQ(report.error->errnum, one.errnum == ENOTDIR ? ENOENT : one.errnum);
    EXPECT_THAT(report.error->message(), HasSubstr(one.command));
  }
}

TEST_F(PoolOutcomes, AWorkingDirectoryThatIsMissingIsAnErrorThatNamesIt) {
  const Report report = run({.args = {"/bin/true"}, .working_directory = "/no/such"});
  EXPECT_EQ(report.outcome, Outcome::kFileError) << describe(report);
  ASSERT_TRUE(report.error);
  EXPECT_THAT(report.error->message(), HasSubstr("/no/such"));
}

TEST_F(PoolOutcomes, CpuTimeAtTheLimitIsTimeLimit) {
  const Report ended = run_shell("while :; do :; done", {.cpu_time = milliseconds(50)});
  EXPECT_EQ(ended.outcome, Outcome::kTimeLimit) << describe(ended);
  EXPECT_GE(ended.cpu_time.value(), milliseconds(50));
  const Report control = run_shell(
      kBurn, {.cpu_time = seconds(30) * slowness(), .wall_time = seconds(60) * slowness()});
  EXPECT_EQ(control.outcome, Outcome::kAccepted) << describe(control);
  EXPECT_GT(control.cpu_time.value(), milliseconds(1));
}

TEST_F(PoolOutcomes, CpuTimeIsThatOfTheWholeTree) {
  // Each child alone stays below the limit; those that were reaped count too.
  const std::string child = "( " + kBurn + " )";
  const Report alone = run_shell(
      child, {.cpu_time = seconds(30) * slowness(), .wall_time = seconds(60) * slowness()});
  ASSERT_EQ(alone.outcome, Outcome::kAccepted) << describe(alone);
  const Limits limits{.cpu_time = *alone.cpu_time * 4, .wall_time = seconds(60) * slowness()};
  const Report tree = run_shell("while :; do " + child + "; done", limits);
  EXPECT_EQ(tree.outcome, Outcome::kTimeLimit) << describe(tree);
  const Report daemons =
      run_shell("for i in 1 2 3 4 5 6 7 8; do (while :; do :; done) & done; wait", limits);
  EXPECT_EQ(daemons.outcome, Outcome::kTimeLimit) << describe(daemons);
}

TEST_F(PoolOutcomes, WallTimeAtTheLimitIsWallLimit) {
  const Report ended = run_shell("sleep 0.3", {.wall_time = milliseconds(50)});
  EXPECT_EQ(ended.outcome, Outcome::kWallLimit) << describe(ended);
  // The limit counts from the hand-over, wall_time from exec.
  EXPECT_GE(
      ended.steps.handed_over.value() + ended.steps.exec_done.value() + ended.steps.ended.value(),
      milliseconds(50));
  const Report control = run_shell("sleep 0.3", {.wall_time = seconds(60) * slowness()});
  EXPECT_EQ(control.outcome, Outcome::kAccepted) << describe(control);
  EXPECT_GE(control.wall_time.value(), milliseconds(300));
  EXPECT_LT(control.cpu_time.value(), control.wall_time.value() - milliseconds(200));
}

TEST_F(PoolOutcomes, AStoppedJobStillHasItsWallLimit) {
  const Report report = run_shell("kill -STOP $$", {.wall_time = milliseconds(50)});
  EXPECT_EQ(report.outcome, Outcome::kWallLimit) << describe(report);
}

TEST_F(PoolOutcomes, MemoryAboveTheLimitIsMemoryLimit) {
  const Report ended = run_shell(kHoard, {.memory_bytes = 24 * kMiB});
  EXPECT_EQ(ended.outcome, Outcome::kMemoryLimit) << describe(ended);
  EXPECT_GE(ended.oom_kills.value(), 1U);
  // The kernel lets a dying process exceed its limit by some pages.
  EXPECT_LE(ended.memory_peak_bytes.value(), 25 * kMiB);
  const Report control = run_shell(kHoard, {.memory_bytes = 256 * kMiB});
  EXPECT_EQ(control.outcome, Outcome::kAccepted) << describe(control);
  EXPECT_EQ(control.oom_kills, 0U);
  EXPECT_GE(control.memory_peak_bytes.value(), 48 * kMiB);
}

TEST_F(PoolOutcomes, FilesOnATmpfsAreMemoryToo) {
  for (const char* directory : {"/tmp", "/w", "/dev/shm"}) {
    const std::string script = std::string("head -c 33554432 /dev/zero >") + directory + "/file";
    const Report ended = run_shell(script, {.memory_bytes = 16 * kMiB});
    EXPECT_EQ(ended.outcome, Outcome::kMemoryLimit) << directory << ": " << describe(ended);
    const Report control = run_shell(script, {.memory_bytes = 64 * kMiB});
    EXPECT_EQ(control.outcome, Outcome::kAccepted) << directory << ": " << describe(control);
    // What the idle slot held is taken off, and that is known to some pages only.
    EXPECT_GE(control.memory_peak_bytes.value(), 31 * kMiB) << directory;
  }
}

TEST_F(PoolOutcomes, AMemoryPeakIsThatOfItsJobAlone) {
  config.profiles.front().slots_max = 1;
  EXPECT_GE(run_shell(kHoard).memory_peak_bytes.value(), 48 * kMiB);
  EXPECT_LT(run_shell(":").memory_peak_bytes.value(), 8 * kMiB);
}

TEST_F(PoolOutcomes, ATmpfsIsAsLargeAsTheProfileSays) {
  profile().tmp_bytes = 1 * kMiB;
  profile().work_bytes = 2 * kMiB;
  profile().shm_bytes = 3 * kMiB;
  const Report report = run_shell(
      "for d in /tmp /w /dev/shm; do head -c 9000000 /dev/zero >$d/file 2>/dev/null; wc -c "
      "<$d/file; done");
  EXPECT_EQ(report.outcome, Outcome::kAccepted) << describe(report);
  EXPECT_EQ(output_of(report), "1048576\n2097152\n3145728\n");
}

TEST_F(PoolOutcomes, InodesOfATmpfsAreBounded) {
  const std::string script = "i=0; while [ $i -lt 200 ]; do : >/w/$i || exit 1; i=$((i+1)); done";
  profile().tmpfs_inodes = 100;
  const Report full = run_shell(script);
  EXPECT_NE(full.exit_code, 0);
  EXPECT_THAT(output_of(full, "stderr"), HasSubstr("No space left"));
}

TEST_F(PoolOutcomes, ForkFailsAtTheProcessLimitAndTheReportSaysSo) {
  const std::string script = "for i in 1 2 3 4 5 6; do sleep 60 & done; echo all";
  const Report ended = run_shell(script, {.processes = 4});
  EXPECT_EQ(ended.outcome, Outcome::kNonzeroExit) << describe(ended);
  EXPECT_EQ(ended.process_limit_hit, true);
  if (missing_feature("pids_peak").empty()) {
    EXPECT_EQ(ended.process_peak, 4U);
  }
  const Report control = run_shell(script, {.processes = 32});
  EXPECT_EQ(control.outcome, Outcome::kAccepted) << describe(control);
  EXPECT_EQ(control.process_limit_hit, false);
}

// On v1 sockets have a count and a limit of their own; on v2 the kernel may let pass what arrives.
TEST_F(PoolOutcomes, MemoryThatIsAboveTheLimitWithWhatSocketsHoldIsMemoryLimit) {
  HATCHERY_REQUIRE_FEATURE("python3");
  const std::string script =
      "import socket\n"
      "memory = bytearray(b'x') * (20 << 20)\n"
      "listener = socket.create_server(('127.0.0.1', 0))\n"
      "kept = []\n"
      "for i in range(10):\n"
      "  kept.append(socket.create_connection(listener.getsockname()))\n"
      "  kept.append(listener.accept()[0])\n"
      "  kept[-2].setblocking(False)\n"
      "  try:\n"
      "    while True: kept[-2].send(memory)\n"
      "  except BlockingIOError: pass\n";
  const auto run_python = [&](std::uint64_t bytes) {
    JobSpec spec = shell("", {.wall_time = seconds(60) * slowness(), .memory_bytes = bytes});
    spec.args = {"/usr/bin/python3", "-c", script};
    return run(std::move(spec));
  };
  const Report ended = run_python(32 * kMiB);
  EXPECT_EQ(ended.outcome, Outcome::kMemoryLimit) << describe(ended);
  const Report control = run_python(256 * kMiB);
  EXPECT_EQ(control.outcome, Outcome::kAccepted) << describe(control);
  EXPECT_GT(control.memory_peak_bytes.value(), 37 * kMiB);
}

TEST_F(PoolOutcomes, AForkBombIsBoundedAndEndsWithItsLimit) {
  // In a subshell: a shell whose own fork fails ends, and the main one must reach its CPU limit.
  const Report report =
      run_shell("f() { f | f & }; (f); while :; do :; done",
                {.cpu_time = seconds(2) * std::min(slowness(), 3), .processes = 32});
  EXPECT_EQ(report.outcome, Outcome::kTimeLimit) << describe(report);
  EXPECT_EQ(report.process_limit_hit, true);
  EXPECT_EQ(run_shell("echo next").outcome, Outcome::kAccepted);
}

TEST_F(PoolOutcomes, OutputOfExactlyTheLimitIsWholeAndOneByteMoreIsOutputLimit) {
  const Report whole = run_shell("head -c 100000 /dev/zero", {.output_bytes = 100'000});
  EXPECT_EQ(whole.outcome, Outcome::kAccepted) << describe(whole);
  EXPECT_EQ(output_of(whole), std::string(100'000, '\0'));
  const Report over = run_shell("head -c 100001 /dev/zero", {.output_bytes = 100'000});
  EXPECT_EQ(over.outcome, Outcome::kOutputLimit) << describe(over);
  EXPECT_EQ(output_of(over).size(), 100'000U);
  EXPECT_TRUE(over.output("stdout")->truncated);
}

TEST_F(PoolOutcomes, EndlessOutputEndsAtItsLimit) {
  const Report report = run_shell("yes", {.output_bytes = 1 * kMiB});
  EXPECT_EQ(report.outcome, Outcome::kOutputLimit) << describe(report);
  EXPECT_EQ(output_of(report).size(), 1 * kMiB);
}

TEST_F(PoolOutcomes, AFileBeyondItsLimitIsOutputLimit) {
  const std::string script = "exec head -c 2000 /dev/zero >/w/file";
  const Report ended = run_shell(script, {.file_bytes = 1000});
  EXPECT_EQ(ended.outcome, Outcome::kOutputLimit) << describe(ended);
  const Report control = run_shell(script, {.file_bytes = 2000});
  EXPECT_EQ(control.outcome, Outcome::kAccepted) << describe(control);
}

TEST_F(PoolOutcomes, RlimitsArriveInTheJob) {
  const Report report =
      run_shell("ulimit -n; ulimit -s; ulimit -v; ulimit -c; ulimit -f; ulimit -r",
                {.file_bytes = 5 * kMiB,
                 .open_files = 77,
                 .stack_bytes = 3 * kMiB,
                 .address_space_bytes = 700 * kMiB});
  EXPECT_EQ(output_of(report), "77\n3072\n716800\n0\n10240\n0\n") << describe(report);
}

TEST_F(PoolOutcomes, OpenFilesBeyondTheLimitAreRefused) {
  const std::string script = "exec 3</dev/null 4</dev/null 5</dev/null 6</dev/null";
  EXPECT_NE(run_shell(script, {.open_files = 6}).exit_code, 0);
  EXPECT_EQ(run_shell(script, {.open_files = 16}).exit_code, 0);
}

TEST_F(PoolOutcomes, TheCpuRateThrottlesAndKillsNothing) {
  HATCHERY_REQUIRE_FEATURE("cgroup_cpu");
  const Report slow = run_shell(kBurn, {.cpu_time = seconds(30) * slowness(),
                                        .wall_time = seconds(60) * slowness(),
                                        .cpu_rate = 0.25});
  EXPECT_EQ(slow.outcome, Outcome::kAccepted) << describe(slow);
  EXPECT_GT(slow.throttled_time.value(), Nanoseconds(0));
  const Report control = run_shell(
      kBurn, {.cpu_time = seconds(30) * slowness(), .wall_time = seconds(60) * slowness()});
  EXPECT_EQ(control.outcome, Outcome::kAccepted) << describe(control);
  EXPECT_EQ(control.throttled_time, Nanoseconds(0));
}

TEST_F(PoolOutcomes, TheCpuSetIsWhereTheJobRuns) {
  HATCHERY_REQUIRE_FEATURE("cgroup_cpuset");
  config.profiles.front().slots_max = 1;
  const std::string script =
      "while read -r name value; do [ $name != Cpus_allowed_list: ] || echo $value; done "
      "</proc/self/status";
  const std::string all = output_of(run_shell(script));
  EXPECT_EQ(output_of(run_shell(script, {.cpu_set = "0"})), "0\n");
  EXPECT_EQ(output_of(run_shell(script)), all) << "the next job has all of them again";
}

TEST_F(PoolOutcomes, ARefusedCallGivesEpermByDefault) {
  // Two protections forbid it: the control leaves out both.
  const std::string script = "unshare -U true";
  const Report refused = run_shell(script);
  EXPECT_EQ(refused.outcome, Outcome::kNonzeroExit) << describe(refused);
  EXPECT_THAT(output_of(refused, "stderr"), HasSubstr("Operation not permitted"));
}

TEST_F(PoolOutcomes, ARefusedCallSucceedsWithoutFilterAndNamespaceLimit) {
  config.testing_without = protocol::kWithoutFilter | protocol::kWithoutUserNamespaceLimit;
  const Report report = run_shell("unshare -U true");
  EXPECT_EQ(report.outcome, Outcome::kAccepted) << describe(report);
}

TEST_F(PoolOutcomes, ARefusedCallThatKillsIsForbiddenSyscallWithNumberAndName) {
  HATCHERY_REQUIRE_FEATURE("seccomp_notify");
  profile().refused_call = RefusedCall::kKill;
  const Report report = run_shell("unshare -U true; echo survived");
  EXPECT_EQ(report.outcome, Outcome::kForbiddenSyscall) << describe(report);
  ASSERT_TRUE(report.forbidden_syscall);
  EXPECT_EQ(report.forbidden_syscall->name, "unshare");
  EXPECT_GT(report.forbidden_syscall->number, 0);
  EXPECT_FALSE(report.forbidden_syscall->architecture.empty());
  EXPECT_EQ(output_of(report), "");
  const Report next = run_shell("echo next");
  EXPECT_EQ(next.outcome, Outcome::kAccepted) << describe(next);
  EXPECT_FALSE(next.forbidden_syscall);
}

TEST_F(PoolOutcomes, APolicyIsOfJobsAloneTheSlotStillDoesWhatItRefuses) {
  // All that a zygote does between jobs, and a worker before its own, but for what /bin/true needs.
  const std::string directory = make_temporary_directory();
  const std::string path = directory + "/policy.json";
  std::ofstream(path) << R"({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": [
      "mount", "umount2", "unshare", "clone3", "wait4", "kill", "pwrite64", "listxattr", "socket",
      "ioctl", "setsid", "setresuid", "setresgid", "capset", "prctl", "seccomp", "pidfd_open",
      "rt_sigprocmask", "recvmsg", "sendmsg", "umask", "chdir", "dup3", "fcntl"],
      "action": "SCMP_ACT_ERRNO", "errnoRet": 77}]})";
  profile().seccomp_policy = path;
  profile().slots_max = 1;
  for (int i = 0; i < 3; ++i) {
    JobSpec spec{.args = {"/bin/true"}};
    spec.files_in.push_back({.path = "dirty", .source = FileIn::Bytes{"x"}});
    const Report report = run(spec);
    EXPECT_EQ(report.outcome, Outcome::kAccepted) << describe(report);
  }
  EXPECT_EQ(pool().stats().slots_replaced, 0U);
  const Report refused = run_shell("umask 0; cd /tmp");
  EXPECT_EQ(refused.outcome, Outcome::kNonzeroExit) << describe(refused);
  std::filesystem::remove_all(directory);
}

TEST_F(PoolOutcomes, ACancelledJobSaysSoWhetherItWaitedOrRan) {
  config.profiles.front().slots_max = 1;
  std::promise<Report> running, waiting;
  const auto into = [](std::promise<Report>& promise) {
    return [&promise](Report report) { promise.set_value(std::move(report)); };
  };
  int started[2];
  ASSERT_EQ(::pipe2(started, O_CLOEXEC), 0);
  const UniqueFd read_end(started[0]);
  UniqueFd write_end(started[1]);
  JobSpec sleeper = shell("echo started >&3; exec sleep 60");
  sleeper.fds[3] = CallerFdStream{write_end.get()};
  const Result<JobTicket> first = pool().submit(std::move(sleeper), into(running));
  const Result<JobTicket> second = pool().submit(shell("echo"), into(waiting));
  ASSERT_TRUE(first && second);
  char text[8];
  ASSERT_EQ(::read(read_end.get(), text, sizeof text), 8) << "it runs";
  EXPECT_TRUE(pool().cancel(*second));
  EXPECT_EQ(waiting.get_future().get().outcome, Outcome::kCancelled);
  EXPECT_TRUE(pool().cancel(*first));
  EXPECT_EQ(running.get_future().get().outcome, Outcome::kCancelled);
  pool().drain();
  EXPECT_FALSE(pool().cancel(*first)) << "it has been reported";
  EXPECT_FALSE(pool().cancel(12345));
}

TEST_F(PoolOutcomes, AJobThatAsksForTooMuchIsRefusedWithTheField) {
  profile().defaults.memory_bytes = 64 * kMiB;
  profile().maximums.memory_bytes = 64 * kMiB;
  const auto refused = pool().submit(shell(":", {.memory_bytes = 65 * kMiB}));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().step, Step::kValidateJob);
  EXPECT_THAT(refused.error().message(), HasSubstr("memory"));
}

TEST_F(PoolOutcomes, AFullQueueRefusesAndTheRestIsReported) {
  config.queue_max = 2;
  config.profiles.front().slots_max = 1;
  std::vector<std::future<Report>> accepted;
  bool refused = false;
  for (int i = 0; i < 100 && !refused; ++i) {
    auto future = pool().submit(shell("sleep 0.05"));
    if (future)
      accepted.push_back(*std::move(future));
    else {
      refused = true;
      EXPECT_EQ(future.error().errnum, EAGAIN);
    }
  }
  EXPECT_TRUE(refused);
  for (std::future<Report>& future : accepted) EXPECT_EQ(future.get().outcome, Outcome::kAccepted);
}

TEST_F(PoolOutcomes, AReportHasEveryFigureAndStep) {
  config.profiles.front().slots_max = 1;
  ASSERT_EQ(run_shell(":").outcome, Outcome::kAccepted);
  const Report report = run_shell("ls / >/dev/null; head -c 1000000 /dev/zero >/w/x");
  ASSERT_EQ(report.outcome, Outcome::kAccepted) << describe(report);
  EXPECT_GT(report.cpu_time.value(), Nanoseconds(0));
  EXPECT_LE(report.cpu_user.value() + report.cpu_system.value(),
            *report.cpu_time + milliseconds(1));
  EXPECT_GT(report.wall_time.value(), Nanoseconds(0));
  EXPECT_GT(report.memory_peak_bytes.value(), 1'000'000U);
  EXPECT_GT(report.minor_faults.value(), 0U);
  EXPECT_TRUE(report.major_faults && report.voluntary_switches && report.involuntary_switches);
  EXPECT_FALSE(report.host.empty());
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nobody changes it.
  if (std::getenv("HATCHERY_GUEST") != nullptr) {
    EXPECT_EQ(report.host, "cgroup v2");
  }
  const StepTimes& steps = report.steps;
  for (const auto& step : {steps.queued, steps.placed, steps.handed_over, steps.exec_done,
                           steps.ended, steps.read, steps.reset})
    EXPECT_GT(step.value_or(Nanoseconds(0)), Nanoseconds(0));
}

/// With others waiting, the zygote looks at what it left before its limit is lifted; on v1 that is
/// the zygote's limit, too.
TEST_F(PoolOutcomes, AJobThatLeavesFilesUpToItsMemoryLimitCostsNoSlot) {
  profile().slots_max = 1;
  const JobSpec fills =
      shell("head -c 67108864 /dev/zero > /tmp/file; exit 0", {.memory_bytes = 16 * kMiB});
  std::vector<std::future<Report>> reports;
  for (int i = 0; i < 8; ++i) reports.push_back(pool().submit(fills).value());
  for (std::future<Report>& future : reports) {
    const Report report = future.get();
    EXPECT_EQ(report.outcome, Outcome::kMemoryLimit) << describe(report);
  }
  EXPECT_EQ(run_shell("true").outcome, Outcome::kAccepted);
  EXPECT_EQ(pool().stats().slots_replaced, 0U);
}

}  // namespace
}  // namespace hatchery::testing
