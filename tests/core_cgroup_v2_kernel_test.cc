// What only cgroup v2 has, each file of it as the kernel reads it back, with real processes.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <fstream>
#include <functional>

#include "core/cgroup.h"
#include "core/files.h"
#include "tests/host_features.h"

namespace hatchery {
namespace {

constexpr std::uint64_t kMiB = 1U << 20;
const std::string kPoolV2 = "core-cgroup-v2-test";

std::string text_of(const std::string& path) {
  Result<std::string> text = read_whole_file(path);
  if (!text) return "(" + text.error().message() + ")";
  while (!text->empty() && text->back() == '\n') text->pop_back();
  return *text;
}

bool write_to(const std::string& path, const std::string& text) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  return ::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

/// Touches that many bytes.
void hoard(std::size_t bytes) {
  auto* memory = static_cast<volatile char*>(::malloc(bytes));
  for (std::size_t at = 0; at < bytes; at += 4096) memory[at] = 1;
}

/// A child born in the group, as a job's worker is; 0 in the child. -1 with errno.
pid_t born_in(int group_fd) {
  clone_args args{};
  args.flags = CLONE_INTO_CGROUP;
  args.exit_signal = SIGCHLD;
  args.cgroup = static_cast<__u64>(group_fd);
  return static_cast<pid_t>(::syscall(SYS_clone3, &args, sizeof args));
}

int status_of(pid_t pid) {
  int status = -1;
  EXPECT_EQ(::waitpid(pid, &status, 0), pid);
  return status;
}

class SlotCgroupV2Test : public ::testing::Test {
 protected:
  void SetUp() override {
    HATCHERY_REQUIRE_FEATURE("cgroup_v2");
    Result<CgroupHost> found = CgroupHost::find();
    ASSERT_TRUE(found) << found.error().message();
    host = *std::move(found);
    make_slot();
  }
  void TearDown() override {
    if (slot) {
      EXPECT_TRUE(slot->remove(5000));
    }
    EXPECT_TRUE(remove_pool_cgroups(host, kPoolV2));
  }
  void make_slot() {
    Result<SlotCgroup> made = SlotCgroup::create(host, kPoolV2, 0, ::geteuid(), &files);
    ASSERT_TRUE(made) << made.error().message();
    slot.emplace(*std::move(made));
  }
  std::string file(const std::string& name) const {
    const CgroupHierarchy& v2 = *host.v2();
    return v2.mount + v2.parent + "/hatchery/" + kPoolV2 + "/slot-0/job/" + name;
  }
  /// What a child that is born in the job's group and does `work` ends with.
  int run(const std::function<void()>& work) {
    const pid_t pid = born_in(slot->job_dir_fd());
    if (pid == 0) {
      work();
      ::_exit(0);
    }
    EXPECT_GT(pid, 0) << std::strerror(errno);
    return status_of(pid);
  }

