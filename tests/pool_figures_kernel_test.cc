// Figures are right: whatever memory a job takes is charged to it, in its peak, and gone at the
// next; the sum over jobs is what the kernel counted for all of them.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "core/cgroup.h"
#include "core/files.h"
#include "pool/limits.h"
#include "tests/await.h"
#include "tests/pool_fixture.h"
#include "tests/selinux_fixture.h"
#include "tests/slowness.h"

namespace hatchery::testing {
namespace {

using ::testing::HasSubstr;

/// The kernel charges up to 64 pages ahead on each CPU (MEMCG_CHARGE_BATCH).
constexpr std::uint64_t kNoise = kMiB;
constexpr std::uint32_t kFiles = 256;

/// This thread, and what it starts, has one CPU for a while.
class OnFirstCpu {
 public:
  OnFirstCpu() {
    EXPECT_EQ(::sched_getaffinity(0, sizeof all_, &all_), 0);
    cpu_set_t first;
    CPU_ZERO(&first);
    CPU_SET(usable_cpu_numbers().front(), &first);
    EXPECT_EQ(::sched_setaffinity(0, sizeof first, &first), 0);
  }
  ~OnFirstCpu() { EXPECT_EQ(::sched_setaffinity(0, sizeof all_, &all_), 0); }
  OnFirstCpu(const OnFirstCpu&) = delete;
  OnFirstCpu& operator=(const OnFirstCpu&) = delete;

