// The groups of a slot on this host's hierarchies, with a real process in them. Whatever the host
// has (v1, hybrid, v2), the interface is the same, and so are these tests.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "core/cgroup.h"
#include "core/files.h"
#include "tests/await.h"
#include "tests/host_features.h"

namespace hatchery {
namespace {

const std::string kPool = "core-cgroup-test";

class SlotCgroupTest : public ::testing::Test {
 protected:
  void SetUp() override {
    HATCHERY_REQUIRE_FEATURE("cgroup_memory");
    Result<CgroupHost> found = CgroupHost::find();
    ASSERT_TRUE(found) << found.error().message();
    host = *std::move(found);
    Result<SlotCgroup> made = SlotCgroup::create(host, kPool, 0, ::geteuid(), &files);
    ASSERT_TRUE(made) << made.error().message();
    slot.emplace(*std::move(made));
  }
  void TearDown() override {
    if (slot) {
      EXPECT_TRUE(slot->remove(5000));
    }
    EXPECT_TRUE(remove_pool_cgroups(host, kPool));
    for (const std::string& name : pool_cgroups(host)) EXPECT_NE(name, kPool);
  }
  std::string group_of(const std::string& controller) const {
    const CgroupHierarchy* hierarchy = host.with(controller);
    return hierarchy->mount + hierarchy->parent + "/hatchery/" + kPool + "/slot-0" +
           (hierarchy->v2 ? "/job" : "");
  }
  /// A child that has joined all groups and then waits for its standard input to end.
  pid_t start_member(int& go_fd) {
    int fds[2];
    EXPECT_EQ(::pipe(fds), 0);
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::close(fds[1]);
      char byte = 0;
      while (::read(fds[0], &byte, 1) > 0) {
      }
      ::_exit(0);
    }
    ::close(fds[0]);
    go_fd = fds[1];
    for (const UniqueFd& tasks : slot->v1_tasks()) EXPECT_GT(::dprintf(tasks.get(), "%d", pid), 0);
    if (const CgroupHierarchy* v2 = host.v2()) {
      std::ofstream(v2->mount + v2->parent + "/hatchery/" + kPool + "/slot-0/job/cgroup.procs")
          << pid;
    }
    return pid;
  }

  CgroupHost host;
  CgroupFileBudget files{64};
  std::optional<SlotCgroup> slot;
};

TEST_F(SlotCgroupTest, WritesLimitsThatTheKernelReadsBack) {
  CgroupLimits limits;
  limits.memory_bytes = 64U << 20;
  limits.processes = 17;
  ASSERT_TRUE(slot->apply(limits));
  const bool v2 = host.with("memory")->v2;
  const Result<std::string> memory =
      read_whole_file(group_of("memory") + (v2 ? "/memory.max" : "/memory.limit_in_bytes"));
  ASSERT_TRUE(memory);
  EXPECT_EQ(leading_number(*memory), 64U << 20);
  const Result<std::string> pids = read_whole_file(group_of("pids") + "/pids.max");
  ASSERT_TRUE(pids);
  EXPECT_EQ(leading_number(*pids), host.with("pids")->v2 ? 17U : 18U)
      << "on v1 the zygote is one more";
}

TEST_F(SlotCgroupTest, RaisesAndLowersTheMemoryLimitInAnyOrder) {
  for (const std::uint64_t mib : {64U, 256U, 32U, 128U, 16U}) {
    CgroupLimits limits;
    limits.memory_bytes = mib << 20;
    const Result<void> applied = slot->apply(limits);
    ASSERT_TRUE(applied) << applied.error().message();
  }
  slot->lift_memory_limit();
  CgroupLimits limits;
  limits.memory_bytes = 48U << 20;
  EXPECT_TRUE(slot->apply(limits));
}

TEST_F(SlotCgroupTest, ForgetsALimitThatIsNoLongerAskedFor) {
  HATCHERY_REQUIRE_FEATURE("cgroup_cpu");
  CgroupLimits limits;
  limits.cpu_rate = 0.5;
  limits.cpu_weight = 50;
  ASSERT_TRUE(slot->apply(limits));
  ASSERT_TRUE(slot->apply({}));
  const bool v2 = host.with("cpu")->v2;
  const Result<std::string> quota =
      read_whole_file(group_of("cpu") + (v2 ? "/cpu.max" : "/cpu.cfs_quota_us"));
  ASSERT_TRUE(quota);
  EXPECT_EQ(quota->substr(0, 2), v2 ? "ma" : "-1");
}

/// How many descriptors this process has.
std::size_t descriptors() {
  return static_cast<std::size_t>(
      std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}));
}

TEST_F(SlotCgroupTest, GivesTheSameFiguresWhereNoFileIsKeptOpen) {
  slot.reset();
  const std::size_t before = descriptors();
  Result<SlotCgroup> made = SlotCgroup::create(host, kPool, 0, ::geteuid(), nullptr);
  ASSERT_TRUE(made) << made.error().message();
  slot.emplace(*std::move(made));
  CgroupLimits limits;
  limits.memory_bytes = 64U << 20;
  ASSERT_TRUE(slot->apply(limits));
  slot->begin();
  int go_fd = -1;
  const pid_t pid = start_member(go_fd);
  ::close(go_fd);
  ASSERT_EQ(::waitpid(pid, nullptr, 0), pid);
  slot->close_launch_files();
  const CgroupFigures figures = slot->figures();
  EXPECT_LE(descriptors(), before + 1);  // memory.peak of v2.
  EXPECT_GT(figures.cpu_ns.value_or(0), 0U);
  EXPECT_GT(figures.memory_peak_bytes.value_or(0), 0U);
  EXPECT_EQ(figures.oom_kills, 0U);
  EXPECT_EQ(figures.process_limit_hits, 0U);
}