  CgroupHost host;
  CgroupFileBudget files{64};
  std::optional<SlotCgroup> slot;
};

TEST_F(SlotCgroupV2Test, WritesEveryLimitWhereTheKernelHasIt) {
  ASSERT_TRUE(slot->apply({.memory_bytes = 64 * kMiB,
                           .memory_soft_bytes = 32 * kMiB,
                           .processes = 17,
                           .cpu_rate = 0.5,
                           .cpu_weight = 50,
                           .cpu_set = "0"}));
  EXPECT_EQ(text_of(file("memory.max")), "67108864");
  EXPECT_EQ(text_of(file("memory.high")), "33554432");
  EXPECT_EQ(text_of(file("memory.swap.max")), "0");
  EXPECT_EQ(text_of(file("memory.oom.group")), "1");
  EXPECT_EQ(text_of(file("pids.max")), "17");
  EXPECT_EQ(text_of(file("cpu.max")), "50000 100000");
  EXPECT_EQ(text_of(file("cpu.weight")), "50");
  EXPECT_EQ(text_of(file("cpuset.cpus.effective")), "0");
}

TEST_F(SlotCgroupV2Test, ForgetsEveryLimitThatTheNextJobDoesNotAskFor) {
  const std::string all = text_of(file("cpuset.cpus.effective"));
  ASSERT_TRUE(slot->apply(
      {.memory_soft_bytes = 32 * kMiB, .cpu_rate = 0.5, .cpu_weight = 50, .cpu_set = "0"}));
  ASSERT_TRUE(slot->apply({}));
  EXPECT_EQ(text_of(file("memory.high")), "max");
  EXPECT_EQ(text_of(file("cpu.max")), "max 100000");
  EXPECT_EQ(text_of(file("cpu.weight")), "100");
  EXPECT_EQ(text_of(file("cpuset.cpus.effective")), all);
}

TEST_F(SlotCgroupV2Test, AJobIsBornInItsGroup) {
  const std::string wanted = "/hatchery/" + kPoolV2 + "/slot-0/job";
  EXPECT_EQ(run([&] { ::_exit(text_of("/proc/self/cgroup").ends_with(wanted) ? 0 : 1); }), 0);
  EXPECT_FALSE(text_of("/proc/self/cgroup").ends_with(wanted));
}

/// Status of a sleeper, after another of the group needed more than the limit; 0: it was spared.
int sleeper_beside_a_hoarder(SlotCgroup& slot) {
  int ends[2];
  EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  UniqueFd ours(ends[1]);
  const pid_t sleeper = born_in(slot.job_dir_fd());
  if (sleeper == 0) {
    ::close(ends[1]);
    char byte = 0;
    ::_exit(::read(ends[0], &byte, 1) == 0 ? 0 : 1);
  }
  ::close(ends[0]);
  const pid_t hoarder = born_in(slot.job_dir_fd());
  if (hoarder == 0) {
    hoard(64 * kMiB);
    ::_exit(0);
  }
  EXPECT_EQ(status_of(hoarder), SIGKILL);
  ours.reset();
  return status_of(sleeper);
}

TEST_F(SlotCgroupV2Test, OutOfMemoryKillsTheWholeGroup) {
  ASSERT_TRUE(slot->apply({.memory_bytes = 16 * kMiB}));
  slot->begin();
  EXPECT_EQ(sleeper_beside_a_hoarder(*slot), SIGKILL);
  // The first victim is counted again as one of the group (mm/oom_kill.c).
  EXPECT_GE(slot->figures().oom_kills.value_or(0), 2U);
  // The control.
  ASSERT_TRUE(write_to(file("memory.oom.group"), "0"));
  EXPECT_EQ(sleeper_beside_a_hoarder(*slot), 0);
}

TEST_F(SlotCgroupV2Test, PeaksAreThoseOfEachJobAlone) {
  ASSERT_TRUE(slot->apply({.memory_bytes = 256 * kMiB, .processes = 10}));
  for (int round = 0; round < 3; ++round) {
    slot->begin();
    EXPECT_EQ(run([] { hoard(48 * kMiB); }), 0);
    const CgroupFigures large = slot->figures();
    ASSERT_TRUE(large.memory_peak_bytes);
    EXPECT_GE(*large.memory_peak_bytes, 48 * kMiB);
    if (slot->wants_new_job_group()) {
      const Result<void> renewed = slot->renew_job_group();
      ASSERT_TRUE(renewed) << renewed.error().message();
      ASSERT_TRUE(slot->apply({.memory_bytes = 256 * kMiB, .processes = 10}));
    }
    slot->begin();
    EXPECT_EQ(run([] {}), 0);
    const CgroupFigures small = slot->figures();
    ASSERT_TRUE(small.memory_peak_bytes);
    EXPECT_LT(*small.memory_peak_bytes, 16 * kMiB);
    EXPECT_EQ(small.process_peak, 1U);
    if (slot->wants_new_job_group()) {
      ASSERT_TRUE(slot->renew_job_group());
    }
  }
}

TEST_F(SlotCgroupV2Test, WhatAnotherJobLeftIsOnTopOfALimit) {
  slot->set_idle_baseline();
  const int file = ::memfd_create("left", MFD_CLOEXEC);
  const std::string left(4 * kMiB, 'x');
  ASSERT_EQ(run([&] { ::_exit(::write(file, left.data(), left.size()) > 0 ? 0 : 1); }), 0);
  const auto limit_with = [&](std::uint64_t left_max) {
    EXPECT_TRUE(slot->apply({.memory_bytes = 64 * kMiB, .memory_left_bytes_max = left_max}));
    return std::stoull(text_of(this->file("memory.max")));
  };
  EXPECT_EQ(limit_with(0), 64 * kMiB);
  EXPECT_EQ(limit_with(kMiB), 65 * kMiB);
  // Less what may be charged ahead of use.
  EXPECT_GE(limit_with(8 * kMiB), 67 * kMiB);
  EXPECT_LE(limit_with(8 * kMiB), 69 * kMiB);
  ::close(file);
  EXPECT_LT(limit_with(8 * kMiB), 66 * kMiB);
}

TEST_F(SlotCgroupV2Test, ANewGroupHasTheLimitsAndTheOldOneIsGone) {
  ASSERT_TRUE(slot->apply({.memory_bytes = 64 * kMiB, .processes = 3, .cpu_set = "0"}));
  slot->begin();
  const Result<void> renewed = slot->renew_job_group();
  ASSERT_TRUE(renewed) << renewed.error().message();
  EXPECT_NE(::access(file("").c_str(), F_OK), 0);
  ASSERT_TRUE(slot->apply({.memory_bytes = 64 * kMiB, .processes = 3, .cpu_set = "0"}));
  std::string made = file("");
  made.insert(made.size() - 1, "-2");
  EXPECT_EQ(text_of(made + "memory.max"), "67108864");
  EXPECT_EQ(text_of(made + "memory.oom.group"), "1");
  EXPECT_EQ(text_of(made + "pids.max"), "3");
  EXPECT_EQ(text_of(made + "cpuset.cpus"), "0");
  EXPECT_EQ(run([] { ::_exit(text_of("/proc/self/cgroup").ends_with("/job-2") ? 0 : 1); }), 0);
}

TEST_F(SlotCgroupV2Test, CountsBytesThatReachADisk) {
  HATCHERY_REQUIRE_FEATURE("cgroup_io");
  std::string path = "/var/tmp/hatchery-io-XXXXXX";
  const UniqueFd fd(::mkstemp(path.data()));
  ASSERT_TRUE(fd.valid());
  slot->begin();
  EXPECT_EQ(run([&] {
              const std::string bytes(kMiB, 'x');
              if (::write(fd.get(), bytes.data(), bytes.size()) != static_cast<ssize_t>(kMiB) ||
                  ::fsync(fd.get()) < 0 ||
                  ::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED) != 0 ||
                  ::lseek(fd.get(), 0, SEEK_SET) != 0)
                ::_exit(1);
              std::string again(kMiB, 0);
              ::_exit(::read(fd.get(), again.data(), kMiB) == static_cast<ssize_t>(kMiB) ? 0 : 1);
            }),
            0);
  const CgroupFigures figures = slot->figures();
  EXPECT_GE(figures.io_write_bytes.value_or(0), kMiB);
  EXPECT_GE(figures.io_read_bytes.value_or(0), kMiB);
  ::unlink(path.c_str());
}

TEST_F(SlotCgroupV2Test, ALimitOfADiskIsOfTheSlotAndOutlivesAGroupOfAJob) {
  HATCHERY_REQUIRE_FEATURE("cgroup_io");
  const Result<std::string> disk = io_device("/var/tmp");
  ASSERT_TRUE(disk) << disk.error().message();
  ASSERT_TRUE(slot->limit_io(*disk + " rbps=1048576"));
  const CgroupHierarchy& v2 = *host.v2();
  const std::string group = v2.mount + v2.parent + "/hatchery/" + kPoolV2 + "/slot-0";
  ASSERT_TRUE(slot->renew_job_group());
  EXPECT_EQ(text_of(group + "/io.max"), *disk + " rbps=1048576 wbps=max riops=max wiops=max");
}

TEST_F(SlotCgroupV2Test, CountsProcessesAndForksThatWereRefused) {
  const auto four = [] {
    for (int i = 0; i < 4; ++i) {
      if (::fork() != 0) continue;
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      for (;;) ::pause();
    }
  };
  for (const std::uint64_t allowed : {3U, 16U}) {
    ASSERT_TRUE(slot->apply({.processes = allowed}));
    slot->begin();
    EXPECT_EQ(run(four), 0);
    const CgroupFigures figures = slot->figures();
    EXPECT_EQ(figures.process_peak, std::min<std::uint64_t>(allowed, 5));
    // One for each that failed.
    EXPECT_EQ(figures.process_limit_hits, allowed == 3 ? 2U : 0U);
    EXPECT_TRUE(slot->kill_job());
    while (!slot->processes().empty()) ::poll(nullptr, 0, 1);
  }
}

TEST_F(SlotCgroupV2Test, CountsTimeThatARateTookAndThatTasksWaited) {
  HATCHERY_REQUIRE_FEATURE("psi");
  slot->watch_pressure();
  const auto burn = [] {
    while (::clock() < CLOCKS_PER_SEC / 20) {
    }
  };
  ASSERT_TRUE(slot->apply({.cpu_rate = 0.1}));
  slot->begin();
  EXPECT_EQ(run(burn), 0);
  const CgroupFigures slow = slot->figures();
  EXPECT_GT(slow.throttled_ns.value_or(0), 0U);
  // Who may not run waits for a CPU.
  EXPECT_GT(slow.cpu_pressure_ns.value_or(0), 0U);
  EXPECT_TRUE(slow.memory_pressure_ns && slow.io_pressure_ns);
  ASSERT_TRUE(slot->apply({}));
  slot->begin();
  EXPECT_EQ(run(burn), 0);
  EXPECT_EQ(slot->figures().throttled_ns, 0U) << "the control";
}

TEST_F(SlotCgroupV2Test, ASlotThatIsPinnedIsSoForJobsThatAskForNoCpusOfTheirOwn) {
  HATCHERY_REQUIRE_FEATURE("two_cpus");
  ASSERT_TRUE(slot->pin(1));
  EXPECT_EQ(text_of(file("cpuset.cpus.effective")), "1");
  ASSERT_TRUE(slot->apply({.cpu_set = "0"}));
  EXPECT_EQ(text_of(file("cpuset.cpus.effective")), "0");
  ASSERT_TRUE(slot->apply({}));
  EXPECT_EQ(text_of(file("cpuset.cpus.effective")), "1");
}

TEST_F(SlotCgroupV2Test, WhatAJobLeftInTheCacheIsGivenBack) {
  slot->set_idle_baseline();
  std::string path = "/var/tmp/hatchery-cache-XXXXXX";
  const UniqueFd fd(::mkstemp(path.data()));
  ASSERT_TRUE(fd.valid());
  const std::string bytes(4 * kMiB, 'x');
  EXPECT_EQ(run([&] {
              ::_exit(::write(fd.get(), bytes.data(), bytes.size()) > 0 && ::fsync(fd.get()) == 0
                          ? 0
                          : 1);
            }),
            0);
  EXPECT_GE(slot->leftover_bytes(), 4 * kMiB);
  EXPECT_LT(slot->reclaim_leftover(), 2 * kMiB);
  ::unlink(path.c_str());
}

TEST_F(SlotCgroupV2Test, KillsEveryProcessOfTheJobAndNobodyElse) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  const auto wait_for_end = [&] {
    ::close(ends[1]);
    char byte = 0;
    ::_exit(::read(ends[0], &byte, 1) == 0 ? 0 : 1);
  };
  const pid_t outside = ::fork();
  if (outside == 0) wait_for_end();
  const pid_t inside = born_in(slot->job_dir_fd());
  if (inside == 0) wait_for_end();
  EXPECT_TRUE(slot->kill_job());
  EXPECT_EQ(status_of(inside), SIGKILL);
  write_end.reset();
  EXPECT_EQ(status_of(outside), 0);
}