 private:
  cpu_set_t all_{};
};

class PoolFigures : public PoolTest {
 protected:
  void SetUp() override {
    PoolTest::SetUp();
    profile().binds.push_back({.source = HATCHERY_PAYLOADS, .target = "/payloads"});
    // One slot: each job follows the one before it in the same groups.
    profile().slots_max = 1;
  }
  Report payload(std::vector<std::string> args, Limits limits = {}) {
    args[0] = "/payloads/" + args[0];
    JobSpec spec{.args = std::move(args), .limits = std::move(limits)};
    spec.fds[1] = CollectorStream{.name = "stdout"};
    spec.fds[2] = CollectorStream{.name = "stderr"};
    return run(std::move(spec));
  }
  std::uint64_t empty_job_peak() {
    return payload({"nothing"}).memory_peak_bytes.value_or(UINT64_MAX);
  }
  bool on_v2() const {
    const Result<CgroupHost> host = CgroupHost::find(config.cgroup_parent);
    return host && host->with("memory")->v2;
  }
  /// The group of the only slot's jobs, in the hierarchy of that controller.
  std::string job_group(const std::string& controller) const {
    const Result<CgroupHost> host = CgroupHost::find(config.cgroup_parent);
    const CgroupHierarchy* hierarchy = host ? host->with(controller) : nullptr;
    if (hierarchy == nullptr) return {};
    return hierarchy->mount + hierarchy->parent + "/hatchery/" + config.name + "/slot-0" +
           (hierarchy->v2 ? "/job" : "");
  }
};

TEST_F(PoolFigures, ASpikeOfNoDurationIsInThePeak) {
  const std::uint64_t empty = empty_job_peak();
  EXPECT_LT(empty, 2 * kMiB) << "the control";
  for (const std::uint64_t mib : {8U, 64U}) {
    const Report report = payload({"memory_use", "spike", std::to_string(mib)});
    ASSERT_EQ(report.outcome, Outcome::kAccepted) << describe(report);
    EXPECT_GE(*report.memory_peak_bytes, mib * kMiB) << describe(report);
    EXPECT_LE(*report.memory_peak_bytes, mib * kMiB + 2 * kMiB) << "page tables included";
  }
}

struct MemoryKind {
  const char* name;
  std::uint64_t mib;
  bool inet = false;
};

class PoolFiguresOf : public PoolFigures, public ::testing::WithParamInterface<MemoryKind> {};

TEST_P(PoolFiguresOf, MemoryIsChargedToItsJobAndGoneAtTheNext) {
  const MemoryKind kind = GetParam();
  const std::uint64_t before = empty_job_peak();
  const Report holds = payload({"memory_use", kind.name, std::to_string(kind.mib)});
  ASSERT_EQ(holds.outcome, Outcome::kAccepted) << describe(holds) << output_of(holds, "stderr");
  const std::uint64_t took = std::stoull(output_of(holds));
  EXPECT_GE(took, kind.mib * kMiB / 2) << "the payload could not take what it should";
  EXPECT_GE(*holds.memory_peak_bytes, took) << describe(holds);
  const std::uint64_t after = empty_job_peak();
  EXPECT_LT(before, took / 2) << "the control";
  EXPECT_LE(after, before + kNoise);
  const std::string file = job_group("memory") + "/memory.usage_in_bytes";
  if (const Result<std::string> usage = read_whole_file(file)) {
    EXPECT_LT(leading_number(*usage), took / 2 + 2 * kMiB) << "it stays charged to the slot";
  }
}

TEST_P(PoolFiguresOf, MemoryIsBoundByTheLimitOfItsJob) {
  const MemoryKind kind = GetParam();
  const std::uint64_t limit = kind.mib * kMiB / 2;
  const Report held =
      payload({"memory_use", kind.name, std::to_string(kind.mib)},
              {.wall_time = std::chrono::seconds(20), .memory_bytes = limit, .open_files = kFiles});
  ASSERT_TRUE(held.memory_peak_bytes) << describe(held);
  // What has no more room is refused, or ends the job. v1 counts TCP and UDP apart, and beyond the
  // limit gives each socket its minimum.
  std::uint64_t more = kNoise;
  if (kind.inet && !on_v2())
    more += std::min(limit, kSocketMemoryV1BytesMax) + std::uint64_t{kFiles} * 16 * kKiB;
  EXPECT_LE(*held.memory_peak_bytes, limit + more) << describe(held);
}

INSTANTIATE_TEST_SUITE_P(Kind, PoolFiguresOf,
                         ::testing::Values(MemoryKind{"tmpfs", 32}, MemoryKind{"memfd", 32},
                                           MemoryKind{"pipe", 8}, MemoryKind{"unix", 16},
                                           MemoryKind{"tcp", 8, true}, MemoryKind{"udp", 8, true}),
                         [](const auto& param) { return std::string(param.param.name); });

TEST_F(PoolFigures, AnEmptyJobTakesNoMoreMemoryThanInABareGroup) {
  const Result<CgroupHost> host = CgroupHost::find(config.cgroup_parent);
  ASSERT_TRUE(host);
  const CgroupHierarchy* memory = host->with("memory");
  const std::string bare = memory->mount + memory->parent + "/hatchery/" + config.name + "/bare";
  const std::string program = std::string(HATCHERY_PAYLOADS) + "/nothing";
  std::vector<std::uint64_t> inside;
  std::vector<std::uint64_t> alone;
  // On one CPU: what the kernel charges ahead of use it charges on each that a job comes to.
  const OnFirstCpu one_cpu;
  for (int i = 0; i < 25; ++i) {
    inside.push_back(empty_job_peak());
    ASSERT_TRUE(std::filesystem::create_directory(bare));
    const UniqueFd procs(::open((bare + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC));
    const pid_t pid = ::fork();
    if (pid == 0) {
      if (::write(procs.get(), "0", 1) == 1)
        ::execl(program.c_str(), program.c_str(), static_cast<char*>(nullptr));
      ::_exit(1);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(pid, &status, 0), pid);
    ASSERT_EQ(status, 0);
    const Result<std::string> peak =
        read_whole_file(bare + (memory->v2 ? "/memory.peak" : "/memory.max_usage_in_bytes"));
    ASSERT_TRUE(peak);
    alone.push_back(leading_number(*peak).value_or(0));
    ASSERT_TRUE(std::filesystem::remove(bare));
  }
  // The least of each: a neighbour on that CPU drives out what was charged ahead, so that it is
  // charged again.
  const std::uint64_t least_inside = *std::min_element(inside.begin(), inside.end());
  const std::uint64_t least_alone = *std::min_element(alone.begin(), alone.end());
  RecordProperty("inside_kib", std::to_string(least_inside / kKiB));
  RecordProperty("bare_kib", std::to_string(least_alone / kKiB));
  // On v2 the peak includes what the kernel charged ahead; v1 has a figure to take it off by.
  const std::uint64_t ahead = memory->v2 ? kNoise / 2 : 0;
  EXPECT_LE(least_inside, least_alone + 300 * kKiB + ahead);
}

/// A directory of the host with a file whose pages are in no cache.
class PoolFiguresOfCache : public PoolFigures {
 protected:
  static constexpr std::uint64_t kFileMib = 24;
  void SetUp() override {
    PoolFigures::SetUp();
    directory_ = make_temporary_directory();
    const std::string file = directory_ + "/cold";
    const UniqueFd fd(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
    const std::string block(kMiB, 'x');
    for (std::uint64_t i = 0; i < kFileMib; ++i)
      ASSERT_EQ(::write(fd.get(), block.data(), block.size()), static_cast<ssize_t>(kMiB));
    ASSERT_EQ(::fsync(fd.get()), 0);
    ASSERT_EQ(::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED), 0);
    ASSERT_EQ(::chmod(directory_.c_str(), 0755), 0);
    show_to_jobs(directory_);
    profile().binds.push_back({.source = directory_, .target = "/cold"});
  }
  void TearDown() override {
    PoolFigures::TearDown();
    std::filesystem::remove_all(directory_);
  }
  /// What the slot's group holds of file pages when the next job runs in it.
  std::uint64_t cached_at_the_next_job() {
    EXPECT_LT(empty_job_peak(), 2 * kMiB);
    // There is none for a moment where each job gets a new one (v2 before Linux 6.12).
    Result<std::string> stat = std::string();
    await([&] {
      stat = read_whole_file(job_group("memory") + "/memory.stat");
      return stat.has_value();
    });
    return keyed_number(stat ? *stat : "", on_v2() ? "file" : "cache").value_or(UINT64_MAX);
  }
  Report read_it() {
    return payload({"memory_use", "cache", std::to_string(kFileMib), "/cold/cold"});
  }

 private:
  std::string directory_;
};

TEST_F(PoolFiguresOfCache, PageCacheIsChargedToItsJobAndGoneAtTheNext) {
  const Report reads = read_it();
  ASSERT_EQ(reads.outcome, Outcome::kAccepted) << describe(reads);
  ASSERT_EQ(std::stoull(output_of(reads)), kFileMib * kMiB);
  EXPECT_GE(*reads.memory_peak_bytes, kFileMib * kMiB);
  EXPECT_LT(cached_at_the_next_job(), 2 * kMiB);
  EXPECT_EQ(pool().stats().slots_replaced, 0U) << "the slot itself is made clean";
}

TEST_F(PoolFiguresOfCache, PageCacheStaysWhereTheProfileKeepsIt) {
  // Where a group with its cache stays though its peak can't be reset, a second peak is null.
  HATCHERY_REQUIRE_FEATURE("job_group_kept");
  profile().cache_kept_bytes = 64 * kMiB;
  EXPECT_GE(*read_it().memory_peak_bytes, kFileMib * kMiB);
  EXPECT_GE(cached_at_the_next_job(), kFileMib * kMiB);
  // Absent where the kernel can't reset a peak (v2 before Linux 6.12).
  EXPECT_LT(read_it().memory_peak_bytes.value_or(0), 2 * kMiB)
      << "another job's pages are in no figure";
}

TEST_F(PoolFigures, TheSumOverJobsIsWhatTheKernelCountedForAll) {
  const Result<CgroupHost> host = CgroupHost::find(config.cgroup_parent);
  ASSERT_TRUE(host);
  const CgroupHierarchy* v1 = host->with("cpuacct");
  const CgroupHierarchy& hierarchy = v1 != nullptr ? *v1 : *host->v2();
  const std::string group = hierarchy.mount + hierarchy.parent + "/hatchery/" + config.name;
  const auto counted_ns = [&] {
    const Result<std::string> text =
        read_whole_file(group + (v1 != nullptr ? "/cpuacct.usage" : "/cpu.stat"));
    if (!text) return 0.0;
    return v1 != nullptr ? static_cast<double>(leading_number(*text).value_or(0))
                         : 1e3 * static_cast<double>(keyed_number(*text, "usage_usec").value_or(0));
  };
  profile().slots_max = profile().slots_min = 2;
  // Both slots are up before the count begins.
  std::vector<JobSpec> pair = {{.args = {"/payloads/nothing"}}, {.args = {"/payloads/nothing"}}};
  ASSERT_EQ(pool().submit_group(std::move(pair))->get().size(), 2U);
  struct Times {
    double sum_ns = 0;
    double all_ns = 0;
  };
  const auto run_jobs = [&](int count, const std::vector<std::string>& args) {
    Times times{.all_ns = -counted_ns()};
    std::vector<std::future<Report>> reports;
    for (int i = 0; i < count; ++i) reports.push_back(*pool().submit({.args = args}));
    for (std::future<Report>& report : reports) {
      const Report one = report.get();
      EXPECT_EQ(one.outcome, Outcome::kAccepted) << describe(one);
      times.sum_ns += static_cast<double>(one.cpu_time->count());
    }
    times.all_ns += counted_ns();
    return times;
  };
  // What is not the jobs' is the zygotes': a worker made ready before each job, and those of the
  // jobs before. For jobs that do nothing it takes some 2 % of this time where all is emulated,
  // for jobs that have filled the CPU's caches up to twice that.
  const Times idle = run_jobs(32, {"/payloads/nothing"});
  const Times busy = run_jobs(8, {"/payloads/use_cpu", "500"});
  RecordProperty("sum_over_all", std::to_string(busy.sum_ns / busy.all_ns));
  EXPECT_LE(busy.sum_ns, busy.all_ns);
  EXPECT_GE(busy.sum_ns, busy.all_ns * 0.995 - 3 * (idle.all_ns - idle.sum_ns) / 4);
}

TEST_F(PoolFigures, SlotsArePinnedToDifferentCpus) {
  HATCHERY_REQUIRE_FEATURE("cgroup_cpuset");
  HATCHERY_REQUIRE_FEATURE("two_cpus");
  const std::string first = std::to_string(usable_cpu_numbers()[0]);
  const std::string second = std::to_string(usable_cpu_numbers()[1]);
  const std::string cpus = "grep Cpus_allowed_list /proc/self/status | cut -f2";
  profile().slots_max = profile().slots_min = 2;
  EXPECT_THAT(output_of(run_shell(cpus)), HasSubstr("-")) << "the control";
  stop_pool();
  profile().pin_slots = true;
  profile().maximums.cpu_set = first + "," + second;
  std::set<std::string> seen;
  std::vector<JobSpec> pair = {shell(cpus), shell(cpus)};
  for (const Report& report : pool().submit_group(std::move(pair))->get())
    seen.insert(output_of(report));
  EXPECT_EQ(seen, (std::set<std::string>{first + "\n", second + "\n"}));
  for (const std::string& own : {first, second})
    EXPECT_EQ(output_of(run_shell(cpus, {.cpu_set = own})), own + "\n")
        << "a job's own set comes first";
  seen.clear();
  pair = {shell(cpus), shell(cpus)};
  for (const Report& report : pool().submit_group(std::move(pair))->get())
    seen.insert(output_of(report));
  EXPECT_EQ(seen.size(), 2U) << "and is that job's alone";
}

TEST_F(PoolFigures, TheTimeThatAJobWaitedForACpuIsInItsPressureWhereItIsAskedFor) {
  HATCHERY_REQUIRE_FEATURE("psi");
  HATCHERY_REQUIRE_FEATURE("cgroup_cpuset");
  const Limits one_cpu{.cpu_set = std::to_string(usable_cpu_numbers()[0])};
  // Twice as long on one CPU: each of the two waits while the other runs.
  const std::string loop =
      "i=0; while [ $i -lt " + std::to_string(100'000 / slowness()) + " ]; do i=$((i+1)); done";
  const std::string both = "(" + loop + ") & " + loop + "; wait";
  const Report control = run_shell(both, one_cpu);
  EXPECT_FALSE(control.cpu_pressure.has_value());
  EXPECT_FALSE(control.memory_pressure.has_value());
  EXPECT_FALSE(control.io_pressure.has_value());
  stop_pool();
  profile().pressure = true;
  pool();
  const auto begun = std::chrono::steady_clock::now();
  const Report waited = run_shell(both, one_cpu);
  const Nanoseconds whole = std::chrono::steady_clock::now() - begun;
  ASSERT_TRUE(waited.cpu_pressure.has_value());
  // The kernel counts at each switch; half of what is expected is far from chance.
  EXPECT_GT(*waited.cpu_pressure, *waited.cpu_time / 4);
  EXPECT_LE(*waited.cpu_pressure, whole) << "handing over included, so more than the wall time";
  EXPECT_TRUE(waited.memory_pressure.has_value());
  EXPECT_TRUE(waited.io_pressure.has_value());
  // It is each job's own: the next has nothing of it.
  const Report next = run_shell("true", one_cpu);
  EXPECT_LT(next.cpu_pressure.value(), *waited.cpu_pressure);
}

TEST_F(PoolFigures, AJobReadsADiskNoFasterThanItsProfileAllows) {
  HATCHERY_REQUIRE_FEATURE("cgroup_v2");
  HATCHERY_REQUIRE_FEATURE("cgroup_io");
  const std::string file = std::filesystem::read_symlink("/proc/self/exe");
  profile().binds.push_back({.source = file, .target = "/opt/file"});
  // Past the page cache.
  const std::string read = "dd if=/opt/file of=/dev/null iflag=direct bs=64k count=32 status=none";
  const Report control = run_shell(read);
  EXPECT_GE(control.io_read_bytes.value_or(0), 2 * kMiB) << describe(control);
  stop_pool();
  profile().io_max = {{.path = file, .read_bytes = kMiB / 2}};
  const Report limited = run_shell(read);
  EXPECT_GE(limited.io_read_bytes.value_or(0), 2 * kMiB) << describe(limited);
  // 2 MiB at 0.5 a second; the kernel lets the first tenth of a second's through at once.
  EXPECT_GE(limited.wall_time, std::chrono::seconds(3)) << describe(limited);
  EXPECT_LT(control.wall_time, limited.wall_time);
}

TEST_F(PoolFigures, LimitsOfADiskAreOfItsSlotAndOutliveAJob) {
  HATCHERY_REQUIRE_FEATURE("cgroup_v2");
  HATCHERY_REQUIRE_FEATURE("cgroup_io");
  profile().io_max = {{.path = std::filesystem::read_symlink("/proc/self/exe"),
                       .read_bytes = kMiB,
                       .write_bytes = 2 * kMiB,
                       .read_operations = 30,
                       .write_operations = 40}};
  for (int job = 0; job < 2; ++job) {
    EXPECT_EQ(run_shell("true").outcome, Outcome::kAccepted);
    // Not by "job/..": before Linux 6.12 that group is being replaced now.
    const std::string slot_group = std::filesystem::path(job_group("io")).parent_path();
    const Result<std::string> limit = read_whole_file(slot_group + "/io.max");
    ASSERT_TRUE(limit) << limit.error().message();
    EXPECT_THAT(*limit, HasSubstr(" rbps=1048576 wbps=2097152 riops=30 wiops=40"));
  }
}

TEST_F(PoolFigures, ADiskThatCanNotBeLimitedRefusesTheProfile) {
  profile().io_max = {{.path = "/proc", .read_bytes = 1}};
  const Result<std::unique_ptr<Pool>> made = Pool::create(config);
  ASSERT_FALSE(made);
  EXPECT_THAT(made.error().message(), HasSubstr("io_max[0].path"));
  const Result<CgroupHost> host = CgroupHost::find(config.cgroup_parent);
  ASSERT_TRUE(host);
  const CgroupHierarchy* io = host->with("io");
  if (io == nullptr || !io->v2) {
    EXPECT_EQ(made.error().errnum, ENOTSUP) << made.error().message();
    return;
  }
  EXPECT_EQ(made.error().errnum, ENOTBLK) << made.error().message();
  const std::string disk = std::filesystem::read_symlink("/proc/self/exe");
  profile().io_max = {{.path = disk, .read_bytes = 1}, {.path = disk, .write_bytes = 1}};
  const Result<std::unique_ptr<Pool>> twice = Pool::create(config);
  ASSERT_FALSE(twice);
  EXPECT_THAT(twice.error().message(), HasSubstr("another entry limits"));
}

TEST_F(PoolFigures, PinningToCpusThatThePoolDoesNotHaveIsRefused) {
  HATCHERY_REQUIRE_FEATURE("cgroup_cpuset");
  HATCHERY_REQUIRE_FEATURE("two_cpus");
  const std::vector<std::uint32_t> cpus = usable_cpu_numbers();
  profile().pin_slots = true;
  profile().maximums.cpu_set = std::to_string(cpus[1]);
  const OnFirstCpu one_cpu;
  const Result<std::unique_ptr<Pool>> made = Pool::create(config);
  ASSERT_FALSE(made);
  EXPECT_THAT(made.error().message(), HasSubstr("pin_slots"));
}

}  // namespace
}  // namespace hatchery::testing