TEST_F(SlotCgroupTest, KeepsFilesOpenFromTheirFirstUseAsFarAsTheBudgetGoes) {
  slot->close_launch_files();
  const std::size_t unused = descriptors();
  slot->set_idle_baseline();
  EXPECT_EQ(descriptors(), unused);
  slot->begin();
  slot->figures();
  EXPECT_GT(descriptors(), unused + 4);
  EXPECT_LE(descriptors(), unused + kCgroupFilesOfSlot);
  slot.reset();
  CgroupFileBudget three(3);
  Result<SlotCgroup> made = SlotCgroup::create(host, kPool, 0, ::geteuid(), &three);
  ASSERT_TRUE(made) << made.error().message();
  slot.emplace(*std::move(made));
  slot->close_launch_files();
  const std::size_t before = descriptors();
  slot->begin();
  slot->figures();
  EXPECT_EQ(descriptors(), before + 3);
  EXPECT_EQ(three.take(), nullptr);
  slot.reset();
  CgroupFileBudget::Share shares[] = {three.take(), three.take(), three.take(), three.take()};
  EXPECT_NE(shares[2], nullptr);
  EXPECT_EQ(shares[3], nullptr);
}

TEST_F(SlotCgroupTest, CountsCpuTimeOfItsMembersSinceBegin) {
  slot->begin();
  int go_fd = -1;
  const pid_t pid = start_member(go_fd);
  ::close(go_fd);
  ASSERT_EQ(::waitpid(pid, nullptr, 0), pid);
  const CgroupFigures figures = slot->figures();
  ASSERT_TRUE(figures.cpu_ns);
  EXPECT_GT(*figures.cpu_ns, 0U);
  EXPECT_EQ(figures.oom_kills, 0U);
  slot->begin();
  EXPECT_EQ(slot->figures().cpu_ns, 0U) << "nothing ran since";
}

TEST_F(SlotCgroupTest, BytesOfIoAreAbsentWhereTheKernelCountsNone) {
  bool counted = false;
  for (const CgroupHierarchy& hierarchy : host.hierarchies) counted |= counts_io(hierarchy);
  slot->begin();
  const CgroupFigures figures = slot->figures();
  EXPECT_EQ(figures.io_read_bytes.has_value(), counted);
  EXPECT_EQ(figures.io_write_bytes.has_value(), counted);
}

TEST(CgroupHierarchy, CountsIoOnlyWhereItsRootNamesADevice) {
  std::string directory = ::testing::TempDir() + "hatchery-blkio-XXXXXX";
  ASSERT_NE(::mkdtemp(directory.data()), nullptr);
  const std::string file = directory + "/blkio.throttle.io_service_bytes_recursive";
  CgroupHierarchy hierarchy{.mount = directory, .parent = "", .controllers = {"blkio"}};
  EXPECT_FALSE(counts_io(hierarchy));
  std::ofstream(file) << "Total 0\n";
  EXPECT_FALSE(counts_io(hierarchy));
  std::ofstream(file) << "254:0 Read 0\n254:0 Write 4096\n254:0 Total 4096\nTotal 4096\n";
  EXPECT_TRUE(counts_io(hierarchy));
  hierarchy.controllers = {"cpu"};
  EXPECT_FALSE(counts_io(hierarchy));
  EXPECT_TRUE(counts_io({.mount = directory, .parent = "", .v2 = true, .controllers = {"io"}}));
  EXPECT_EQ(::unlink(file.c_str()) + ::rmdir(directory.c_str()), 0);
}

TEST_F(SlotCgroupTest, RemovesItselfTogetherWithLiveMembers) {
  int go_fd = -1;
  const pid_t pid = start_member(go_fd);
  // Reaped at once, so that the group can become empty.
  struct sigaction reap {};
  struct sigaction before {};
  reap.sa_handler = SIG_IGN;
  ::sigaction(SIGCHLD, &reap, &before);
  const Result<void> removed = slot->remove(5000);
  // A process that dies leaves its group a moment before it is gone.
  if (removed) testing::await([&] { return ::kill(pid, 0) == -1; });
  ::sigaction(SIGCHLD, &before, nullptr);
  EXPECT_TRUE(removed) << removed.error().message();
  ::close(go_fd);
}

TEST(CgroupHost, HasANameForWhatItFound) {
  const Result<CgroupHost> host = CgroupHost::find();
  ASSERT_TRUE(host);
  EXPECT_EQ(host->name().compare(0, 8, "cgroup v"), 0);
  bool v1 = false;
  for (const CgroupHierarchy& hierarchy : host->hierarchies) v1 |= !hierarchy.v2;
  const bool v2 = host->v2() != nullptr;
  EXPECT_EQ(host->name(), v1 && v2 ? "cgroup v1+v2" : v1 ? "cgroup v1" : "cgroup v2");
}

}  // namespace
}  // namespace hatchery