// ---- where the groups are

/// A group of the test's own, with that much in its cgroup.controllers.
class ParentGroup {
 public:
  ParentGroup(const CgroupHierarchy& v2, const std::string& controllers)
      : outer_("/hatchery-test-outer"), name_(outer_ + "/inner"), mount_(v2.mount + v2.parent) {
    EXPECT_EQ(::mkdir((mount_ + outer_).c_str(), 0755), 0);
    EXPECT_EQ(::mkdir((mount_ + name_).c_str(), 0755), 0);
    EXPECT_TRUE(write_to(mount_ + outer_ + "/cgroup.subtree_control", controllers));
    parent_ = v2.parent + name_;
  }
  ~ParentGroup() {
    for (const char* below : {"/inner/hatchery-main", "/inner/hatchery", "/inner", ""})
      ::rmdir((mount_ + outer_ + below).c_str());
    EXPECT_NE(::access((mount_ + outer_).c_str(), F_OK), 0);
  }
  ParentGroup(const ParentGroup&) = delete;
  ParentGroup& operator=(const ParentGroup&) = delete;
  const std::string& parent() const { return parent_; }
  std::string path() const { return mount_ + name_; }

 private:
  const std::string outer_, name_, mount_;
  std::string parent_;
};

TEST_F(SlotCgroupV2Test, ALimitWhoseControllerIsTakenIsRefused) {
  const ParentGroup group(*host.v2(), "+memory +pids");
  ASSERT_TRUE(slot->remove(5000));
  slot.reset();
  ASSERT_TRUE(remove_pool_cgroups(host, kPoolV2));
  Result<CgroupHost> found = CgroupHost::find(group.parent());
  ASSERT_TRUE(found);
  host = *std::move(found);
  EXPECT_TRUE(host.has("memory") && host.has("pids"));
  EXPECT_FALSE(host.has("cpu") || host.has("cpuset") || host.has("io"));
  make_slot();
  EXPECT_TRUE(slot->apply({.memory_bytes = 64 * kMiB, .processes = 3}));
  const CgroupLimits refused[] = {{.cpu_rate = 0.5}, {.cpu_weight = 50}, {.cpu_set = "0"}};
  for (const CgroupLimits& limits : refused) {
    const Result<void> applied = slot->apply(limits);
    ASSERT_FALSE(applied);
    EXPECT_EQ(applied.error().errnum, ENOTSUP) << applied.error().message();
  }
  EXPECT_FALSE(slot->pin(0));
  slot->begin();
  EXPECT_FALSE(slot->figures().io_read_bytes);
  ASSERT_TRUE(slot->remove(5000));
  slot.reset();
  EXPECT_TRUE(remove_pool_cgroups(host, kPoolV2));
}

