// SIGKILL at any moment, to any helper of a pool and to the pool itself: each accepted job is
// reported once, or, where the pool died, is gone with all that it held. HATCHERY_KILLS says how
// many kills there are in all, default 60 (15 under emulation); HATCHERY_SEED repeats a run, as
// long as the host's own timing repeats itself.
#include <gmock/gmock.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <map>
#include <mutex>
#include <random>
#include <sstream>

#include "tests/await.h"
#include "tests/pool_fixture.h"
#include "tests/process.h"
#include "tests/slowness.h"

namespace hatchery::testing {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using ::testing::AnyOf;

std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

std::uint64_t kills() { return number_from("HATCHERY_KILLS", slowness() == 1 ? 60 : 15); }
/// Of all kills, two of three hit the helpers of a pool that lives on.
std::uint64_t helper_kills() { return kills() * 2 / 3; }
std::uint64_t pool_kills() { return kills() - helper_kills(); }

/// Field 4 of /proc/PID/stat; 0 when there is no such process.
pid_t parent_of(pid_t pid) {
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(stat, text, '\0');  // It may end while it is read: then what came is no line.
  const std::size_t name_end = text.rfind(')');
  return name_end == std::string::npos ? 0 : std::stoi(text.substr(name_end + 4));
}

using Children = std::multimap<pid_t, pid_t>;  ///< By parent.

Children all_processes() {
  Children children;
  for (const fs::directory_entry& entry : fs::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") == std::string::npos)
      children.emplace(parent_of(std::stoi(name)), std::stoi(name));
  }
  return children;
}

std::vector<pid_t> children_of(const Children& all, const std::vector<pid_t>& parents) {
  std::vector<pid_t> found;
  for (const pid_t parent : parents) {
    const auto [first, last] = all.equal_range(parent);
    for (auto child = first; child != last; ++child) found.push_back(child->second);
  }
  return found;
}

class Seeded : public PoolTest {
 protected:
  void SetUp() override {
    PoolTest::SetUp();
    const std::uint64_t seed = number_from("HATCHERY_SEED", std::random_device{}());
    std::printf("HATCHERY_SEED=%llu repeats this test\n", static_cast<unsigned long long>(seed));
    random_.seed(seed);
  }
  std::uint64_t below(std::uint64_t bound) { return random_() % bound; }
  /// Lets others run for a while that differs each time: none, or up to some milliseconds.
  void dawdle() {
    for (std::uint64_t turns = below(2) * below(3000); turns > 0; --turns) ::sched_yield();
  }

  std::mt19937_64 random_;
};

class PoolKilled : public Seeded {
 protected:
  enum class Target : std::uint8_t { kLauncher, kZygote, kWorker, kZygoteAndLauncher };
  static constexpr std::uint64_t kTargets = 4;

  void SetUp() override {
    Seeded::SetUp();
    profile().slots_min = 2;
    profile().slots_max = 3;
  }

  /// One of them by chance, if there is one. A number that was read may be another process's by
  /// now: what the pidfd holds is looked at once more.
  bool kill_one(const std::vector<pid_t>& processes) {
    if (processes.empty()) return false;
    const pid_t pid = processes[below(processes.size())];
    const pid_t parent = parent_of(pid);
    const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!pidfd.valid() || parent == 0 || parent_of(pid) != parent || !descends(pid)) return false;
    return ::syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0) == 0;
  }
  static bool descends(pid_t pid) {
    while (pid > 1 && pid != ::getpid()) pid = parent_of(pid);
    return pid == ::getpid();
  }
  bool kill(Target target) {
    const Children all = all_processes();
    const std::vector<pid_t> launchers = children_of(all, {::getpid()});
    const std::vector<pid_t> zygotes = children_of(all, launchers);
    switch (target) {
      case Target::kLauncher: return kill_one(launchers);
      case Target::kZygote: return kill_one(zygotes);
      case Target::kWorker: return kill_one(children_of(all, zygotes));
      case Target::kZygoteAndLauncher: {
        const bool killed = kill_one(zygotes);
        return kill_one(launchers) || killed;
      }
    }
    return false;
  }

  void await_a_slot() {
    await([this] {
      const PoolStats now = pool().stats();
      return now.slots_ready + now.running > 0;
    });
  }
  void submit_one() {
    const std::vector<std::string> scripts = {":",
                                              "sleep 0.01",
                                              "echo x >/w/a; sleep 60 & :",
                                              "while :; do :; done",
                                              "head -c 200000 /dev/zero",
                                              "(sleep 60; :) & (sleep 60; :) & wait"};
    const std::uint64_t id = submitted_++;
    JobSpec spec = shell("echo " + std::to_string(id) + " >&2; " + scripts[below(scripts.size())],
                         {.cpu_time = milliseconds(20), .wall_time = milliseconds(60)});
    spec.id = std::to_string(id);
    if (below(4) == 0)
      spec.files_in.push_back({.path = "in", .source = FileIn::Bytes{std::string(1000, 'x')}});
    const auto ticket = pool().submit(std::move(spec), [this, id](const Report& report) {
      const std::lock_guard lock(mutex_);
      ++reports_[id];
      ++outcomes_[report.outcome];
      if (report.id != std::to_string(id)) ++foreign_;
      // What came out is the job's own, whole or cut, or nothing.
      const Output* output = report.output("stderr");
      const std::string marker = std::to_string(id) + "\n";
      if (output != nullptr && output->bytes.rfind(marker.substr(0, output->bytes.size()), 0) != 0)
        ++foreign_;
    });
    ASSERT_TRUE(ticket) << ticket.error().message();
  }
  std::uint64_t in_flight() {
    const std::lock_guard lock(mutex_);
    return submitted_ - reports_.size();
  }

  std::uint64_t submitted_ = 0;
  std::mutex mutex_;
  std::map<std::uint64_t, int> reports_;
  std::map<Outcome, std::uint64_t> outcomes_;
  std::uint64_t foreign_ = 0;
};

