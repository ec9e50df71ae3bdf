// A pool loses its helpers, one by one and all at once, and is well again; a slot after a dirty job
// is a new one; nothing outlives a pool, however it ends.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <map>

#include "pool/limits.h"
#include "tests/await.h"
#include "tests/pool_fixture.h"
#include "tests/process.h"
#include "tests/selinux_fixture.h"
#include "tests/slowness.h"
#include "workers/protocol.h"

namespace hatchery::testing {
namespace {

namespace fs = std::filesystem;
using std::chrono::seconds;
using ::testing::HasSubstr;

class PoolHeals : public PoolTest {
 protected:
  /// Processes with that name in /proc/PID/comm below this test's process.
  static std::vector<pid_t> processes_named(const std::string& name) {
    std::vector<pid_t> found;
    for (const fs::directory_entry& entry : fs::directory_iterator("/proc")) {
      const std::string number = entry.path().filename();
      if (number.find_first_not_of("0123456789") != std::string::npos) continue;
      std::ifstream comm(entry.path() / "comm");
      std::string line;
      if (std::getline(comm, line) && line == name && descends(std::stoi(number)))
        found.push_back(std::stoi(number));
    }
    return found;
  }
  static bool descends(pid_t pid) {
    while (pid > 1 && pid != ::getpid()) {
      std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
      std::string text;
      std::getline(stat, text, '\0');  // Unlike an iterator it does not throw when pid ends.
      const std::size_t name_end = text.rfind(')');
      if (name_end == std::string::npos) return false;
      pid = std::stoi(text.substr(name_end + 4));
    }
    return pid == ::getpid();
  }
  pid_t only_zygote() {
    // A worker has its zygote's name until it executes, and is its child.
    std::vector<pid_t> zygotes = processes_named("hatchery-zygote");
    EXPECT_FALSE(zygotes.empty());
    return zygotes.empty() ? -1 : *std::min_element(zygotes.begin(), zygotes.end());
  }
  /// Of the only slot, which is ready.
  pid_t parked_worker() {
    await([&] { return pool().stats().slots_ready > 0; });
    const std::vector<pid_t> both = processes_named("hatchery-zygote");
    EXPECT_EQ(both.size(), 2U);
    return both.empty() ? -1 : *std::max_element(both.begin(), both.end());
  }
  /// The job has started, and does not end by itself.
  std::future<Report> run_until_wall_limit(Held& held) {
    JobSpec spec = held.job();
    spec.limits.wall_time = seconds(2);
    Result<std::future<Report>> report = pool().submit(std::move(spec));
    HATCHERY_CHECK(report.has_value());
    held.await_start();
    return *std::move(report);
  }
  void SetUp() override {
    PoolTest::SetUp();
    profile().slots_max = 1;
  }
  void expect_well() {
    for (int i = 0; i < 3; ++i) {
      const Report report = run_shell("echo well");
      EXPECT_EQ(report.outcome, Outcome::kAccepted) << describe(report);
    }
  }
};

TEST_F(PoolHeals, AZygoteStaysOnItsHomeCpuAndItsJobsHaveAll) {
  const auto allowed = [](const std::string& process) {
    std::ifstream status("/proc/" + process + "/status");
    for (std::string line; std::getline(status, line);)
      if (line.starts_with("Cpus_allowed_list:")) return line.substr(19);
    return std::string();
  };
  profile().slots_min = profile().slots_max = 2;
  const Report report = run_shell("grep Cpus_allowed_list /proc/self/status");
  EXPECT_EQ(output_of(report), "Cpus_allowed_list:\t" + allowed("self") + "\n");
  await([&] { return pool().stats().slots_ready >= 2; });
  // Two zygotes and their workers, by turns on the CPUs that there are.
  std::map<std::string, int> homes;
  for (const pid_t pid : processes_named("hatchery-zygote")) ++homes[allowed(std::to_string(pid))];
  const std::size_t cpus = usable_cpu_numbers().size();
  // On Linux 6.1 a worker, born into a group with a cpuset, gets all of that cpuset's CPUs.
  const bool workers_roam = cpus > 1 && homes.erase(allowed("self")) > 0;
  EXPECT_TRUE(!workers_roam || !missing_feature("job_group_kept").empty());
  ASSERT_EQ(homes.size(), std::min<std::size_t>(cpus, 2)) << ::testing::PrintToString(homes);
  for (const auto& [home, count] : homes)
    EXPECT_EQ(count, cpus == 1 ? 4 : workers_roam ? 1 : 2) << home;
}

TEST_F(PoolHeals, AJobsUmaskIsNotThePools) {
  const mode_t kept = ::umask(077);
  const Report report = run_shell("umask");
  ::umask(kept);
  EXPECT_EQ(output_of(report), "0022\n");
}

/// On a host that leaves programs dumpable when they change their ids (fs.suid_dumpable = 1,
/// proc(5)); elsewhere that change alone hides the worker.
class ParkedWorker : public PoolHeals {
 protected:
  static constexpr const char* kSetting = "/proc/sys/fs/suid_dumpable";
  void SetUp() override {
    PoolHeals::SetUp();
    if (IsSkipped()) return;
    std::ifstream(kSetting) >> kept_;
    EXPECT_TRUE(std::ofstream(kSetting) << 1 << std::flush);
  }
  void TearDown() override {
    if (kept_ >= 0) {
      EXPECT_TRUE(std::ofstream(kSetting) << kept_ << std::flush);
    }
    PoolHeals::TearDown();
  }
  /// Whether /proc/PID of the parked worker belongs to the worker's own user, who then may read its
  /// memory; if not, it is its user namespace's root's (proc(5)).
  bool is_its_users() {
    const std::string worker = "/proc/" + std::to_string(parked_worker());
    struct stat owner {};
    EXPECT_EQ(::stat((worker + "/environ").c_str(), &owner), 0);
    std::ifstream status(worker + "/status");
    for (std::string line; std::getline(status, line);)
      if (line.starts_with("Uid:")) return std::stoul(line.substr(4)) == owner.st_uid;
    ADD_FAILURE() << "the worker is gone";
    return true;
  }