/// In a child that has joined `group`: a pool's slot there, from what find() says. 0, or the number
/// of the step that went wrong.
int use_own_group(const std::string& parent) {
  for (int round = 0; round < 2; ++round) {
    const Result<CgroupHost> found = CgroupHost::find();
    if (!found || found->v2()->parent != parent) return 1;
    Result<SlotCgroup> made = SlotCgroup::create(*found, kPoolV2, 0, ::geteuid(), nullptr);
    if (!made) return 2;
    if (!made->apply({.memory_bytes = 64 * kMiB, .processes = 3, .cpu_rate = 0.5})) return 3;
    const std::string path = found->v2()->mount + parent;
    if (text_of(path + "/hatchery/" + kPoolV2 + "/slot-0/job/memory.max") != "67108864") return 4;
    // Out of the way, so that the group could pass its controllers on; and found again from there.
    if (!text_of("/proc/self/cgroup").ends_with("/hatchery-main")) return 5;
    if (!made->remove(5000) || !remove_pool_cgroups(*found, kPoolV2)) return 6;
  }
  return 0;
}

TEST_F(SlotCgroupV2Test, ADelegatedUnitIsUsedAndVacated) {
  HATCHERY_REQUIRE_FEATURE("host_root");
  const ParentGroup group(*host.v2(), "+memory +pids +cpu");
  // As systemd marks a unit with Delegate=yes.
  ASSERT_EQ(::setxattr(group.path().c_str(), "trusted.delegate", "1", 1, 0), 0);
  const pid_t pid = ::fork();
  if (pid == 0) {
    if (!write_to(group.path() + "/cgroup.procs", "0")) ::_exit(100);
    ::_exit(use_own_group(group.parent()));
  }
  EXPECT_EQ(status_of(pid), 0);
}