TEST_F(PoolKilled, HelpersThatAreKilledAnywhereCostNoJobItsOneReport) {
  pool();
  std::map<Target, std::uint64_t> killed;
  for (std::uint64_t kills = 0; kills < helper_kills();) {
    while (in_flight() < 8) submit_one();
    dawdle();
    // The launcher's death is that of all slots: less often, or nothing else would be seen.
    Target target = static_cast<Target>(below(kTargets));
    if (target != Target::kZygote && target != Target::kWorker && below(3) != 0)
      target = Target::kWorker;
    if (!kill(target)) continue;
    ++kills;
    ++killed[target];
    // Mostly it may recover first: a pool whose slots die five times in a row before they are ready
    // answers for its queue that it has none, and then there is nothing left to hit but starts.
    if (target != Target::kWorker && below(8) != 0) await_a_slot();
  }
  pool().drain();
  for (std::uint64_t id = 0; id < submitted_; ++id) EXPECT_EQ(reports_[id], 1) << "job " << id;
  EXPECT_EQ(reports_.size(), submitted_);
  EXPECT_EQ(foreign_, 0U) << "reports with an id or an output of another job";
  for (const auto& [outcome, count] : outcomes_)
    EXPECT_THAT(outcome, AnyOf(Outcome::kAccepted, Outcome::kSignalled, Outcome::kTimeLimit,
                               Outcome::kWallLimit, Outcome::kInternalError))
        << count << " jobs";
  // Strength again: as many slots as at the start, and they work.
  await([&] { return pool().stats().slots_ready >= profile().slots_min; });
  // One that was hit just now may look ready until a job is given to it.
  std::uint64_t failed = 0;
  for (int well = 0; well < 10 && failed <= profile().slots_max; ++well) {
    const Report report = run_shell("echo well");
    if (report.outcome == Outcome::kAccepted) {
      EXPECT_EQ(output_of(report), "well\n");
      continue;
    }
    EXPECT_EQ(report.outcome, Outcome::kInternalError) << describe(report);
    ++failed;
    well = -1;
  }
  EXPECT_LE(failed, profile().slots_max);
  std::printf(
      "%llu kills: launcher %llu, zygote %llu, worker %llu, zygote and launcher %llu; "
      "%llu jobs:",
      static_cast<unsigned long long>(helper_kills()),
      static_cast<unsigned long long>(killed[Target::kLauncher]),
      static_cast<unsigned long long>(killed[Target::kZygote]),
      static_cast<unsigned long long>(killed[Target::kWorker]),
      static_cast<unsigned long long>(killed[Target::kZygoteAndLauncher]),
      static_cast<unsigned long long>(submitted_));
  for (const auto& [outcome, count] : outcomes_)
    std::printf(" %s %llu,", outcome_name(outcome), static_cast<unsigned long long>(count));
  std::printf(" slots replaced %llu\n",
              static_cast<unsigned long long>(pool().stats().slots_replaced));
}

TEST_F(PoolKilled, ALauncherThatIsKilledTwiceTakesTheRunningJobsWithItButNoneThatWait) {
  // As many as would be given up for lost if each start that fails with it counted for itself.
  constexpr std::size_t kSlots = 8;
  profile().slots_min = profile().slots_max = kSlots;
  await([&] { return pool().stats().slots_ready >= kSlots; });
  std::vector<std::future<Report>> running, waiting;
  for (std::size_t i = 0; i < kSlots; ++i)
    running.push_back(pool().submit(shell("sleep 60")).value());
  await([&] { return pool().stats().running >= kSlots; });
  for (int i = 0; i < 40; ++i) waiting.push_back(pool().submit(shell("echo waited")).value());
  const std::vector<pid_t> first = children_of(all_processes(), {::getpid()});
  ASSERT_TRUE(kill_one(first));
  // The next, while it has all slots to start; the first may still be there, dying.
  const auto kill_next = [&] {
    for (const pid_t pid : children_of(all_processes(), {::getpid()}))
      if (pid != first.front() && kill_one({pid})) return true;
    return false;
  };
  while (!kill_next()) {
  }
  for (auto& report : running) EXPECT_EQ(report.get().outcome, Outcome::kInternalError);
  // On a slow machine some have a slot by the second kill: those run, and no other is lost.
  std::size_t lost = 0;
  for (auto& report : waiting) lost += report.get().outcome == Outcome::kAccepted ? 0U : 1U;
  EXPECT_LE(lost, kSlots);
}

