// Each step of a slot's and a worker's set-up fails once, by injection: the pool answers with that
// step and errno, and is well again. kWorkerLabel, which is only reached where SELinux
// is on, is in selinux_changes_kernel_test.cc.
#include <gmock/gmock.h>

#include <algorithm>
#include <filesystem>

#include "tests/pool_fixture.h"
#include "tests/selinux_fixture.h"

namespace hatchery {

/// For GoogleTest's messages.
static void PrintTo(Step step, std::ostream* out) { *out << step_name(step); }

}  // namespace hatchery

namespace hatchery::testing {
namespace {

namespace fs = std::filesystem;

/// No step of ours fails with it by itself.
constexpr int kInjected = EXFULL;

std::string test_name(const ::testing::TestParamInfo<Step>& info) {
  std::string name = step_name(info.param);
  std::replace_if(
      name.begin(), name.end(), [](unsigned char letter) { return std::isalnum(letter) == 0; },
      '_');
  return name;
}

class PoolFaults : public PoolTest, public ::testing::WithParamInterface<Step> {
 protected:
  void inject(std::vector<SetupFault> faults) { config.testing_faults = std::move(faults); }
  SetupFault fault() const {
    return {.step = static_cast<std::uint32_t>(GetParam()), .errnum = kInjected};
  }
  static JobSpec job() { return shell("echo well"); }
  void expect_fault(const Error& error) const {
    EXPECT_EQ(error.step, GetParam()) << error.message();
    EXPECT_EQ(error.errnum, kInjected) << error.message();
    EXPECT_THAT(error.message(), ::testing::HasSubstr("EXFULL"));
  }
};

class SetupFaults : public PoolFaults {
 protected:
  void SetUp() override {
    PoolFaults::SetUp();
    // On v2 alone a zygote is born in its group, which no step joins.
    if (GetParam() == Step::kSlotJoinCgroup) HATCHERY_REQUIRE_FEATURE("cgroup_v1");
  }
};

TEST_P(SetupFaults, APoolWhoseOnlySlotFailsSaysWhereAndLeavesNothing) {
  profile().slots_max = 1;
  inject({fault()});
  const auto refused = Pool::create(config);
  ASSERT_FALSE(refused);
  expect_fault(refused.error());
}

TEST_P(SetupFaults, ASlotThatFailsIsReplacedBesideAGoodOne) {
  profile().slots_min = 2;
  inject({{}, fault()});
  // A group of two needs both slots at once.
  auto reports = pool().submit_group({job(), job()});
  ASSERT_TRUE(reports) << reports.error().message();
  for (const Report& report : reports->get())
    EXPECT_EQ(report.outcome, Outcome::kAccepted) << describe(report);
  EXPECT_EQ(pool().stats().slots_replaced, 1U);
}

INSTANTIATE_TEST_SUITE_P(
    Step, SetupFaults,
    ::testing::Values(Step::kSlotJoinCgroup, Step::kSlotClone, Step::kSlotMapUids,
                      Step::kSlotBecomeRoot, Step::kSlotDeathSignal, Step::kSlotPrivatiseMounts,
                      Step::kSlotMountRoot, Step::kSlotMakeMountPoint, Step::kSlotBind,
                      Step::kSlotBindReadOnly, Step::kSlotMountProc, Step::kSlotMaskPath,
                      Step::kSlotMakeDevice, Step::kSlotMakeSymlink, Step::kSlotWriteFile,
                      Step::kSlotPivotRoot, Step::kSlotRootReadOnly, Step::kSlotSetHostname,
                      Step::kSlotLoopbackUp, Step::kSlotForbidUserNamespaces,
                      Step::kSlotSnapshotNetwork, Step::kSlotSharePage, Step::kSlotFilter,
                      Step::kSlotOwnInodes, Step::kResetTmpfs, Step::kResetPids, Step::kResetIpc,
                      Step::kSlotOpenDirectory, Step::kWorkerClone, Step::kWorkerOomScore,
                      Step::kWorkerCgroupNamespace, Step::kWorkerSession, Step::kWorkerDescriptors,
                      Step::kWorkerSignals, Step::kWorkerDropBounding, Step::kWorkerIds,
                      Step::kWorkerClearCapabilities, Step::kWorkerNoNewPrivileges,
                      Step::kWorkerDumpable, Step::kWorkerFilter, Step::kWorkerSendReady),
    test_name);

class JobFaults : public PoolFaults {};

TEST_P(JobFaults, AJobWhoseWorkerFailsIsAnInternalErrorAndTheNextIsFine) {
  profile().slots_max = 1;
  inject({fault()});
  const Report failed = run(job());
  EXPECT_EQ(failed.outcome, Outcome::kInternalError) << describe(failed);
  EXPECT_EQ(failed.exit_code, std::nullopt);
  ASSERT_TRUE(failed.error);
  expect_fault(*failed.error);
  const Report next = run(job());
  EXPECT_EQ(next.outcome, Outcome::kAccepted) << describe(next);
  EXPECT_EQ(pool().stats().slots_replaced, 1U);
}

INSTANTIATE_TEST_SUITE_P(Step, JobFaults,
                         ::testing::Values(Step::kWorkerReceivePlan, Step::kWorkerPlanBounds,
                                           Step::kWorkerUmask, Step::kWorkerCloseDescriptors,
                                           Step::kWorkerRlimit, Step::kWorkerAffinity),
                         test_name);

class CommandFaults : public PoolFaults {};

TEST_P(CommandFaults, AJobWhoseCommandOrDirectoryFailsIsAFileError) {
  inject({fault()});
  const Report failed = run(job());
  EXPECT_EQ(failed.outcome, Outcome::kFileError) << describe(failed);
  ASSERT_TRUE(failed.error);
  expect_fault(*failed.error);
  EXPECT_EQ(pool().stats().slots_replaced, 0U);
}

INSTANTIATE_TEST_SUITE_P(Step, CommandFaults,
                         ::testing::Values(Step::kWorkerChangeDirectory, Step::kWorkerExec),
                         test_name);

class ResetFaults : public PoolFaults {};

TEST_P(ResetFaults, ASlotWhoseResetFailsIsReplacedAndItsJobIsReportedAsItWas) {
  profile().slots_max = 1;
  inject({fault()});
  const Report used_network = run_shell(
      "python3 -c \"import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', "
      "('127.0.0.1', 9))\"");
  EXPECT_EQ(used_network.outcome, Outcome::kAccepted) << describe(used_network);
  const Report next = run(job());
  EXPECT_EQ(next.outcome, Outcome::kAccepted) << describe(next);
  EXPECT_NE(next.slot, used_network.slot);
  EXPECT_EQ(pool().stats().slots_replaced, 1U);
}

INSTANTIATE_TEST_SUITE_P(Step, ResetFaults, ::testing::Values(Step::kResetNetwork), test_name);

class OwnRootFaults : public PoolFaults {
 protected:
  void SetUp() override {
    root_ = make_temporary_directory();
    fs::permissions(root_, fs::perms(0755));
    for (const char* name : {"proc", "dev", "tmp", "w", "usr"}) fs::create_directory(root_ / name);
    for (const char* name : {"bin", "lib", "lib64"})
      fs::create_symlink(fs::path("usr") / name, root_ / name);
    show_to_jobs(root_);
    PoolFaults::SetUp();
    profile().root_directory = root_;
    profile().binds = {{.source = "/usr", .target = "/usr"}};
    profile().slots_max = 1;
  }
  void TearDown() override {
    PoolFaults::TearDown();
    fs::remove_all(root_);
  }
  fs::path root_;
};

TEST_P(OwnRootFaults, AnOperatorsRootFailsWithItsOwnStepsToo) {
  const Report good = run_shell("ls /; touch /new || touch /dev/new || touch /w/new && echo in /w");
  EXPECT_EQ(output_of(good), "bin\ndev\nlib\nlib64\nproc\ntmp\nusr\nw\nin /w\n") << describe(good);
  stop_pool();
  inject({fault()});
  const auto refused = Pool::create(config);
  ASSERT_FALSE(refused);
  expect_fault(refused.error());
}

TEST_P(OwnRootFaults, AnOperatorsRootWithoutAMountPointIsRefusedWithTheRemedy) {
  fs::remove(root_ / "w");
  const auto refused = Pool::create(config);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().step, Step::kValidateConfig) << "before any slot is started";
  EXPECT_THAT(refused.error().message(), ::testing::HasSubstr(root_ / "w"));
  EXPECT_THAT(refused.error().message(), ::testing::HasSubstr("make it"));
}

TEST_P(OwnRootFaults, AnOperatorsRootMayHaveLinksToItsMountPoints) {
  fs::remove(root_ / "tmp");
  fs::create_directories(root_ / "var/tmp");
  fs::create_symlink("var/tmp", root_ / "tmp");
  show_to_jobs(root_);
  JobSpec spec = shell("cat in; cp in out");
  spec.files_in = {{.path = "/tmp/in", .source = FileIn::Bytes{"text"}}};
  spec.files_out = {{.path = "/tmp/out"}};
  spec.working_directory = "/tmp";
  const Report report = run(std::move(spec));
  EXPECT_EQ(output_of(report), "text") << describe(report);
  EXPECT_EQ(output_of(report, "/tmp/out"), "text");
}

INSTANTIATE_TEST_SUITE_P(Step, OwnRootFaults, ::testing::Values(Step::kSlotMountTmpfs), test_name);

TEST_F(PoolTest, ASlotThatNeverStartsFailsItsJobsAfterSomeTries) {
  profile().slots_min = 1;
  profile().slots_max = 2;
  // The first slot is fine; every other fails.
  config.testing_faults.assign(
      100, {.step = static_cast<std::uint32_t>(Step::kSlotMountProc), .errnum = kInjected});
  config.testing_faults[0] = {};
  EXPECT_EQ(run_shell("echo").outcome, Outcome::kAccepted);
  auto group = pool().submit_group({shell(":"), shell(":")});
  ASSERT_TRUE(group);
  EXPECT_EQ(run_shell("echo").outcome, Outcome::kAccepted) << "nobody waits for ever behind it";
}

}  // namespace
}  // namespace hatchery::testing