TEST_F(SlotCgroupV2Test, AContainersNamespaceIsUsedAndVacated) {
  HATCHERY_REQUIRE_FEATURE("host_root");
  const ParentGroup group(*host.v2(), "+memory +pids +cpu");
  const std::string mount = host.v2()->mount;
  const pid_t pid = ::fork();
  if (pid == 0) {
    if (!write_to(group.path() + "/cgroup.procs", "0") ||
        ::unshare(CLONE_NEWCGROUP | CLONE_NEWNS) < 0 ||
        ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0 ||
        ::umount2(mount.c_str(), MNT_DETACH) < 0 ||
        ::mount("cgroup2", mount.c_str(), "cgroup2", 0, nullptr) < 0)
      ::_exit(100);
    ::_exit(use_own_group(""));
  }
  EXPECT_EQ(status_of(pid), 0);
}

TEST_F(SlotCgroupV2Test, ProcessesOfStrangersAreNotMovedAway) {
  const ParentGroup group(*host.v2(), "+memory +pids");
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  const UniqueFd group_fd(::open(group.path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  const pid_t stranger = born_in(group_fd.get());
  if (stranger == 0) {
    ::close(ends[1]);
    char byte = 0;
    ::_exit(::read(ends[0], &byte, 1) == 0 ? 0 : 1);
  }
  const Result<CgroupHost> found = CgroupHost::find(group.parent());
  ASSERT_TRUE(found);
  const Result<SlotCgroup> made = SlotCgroup::create(*found, kPoolV2, 1, ::geteuid(), nullptr);
  EXPECT_TRUE(!made && made.error().errnum == EBUSY);
  EXPECT_EQ(text_of(group.path() + "/cgroup.procs"), std::to_string(stranger));
  write_end.reset();
  EXPECT_EQ(status_of(stranger), 0);
}

}  // namespace
}  // namespace hatchery