 private:
  int kept_ = -1;
};

TEST_F(ParkedWorker, CanNotBeLookedIntoByItsUser) { EXPECT_FALSE(is_its_users()); }

TEST_F(ParkedWorker, CanBeLookedIntoWhereItIsLeftDumpable) {
  config.testing_without = protocol::kWithoutUndumpable;
  EXPECT_TRUE(is_its_users());
}

TEST_F(PoolHeals, AZygoteThatIsKilledWhileItsJobRunsIsReplacedAndTheJobReportedOnce) {
  Held held;
  int reports = 0;
  std::promise<Report> reported;
  ASSERT_TRUE(pool().submit(held.job(), [&](Report report) {
    if (++reports == 1) reported.set_value(std::move(report));
  }));
  held.await_start();
  ASSERT_EQ(::kill(only_zygote(), SIGKILL), 0);
  const Report report = reported.get_future().get();
  EXPECT_EQ(report.outcome, Outcome::kInternalError) << describe(report);
  ASSERT_TRUE(report.error);
  EXPECT_THAT(report.error->message(), HasSubstr("zygote died"));
  expect_well();
  EXPECT_EQ(reports, 1);
  EXPECT_EQ(pool().stats().slots_replaced, 1U);
}

TEST_F(PoolHeals, AZygoteThatIsKilledWhileIdleIsReplaced) {
  expect_well();
  ASSERT_EQ(::kill(only_zygote(), SIGKILL), 0);
  // A job may be given to the slot before its end is known: then it is reported, and once.
  const Report next = run_shell("echo next");
  EXPECT_TRUE(next.outcome == Outcome::kAccepted || next.outcome == Outcome::kInternalError);
  expect_well();
}

TEST_F(PoolHeals, AParkedWorkerThatIsKilledCostsItsSlotAndNoJob) {
  ASSERT_EQ(::kill(parked_worker(), SIGKILL), 0);
  await([&] { return pool().stats().slots_replaced > 0; });
  expect_well();
}

TEST_F(PoolHeals, AJobThatIsCancelledBeforeItsWorkerHasReadItCostsNoSlot) {
  ASSERT_EQ(::kill(parked_worker(), SIGSTOP), 0);
  std::promise<Report> promise;
  const Result<JobTicket> ticket = pool().submit(
      shell("echo stale"), [&promise](Report report) { promise.set_value(std::move(report)); });
  ASSERT_TRUE(ticket);
  await([&] { return pool().stats().running > 0; });  // It is handed over.
  EXPECT_TRUE(pool().cancel(*ticket));
  const Report report = promise.get_future().get();
  EXPECT_EQ(report.outcome, Outcome::kCancelled) << describe(report);
  EXPECT_EQ(output_of(run_shell("echo fresh")), "fresh\n");
  EXPECT_EQ(pool().stats().slots_replaced, 0U);
}

TEST_F(PoolHeals, AZygoteThatIsStoppedIsReplacedAndItsJobReported) {
  Held held;
  auto report = pool().submit(held.job());
  ASSERT_TRUE(report);
  held.await_start();
  ASSERT_EQ(::kill(only_zygote(), SIGSTOP), 0);
  held.release();
  EXPECT_EQ(report->get().outcome, Outcome::kInternalError);
  expect_well();
}

TEST_F(PoolHeals, AZygoteThatIsStoppedIsReplacedThoughItsJobIsKilledForALimit) {
  Held held;
  std::future<Report> report = run_until_wall_limit(held);
  ASSERT_EQ(::kill(only_zygote(), SIGSTOP), 0);
  EXPECT_EQ(report.get().outcome, Outcome::kWallLimit);
  expect_well();
}

/// A process that no signal reaches, not even SIGKILL, until it thaws.
class Frozen {
 public:
  explicit Frozen(pid_t pid) : group_(kFreezerV1 + ("/test-" + std::to_string(::getpid()))) {
    HATCHERY_CHECK(::mkdir(group_.c_str(), 0755) == 0);
    std::ofstream(group_ + "/cgroup.procs") << pid;
    set("FROZEN");
  }
  ~Frozen() {
    thaw();
    await([&] { return ::rmdir(group_.c_str()) == 0; });  // Once it has died.
  }
  Frozen(Frozen&&) = delete;
  void thaw() { set("THAWED"); }