class BatchKilled : public Seeded {
 protected:
  static constexpr std::uint64_t kJobs = 40;

  void SetUp() override {
    Seeded::SetUp();
    ::signal(SIGPIPE, SIG_IGN);  // It may be dead before it has read all of its input.
    killed_ = config;
    killed_.name += "-killed";
    killed_.uid_base += 512;
    profile_path_ = ::testing::TempDir() + killed_.name + ".toml";
    std::ofstream(profile_path_) << config_to_toml(killed_);
    for (std::uint64_t id = 0; id < kJobs; ++id) {
      const char* script = id % 3 == 0 ? "echo x >/tmp/x; sleep 0.01" : "sleep 60 & echo out";
      jobs_ += R"({"id":"j)" + std::to_string(id) + R"(","args":["sh","-c",")" + script + "\"]}\n";
    }
  }
  void TearDown() override {
    ::unlink(profile_path_.c_str());
    Seeded::TearDown();
  }
  std::vector<std::string> command() const {
    return {HATCHERY_BINARY, "batch", "--profile", profile_path_, "-"};
  }
  /// Every line but perhaps the last, which has no end then, is a report of a job of its own.
  void expect_whole_reports(const std::string& output) {
    std::map<std::string, int> seen;
    for (std::size_t begin = 0; begin < output.size();) {
      const std::size_t end = output.find('\n', begin);
      if (end == std::string::npos) break;
      boost::json::error_code error;
      const boost::json::value report =
          boost::json::parse(output.substr(begin, end - begin), error);
      ASSERT_FALSE(error) << output.substr(begin, end - begin);
      EXPECT_EQ(++seen[std::string(report.at("id").as_string())], 1);
      EXPECT_EQ(report.at("outcome").as_string(), "accepted");
      begin = end + 1;
    }
    reports_ += seen.size();
  }

  PoolConfig killed_;
  std::string profile_path_;
  std::string jobs_;
  std::uint64_t reports_ = 0;
};

TEST_F(BatchKilled, APoolThatIsKilledAnywhereLeavesNoProcessAndTheNextStartRemovesTheRest) {
  const HostTraces before = host_traces(killed_);
  std::uint64_t left_groups = 0;
  for (std::uint64_t kills = 0; kills < pool_kills(); ++kills) {
    Process batch(command(), jobs_);
    // At once, from its start on; or after some report.
    const std::string report = "\"id\":\"j" + std::to_string(below(kJobs)) + "\"";
    ASSERT_TRUE(below(4) == 0 || batch.wait_for_output(report));
    dawdle();
    batch.kill(SIGKILL);
    const ProcessResult result = batch.wait();
    // After the last report it may be over before the signal comes.
    EXPECT_THAT(result.status, AnyOf(128 + SIGKILL, 0)) << result.err;
    expect_whole_reports(result.out);
    // Each death follows from the one before: launcher, zygotes, jobs.
    await([&] { return host_traces(killed_).processes.empty(); });
    if (!host_traces(killed_).cgroups.empty()) ++left_groups;
    EXPECT_EQ(host_traces(killed_).mounts, before.mounts);
  }
  const ProcessResult last = run_process(command(), jobs_);
  EXPECT_EQ(last.status, 0) << last.err;
  const std::uint64_t counted = reports_;
  expect_whole_reports(last.out);
  EXPECT_EQ(reports_ - counted, kJobs);
  EXPECT_EQ(host_traces(killed_), before);
  std::printf(
      "%llu kills of the pool, %llu reports of %llu jobs came before; groups were left by "
      "%llu and removed by the next start\n",
      static_cast<unsigned long long>(pool_kills()), static_cast<unsigned long long>(counted),
      static_cast<unsigned long long>(pool_kills() * kJobs),
      static_cast<unsigned long long>(left_groups));
}

TEST_F(PoolTest, APoolWithAnotherStateDirectoryLeavesThisOneAlone) {
  profile().slots_min = profile().slots_max = 1;
  EXPECT_EQ(run_shell("echo before").outcome, Outcome::kAccepted);
  const std::string directory = make_temporary_directory();
  {
    PoolConfig other = config;
    other.name += "-other";
    other.state_directory = directory + "/state";
    other.uid_base += 512;
    const auto second = Pool::create(other);
    ASSERT_TRUE(second) << second.error().message();
    EXPECT_EQ(run_shell("echo beside").outcome, Outcome::kAccepted);
    // Nor does one that wants its name.
    other.name = config.name;
    other.state_directory = directory + "/third";
    const auto third = Pool::create(other);
    ASSERT_FALSE(third);
    EXPECT_EQ(third.error().step, Step::kLockPool);
    EXPECT_EQ(third.error().errnum, EBUSY);
    EXPECT_EQ(run_shell("echo after").outcome, Outcome::kAccepted);
  }
  EXPECT_EQ(pool().stats().slots_replaced, 0U);
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace hatchery::testing
