// J: the pool's own life: odd limits, wrong hosts, names taken, executables delivered at once.
#include <filesystem>
#include <fstream>

#include "tests/adversarial_host.h"

namespace hatchery::testing {
namespace {

Report submit_or_error(Pool& pool, JobSpec spec) {
  auto submitted = pool.submit(std::move(spec));
  return submitted ? submitted->get() : Report{.error = submitted.error()};
}

Attack odd(const std::string& name, const std::string& source, const std::string& does,
           const std::string& field, const std::function<void(JobSpec&)>& change) {
  Attack attack{.name = name,
                .source = source,
                .does = does,
                .answer = "refused; the reason names " + field,
                .layer = "validation",
                .job = sh(":"),
                .gets = Refused(field),
                .control = with(
                    "the odd value", [](PoolConfig&, JobSpec& spec) { spec = sh(":"); },
                    Ends(Outcome::kAccepted)),
                .play = submit_or_error};
  change(attack.job);
  return attack;
}

/// A second pool, of this one's configuration changed.
Attack second(const std::string& name, const std::string& source, const std::string& does,
              const std::string& reason, const std::function<void(PoolConfig&)>& change) {
  return {.name = name,
          .source = source,
          .does = does,
          .answer = "refused",
          .layer = "validation; a lock a name",
          .job = sh(":"),
          .gets = Refused(reason),
          .control = no_control("there is nothing to leave out: a pool that starts is another"),
          .play = [change](Pool& pool, const JobSpec&) {
            PoolConfig config = config_beside(pool, "-second");
            change(config);
            const auto made = Pool::create(config);
            return made ? Report{} : Report{.error = made.error()};
          }};
}

/// Submits 64 of the job at once: the first refusal, or the last report.
Report all_at_once(Pool& pool, const JobSpec& spec) {
  std::vector<std::future<Report>> accepted;
  Report answer;
  for (int i = 0; i < 64; ++i) {
    auto submitted = pool.submit(spec);
    if (submitted)
      accepted.push_back(*std::move(submitted));
    else if (!answer.error)
      answer.error = submitted.error();
  }
  for (std::future<Report>& one : accepted) {
    Report report = one.get();
    EXPECT_EQ(report.outcome, Outcome::kAccepted) << describe(report);
    if (!answer.error) answer.outcome = report.outcome;
  }
  return answer;
}

HATCHERY_ATTACKS(Lifecycle) {
  using std::chrono::nanoseconds;
  return {
      odd("CpuLimitOfNothing", "J138", "has a CPU limit of 0", "limits.cpu_time",
          [](JobSpec& spec) { spec.limits.cpu_time = nanoseconds(0); }),
      odd("WallLimitOfANanosecond", "J138", "has a wall limit of 1 ns", "limits.wall_time",
          [](JobSpec& spec) { spec.limits.wall_time = nanoseconds(1); }),
      odd("NegativeLimit", "J127", "has a CPU limit below 0", "limits.cpu_time",
          [](JobSpec& spec) { spec.limits.cpu_time = nanoseconds(-1); }),
      odd("NoProcesses", "J138", "may have no process", "limits.processes",
          [](JobSpec& spec) { spec.limits.processes = 0; }),
      odd("MemoryOfAPage", "J138", "has 4096 bytes", "limits.memory",
          [](JobSpec& spec) { spec.limits.memory_bytes = 4096; }),
      odd("MemoryOfAllBits", "J127", "has 2^64 - 1 bytes", "limits.memory",
          [](JobSpec& spec) { spec.limits.memory_bytes = ~std::uint64_t{0}; }),
      odd("ArgumentWithNul", "J127", "has a NUL in an argument", "NUL",
          [](JobSpec& spec) { spec.args.emplace_back("a\0b", 3); }),
      odd("ArgumentsBeyondTheKernel", "J127", "has 7 MiB of arguments", "6 MiB",
          [](JobSpec& spec) { spec.args.insert(spec.args.end(), 70, std::string(104858, 'x')); }),
      second("TwoPoolsOfOneName", "J139", "is run by a pool whose name is taken", "this name",
             [](PoolConfig& config) { config.name.resize(config.name.size() - 7); }),
      second("MissingPolicy", "J136", "is to run under a policy file that is missing",
             "No such file",
             [](PoolConfig& config) { config.profiles[0].seccomp_policy = "/w/none.json"; }),
      second("MissingZygote", "J136", "is to run by a zygote that is missing", "No such file",
             [](PoolConfig& config) { config.zygote_path = "/w/none"; }),
      {.name = "ExecutablesDeliveredAtOnce",
       .source = "J133",
       .does = "is one of 64 that are each delivered an executable and run it",
       .answer = "never ETXTBSY",
       .layer = "the pool never forks",
       .job = {.args = {"/w/own", "none"},
               .fds = {{1, CollectorStream{"stdout"}}},
               .files_in = {{.path = "own",
                             .source = FileIn::HostFile{HATCHERY_PAYLOADS "/refused"},
                             .mode = 0755}}},
       .gets = Ends(Outcome::kAccepted),
       .control = no_control("a fork of the pool can't be put in"),
       .prepare =
           [](PoolConfig& config, JobSpec&) {
             config.profiles.front().slots_min = config.profiles.front().slots_max = 4;
           },
       .play =
           [](Pool& pool, JobSpec spec) {
             std::vector<std::future<Report>> all;
             for (int i = 0; i < 64; ++i) all.push_back(pool.submit(spec).value());
             Report worst = all[0].get();
             for (std::size_t i = 1; i < all.size(); ++i)
               if (Report next = all[i].get(); next.outcome != Outcome::kAccepted)
                 worst = std::move(next);
             return worst;
           }},
      {.name = "QueueOverflow",
       .source = "J131",
       .does = "is submitted 64 times to a queue of four",
       .answer = "refused with a hint when to try again; those in the queue are all run",
       .layer = "a bounded queue",
       .job = sh(":"),
       .gets = Refused("submit again"),
       .control = with(
           "the bound: a queue of 64", [](PoolConfig& config, JobSpec&) { config.queue_max = 64; },
           Ends(Outcome::kAccepted)),
       .prepare = [](PoolConfig& config, JobSpec&) { config.queue_max = 4; },
       .play = all_at_once},
      {.name = "ConfigurationOfThePool",
       .source = "J140",
       .does = "looks for the pool's locks and control groups",
       .answer = "there are none",
       .layer = "a root of its own",
       .job = sh("ls -d /run/hatchery /sys/fs/cgroup 2>/dev/null | wc -l"),
       .gets = Prints("0"),
       .control = with(
           "it: a directory of the host is bound there",
           [](PoolConfig& config, JobSpec&) {
             config.profiles.front().binds.push_back({.source = "/etc", .target = "/run/hatchery"});
           },
           Prints("1"))},
  };
}

}  // namespace
}  // namespace hatchery::testing