 private:
  void set(const std::string& wanted) {
    std::ofstream(group_ + "/freezer.state") << wanted;
    std::string now;
    await([&] { return std::ifstream(group_ + "/freezer.state") >> now && now == wanted; });
  }
  std::string group_;
};

TEST_F(PoolHeals, AZygoteThatDoesNotDieKeepsWhatItHasUntilItDoes) {
  HATCHERY_REQUIRE_FEATURE("freezer_v1");
  config.uid_count = 2;  // One slot's.
  Held held;
  std::future<Report> report = run_until_wall_limit(held);
  Frozen frozen(only_zygote());
  EXPECT_EQ(report.get().outcome, Outcome::kWallLimit) << "reported though it does not die";
  const Report none = run_shell("true");
  EXPECT_EQ(none.outcome, Outcome::kInternalError);
  ASSERT_TRUE(none.error);
  EXPECT_EQ(none.error->step, Step::kLeaseUid) << "no other slot has its uids";
  frozen.thaw();
  await([&] { return pool().stats().slots_ready > 0; });
  EXPECT_EQ(pool().stats().slots_total, 1U);
  expect_well();
}

TEST_F(PoolHeals, APoolEndsThoughAZygoteDoesNotDie) {
  HATCHERY_REQUIRE_FEATURE("freezer_v1");
  Held held;
  std::future<Report> report = run_until_wall_limit(held);
  {
    const Frozen frozen(only_zygote());
    EXPECT_EQ(report.get().outcome, Outcome::kWallLimit);
    stop_pool();
  }
  pool();  // Removes what the other could not.
  expect_well();
}

TEST_F(PoolHeals, EveryProcessOfAJobIsKilledAtItsLimitThoughTheZygoteIsStopped) {
  HATCHERY_REQUIRE_FEATURE("cgroup_kill");  // A v2 group of the job's own lists its processes.
  /// What the zygote is when a child of the job's main process ends.
  const auto zygote_at_the_end = [this] {
    Held held;
    JobSpec spec = held.job();
    spec.args[2] = "sleep 600 & echo x >&3; wait";
    spec.limits.wall_time = seconds(2);
    auto report = pool().submit(std::move(spec));
    HATCHERY_CHECK(report.has_value());
    held.await_start();
    std::vector<pid_t> children;
    while (children.empty()) children = processes_named("sleep");  // It may not be it yet.
    const UniqueFd child(static_cast<int>(::syscall(SYS_pidfd_open, children[0], 0)));
    const std::string zygote = "/proc/" + std::to_string(only_zygote()) + "/stat";
    EXPECT_EQ(::kill(only_zygote(), SIGSTOP), 0);
    pollfd end{child.get(), POLLIN, 0};
    EXPECT_EQ(::poll(&end, 1, 60'000), 1);
    std::ifstream stat(zygote);
    std::string text;
    std::getline(stat, text, '\0');
    EXPECT_EQ(report->get().outcome, Outcome::kWallLimit);
    const std::size_t name_end = text.rfind(')');
    return name_end == std::string::npos ? ' ' : text[name_end + 2];
  };
  EXPECT_EQ(zygote_at_the_end(), 'T');
  expect_well();
  stop_pool();
  // Without it the child ends with the zygote, which is killed when it does not report.
  config.testing_without = protocol::kWithoutCgroupKill;
  EXPECT_NE(zygote_at_the_end(), 'T');
}

TEST_F(PoolHeals, ALauncherThatIsKilledIsStartedAgain) {
  expect_well();
  const std::vector<pid_t> launchers = processes_named("hatchery-launch");
  ASSERT_EQ(launchers.size(), 1U);
  ASSERT_EQ(::kill(launchers[0], SIGKILL), 0);
  const Report next = run_shell("echo next");
  EXPECT_TRUE(next.outcome == Outcome::kAccepted || next.outcome == Outcome::kInternalError);
  await([&] { return pool().stats().slots_replaced > 0; });  // Its zygote goes with it.
  expect_well();
}

TEST_F(PoolHeals, TheZygoteSurvivesAJobThatUsesUpAllMemory) {
  for (int i = 0; i < 3; ++i) {
    const Report report =
        run_shell("x=$(head -c 50331648 /dev/zero | tr '\\0' a)", {.memory_bytes = 16 * kMiB});
    EXPECT_EQ(report.outcome, Outcome::kMemoryLimit) << describe(report);
  }
  expect_well();
  EXPECT_EQ(pool().stats().slots_replaced, 0U);
}

TEST_F(PoolHeals, AJobCannotKillStopOrTraceItsZygote) {
  const Report report = run_shell("kill -9 1; kill -STOP 1; kill -9 -1; echo alive");
  EXPECT_EQ(report.outcome, Outcome::kAccepted) << describe(report);
  expect_well();
  EXPECT_EQ(pool().stats().slots_replaced, 0U);
}

// What a job could leave, and where the next would find it.
constexpr const char* kDirty =
    "echo x >/tmp/a; mkdir -p /w/b/c; echo x >/w/b/c/d; echo x >/dev/shm/e; ln -s / /tmp/f; "
    "mkfifo /w/g; chmod 700 /tmp /w 2>/dev/null; "
    "python3 -c 'import socket, ctypes; s = socket.socket(); s.bind((\"127.0.0.1\", 7777)); "
    "s.listen(); "
    "ctypes.CDLL(None).shmget(1234, 4096, 0o1666)'; "
    "setsid sleep 60 & (trap \"\" TERM HUP; sleep 60) & wait_for=$!; : >/tmp/done";
constexpr const char* kLook =
    "find /tmp /w /dev/shm | sort; stat -c %a /tmp /w /dev/shm; tail -n +2 /proc/sysvipc/shm | wc "
    "-l; "
    "ls /proc | grep -c '^[0-9]'; echo $$; grep -c . /proc/net/tcp; cat /proc/net/snmp | md5sum; "
    "df -k /tmp /w /dev/shm | awk '{ print $3 }'; hostname; ulimit -a | md5sum; umask";

TEST_F(PoolHeals, AJobAfterADirtyOneSeesAFreshWorldInTheSameSlot) {
  const std::string fresh = output_of(run_shell(kLook));
  const Report dirty = run_shell(kDirty);
  EXPECT_EQ(dirty.outcome, Outcome::kAccepted) << describe(dirty);
  const Report after = run_shell(kLook);
  EXPECT_EQ(output_of(after), fresh);
  EXPECT_EQ(after.slot, dirty.slot);
  EXPECT_EQ(pool().stats().slots_replaced, 0U);
}

TEST_F(PoolHeals, WithoutTheResetAJobWouldSeeWhatTheLastOneLeft) {
  config.testing_without = protocol::kWithoutReset;
  const std::string fresh = output_of(run_shell(kLook));
  EXPECT_EQ(run_shell(kDirty).outcome, Outcome::kAccepted);
  EXPECT_NE(output_of(run_shell(kLook)), fresh);
}

TEST_F(PoolHeals, EveryProcessOfAJobIsDeadWhenItsReportComes) {
  const Report report = run_shell(
      "for i in 1 2 3 4 5; do setsid sh -c 'trap \"\" TERM HUP INT; while :; do sleep 60; done' & "
      "done; echo parent");
  EXPECT_EQ(report.outcome, Outcome::kAccepted) << describe(report);
  EXPECT_TRUE(processes_named("sleep").empty());
}

TEST_F(PoolHeals, SlotsGrowWithDemandAndShrinkWhenIdle) {
  profile().slots_min = 1;
  profile().slots_max = 3;
  profile().slot_idle_ms = 1;
  Held held[3];
  std::vector<std::future<Report>> reports;
  for (const Held& one : held) reports.push_back(pool().submit(one.job()).value());
  for (Held& one : held) one.await_start();  // All three run at once.
  EXPECT_EQ(pool().stats().slots_total, 3U);
  for (const Held& one : held) one.release();
  for (auto& report : reports) EXPECT_EQ(report.get().outcome, Outcome::kAccepted);
  await([&] { return pool().stats().slots_total <= 1; });
  expect_well();
}

/// Those of the memory controller, the removed ones that something keeps included.
std::uint64_t memory_groups() {
  std::ifstream lines("/proc/cgroups");
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with("memory\t")) return std::stoull(line.substr(line.find('\t', 7) + 1));
  return 0;
}

TEST_F(PoolHeals, APoolLeavesNoDeadControlGroupThoughWhatItsJobsReadIsCached) {
  const fs::path directory = make_temporary_directory();
  const std::string file = directory / "file";
  // More than a slot that ran nothing has, less than what a reset gives back.
  std::ofstream(file) << std::string(512 * kKiB, 'x');
  const UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_EQ(::fsync(fd.get()), 0);
  ASSERT_EQ(::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED), 0);
  if (missing_feature("selinux").empty()) label(file, "usr_t", "s0");  // Which jobs may read.
  profile().binds.push_back({.source = file, .target = "/opt/file"});
  const std::uint64_t before = memory_groups();
  ASSERT_GT(before, 0U);
  EXPECT_EQ(run_shell("cat /opt/file >/dev/null").outcome, Outcome::kAccepted);
  stop_pool();
  await([&] { return memory_groups() <= before; });  // A worker of the kernel frees them.
  fs::remove_all(directory);
}

// More than the sockets between pool and launcher hold (200 are): neither may wait for the other.
TEST_F(PoolHeals, SixHundredSlotsBecomeReady) {
  const std::uint32_t slots = slowness() == 1 ? 600 : 200;
  profile().slots_min = profile().slots_max = slots;
  config.uid_count = 2 * slots;
  await([&] { return pool().stats().slots_ready >= slots; });
  EXPECT_EQ(run({.args = {"/bin/true"}}).outcome, Outcome::kAccepted);
  expect_well();
}

TEST_F(PoolHeals, TheEndOfAPoolIsBoundedThoughItsJobsAreNot) {
  config.shutdown_ms = 50;
  Held held[2];
  std::vector<std::future<Report>> reports;
  for (const Held& one : held) reports.push_back(pool().submit(one.job()).value());
  held[0].await_start();
  stop_pool();
  for (auto& report : reports) EXPECT_EQ(report.get().outcome, Outcome::kCancelled);
}

TEST_F(PoolHeals, JobsThatEndInTimeAreAwaitedByTheEndOfAPool) {
  config.shutdown_ms = 60'000;
  std::vector<std::future<Report>> reports;
  for (int i = 0; i < 20; ++i) reports.push_back(pool().submit(shell("echo")).value());
  stop_pool();
  for (auto& report : reports) EXPECT_EQ(report.get().outcome, Outcome::kAccepted);
}

TEST_F(PoolHeals, TwoPoolsNeverShareAName) {
  pool();
  const auto second = Pool::create(config);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().step, Step::kLockPool);
  EXPECT_EQ(second.error().errnum, EBUSY);
  expect_well();
}

TEST_F(PoolHeals, TwoPoolsRunBesideEachOtherWithUidsOfTheirOwn) {
  PoolConfig other = config;
  other.name += "-other";
  {
    const auto second = Pool::create(other);
    ASSERT_TRUE(second) << second.error().message();
    const std::string script = "tail -1 /proc/self/uid_map";
    auto theirs = (*second)->submit(shell(script));
    ASSERT_TRUE(theirs);
    EXPECT_NE(output_of(run_shell(script)), output_of(theirs->get()));
  }
  EXPECT_EQ(host_traces(other).cgroups, std::vector<std::string>());
}

TEST_F(PoolHeals, NoProcessOutlivesAPoolThatIsKilledAndTheNextStartCleansUp) {
  PoolConfig killed = config;
  killed.name += "-killed";
  killed.uid_base += 512;
  killed.profiles.front().slots_max = 2;
  const std::string profile_path = ::testing::TempDir() + killed.name + ".toml";
  std::ofstream(profile_path) << config_to_toml(killed);
  {
    Process command({HATCHERY_BINARY, "batch", "--profile", profile_path, "-"},
                    "{\"args\":[\"sh\",\"-c\",\"while :; do :; done\"]}\n"
                    "{\"args\":[\"echo\",\"first\"]}\n");
    ASSERT_TRUE(command.wait_for_output("first"));
    EXPECT_FALSE(host_traces(killed).cgroups.empty());
    command.kill(SIGKILL);
    EXPECT_EQ(command.wait().status, 128 + SIGKILL);
  }
  // Their deaths are under way: each follows from the one before, launcher, zygotes, jobs.
  await([&] { return host_traces(killed).processes.empty(); });
  EXPECT_FALSE(host_traces(killed).cgroups.empty()) << "nobody was left to remove them";
  pool();  // Any pool on the host, of whatever name.
  EXPECT_EQ(host_traces(killed).cgroups, std::vector<std::string>());
  ::unlink(profile_path.c_str());
}

}  // namespace
}  // namespace hatchery::testing
