// What each protection costs: in the pool, by taking one away at a time; and in the kernel, by
// adding one at a time to a bare vfork and exec, as a sandbox without a pool must for each job.
#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "bench/floors.h"
#include "bench/pool_runner.h"
#include "bench/protections.h"
#include "bench/turns.h"
#include "core/files.h"
#include "workers/protocol.h"
#include "workers/raw.h"
#include "workers/selinux_label.h"
#include "workers/syscall_policy.h"

namespace hatchery::bench {
namespace {

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080  // time_namespaces(7), since Linux 5.6
#endif

struct Variant {
  const char* name;
  std::uint32_t without = 0;  ///< protocol::Protection bits.
  std::function<void(PoolConfig&)> change = {};
  std::function<void(JobSpec&)> change_job = {};
};

Variant without(const char* name, std::uint32_t protections) {
  return {.name = name, .without = protections};
}

/// Each differs from the pool as it is by one thing. Those that are tests' controls leave something
/// out that no configuration can.
std::vector<Variant> variants() {
  namespace p = protocol;
  std::vector<Variant> all = {
      without("no seccomp filter", p::kWithoutFilter),
      without("no network namespace", p::kWithoutNetworkNamespace),
      without("no ipc namespace", p::kWithoutIpcNamespace),
      without("an ipc namespace a job", p::kWithoutIpcLook),
      without("no uts namespace", p::kWithoutUtsNamespace),
      without("no cgroup namespace", p::kWithoutCgroupNamespace),
      {.name = "no time namespace",
       .change = [](PoolConfig& config) { config.profiles[0].time_namespace = false; }},
      without("user namespaces allowed", p::kWithoutUserNamespaceLimit),
      without("no masks over /proc", p::kWithoutMasks),
      without("no inodes of its own", p::kWithoutOwnInodes),
      without("no change of ids", p::kWithoutIdChange),
      without("capabilities kept", p::kWithoutCapabilityDrop),
      without("no rlimits", p::kWithoutRlimits),
      without("no session", p::kWithoutSession),
      without("no OOM score", p::kWithoutOomScore),
      without("descriptors not closed", p::kWithoutDescriptorClose),
      without("no last kill", p::kWithoutKillAll),
      without("no reset", p::kWithoutReset),
      {.name = "no control groups",
       .change =
           [](PoolConfig& config) {
             config.cgroup = CgroupUse::kNone;
             config.cgroup_parent.clear();
           }},
      {.name = "no limits",
       .change =
           [](PoolConfig& config) {
             config.profiles[0].defaults = Limits{};
             // What a pool can't be without.
             const Limits defaults = default_profile().defaults;
             config.profiles[0].defaults.output_bytes = defaults.output_bytes;
           }},
      {.name = "CPU rate limited",
       .change = [](PoolConfig& config) { config.profiles[0].defaults.cpu_rate = 1.0; }},
      {.name = "slots pinned",
       .change = [](PoolConfig& config) { config.profiles[0].pin_slots = true; }},
      {.name = "two collectors",
       .change_job =
           [](JobSpec& job) {
             job.fds[1] = CollectorStream{"stdout"};
             job.fds[2] = CollectorStream{"stderr"};
           }},
      {.name = "a file in and out", .change_job = [](JobSpec& job) {
         job.files_in.push_back({.path = "file", .source = FileIn::Bytes{"1 KiB or less"}});
         job.files_out.push_back({.path = "file"});
       }}};
  // Where "auto" gives one, jobs have it as they are.
  const Result<std::string> usual = job_type("auto");
  if (selinux_enabled() && usual && usual->empty())
    all.push_back({.name = "a SELinux label", .change = [](PoolConfig& config) {
                     config.profiles[0].selinux_type = "hatchery_job_t";
                   }});
  return all;
}

/// All that these leave out, together: a process in a slot that is still made ahead, limited,
/// measured and reported, in user, mount and pid namespaces, but hardly a sandbox.
Variant none_of(const std::vector<Variant>& variants) {
  Variant none{.name = "none of these",
               .change = [](PoolConfig& config) { config.profiles[0].time_namespace = false; }};
  for (const Variant& variant : variants) none.without |= variant.without;
  return none;
}

/// Figures of the lane, and what it differs by from the first: its price, where it has more, or
/// what it saves.
void add_rows(Bench& bench, const std::string& measure, const std::string& program,
              const std::vector<Lane>& lanes) {
  const Lane& base = lanes.front();
  for (const Lane& lane : lanes) {
    if (lane.trouble) continue;
    Row row{.measure = measure, .program = program, .way = lane.name, .jobs = lane.jobs_counted()};
    row.add("p50_us", estimate(lane.latency_us, quantile_of(0.5)));
    row.add("cpu_us", estimate(lane.group_cpu_us, ratio_of_sums()));
    if (&lane != &base && !base.trouble) {
      row.add("p50_more_us",
              compare(lane.latency_us, base.latency_us, quantile_of(0.5), Comparison::kDifference));
      row.add("cpu_more_us", compare(lane.group_cpu_us, base.group_cpu_us, ratio_of_sums(),
                                     Comparison::kDifference));
    }
    bench.results.add(std::move(row));
  }
  add_troubles(bench, measure, program, lanes);
}

TurnPlan plan_of(const Bench& bench) {
  if (bench.quick) return {.rounds = 2, .turn_s = 0.005, .jobs_min = 3, .drop_first = true};
  return {.rounds = 60, .turn_s = 0.05, .jobs_min = 3, .drop_first = true};
}

void measure_pool(Bench& bench) {
  const Program program = program_named("dynamic_true");
  const std::string measure = "pool_protections";
  std::vector<Lane> lanes;
  const auto add_lane = [&](const Variant& variant) {
    Result<std::unique_ptr<PoolRunner>> runner =
        PoolRunner::create(program, {.in_flight = 1,
                                     .cgroup_parent = bench.group.path(),
                                     .change =
                                         [&variant](PoolConfig& config) {
                                           config.testing_without = variant.without;
                                           if (variant.change) variant.change(config);
                                         },
                                     .change_job = variant.change_job});
    if (runner)
      lanes.push_back({.name = variant.name, .runner = *std::move(runner)});
    else
      bench.results.add(Trouble{measure, program.name, variant.name, error_text(runner.error())});
  };
  add_lane({.name = "as it is"});
  if (lanes.empty()) return;
  const std::vector<Variant> each = variants();
  add_lane(none_of(each));
  for (const Variant& variant : each) add_lane(variant);
  for (const Way& floor : floors(bench.group.path())) {
    if (floor.without_exec) continue;
    Result<std::unique_ptr<Runner>> runner = floor.make(program, 1);
    if (runner)
      lanes.push_back({.name = floor.name, .runner = *std::move(runner)});
    else
      bench.results.add(Trouble{measure, program.name, floor.name, error_text(runner.error())});
  }
  run_turns(bench, lanes, plan_of(bench));
  add_rows(bench, measure, program.name, lanes);
}

struct Price {
  std::string name;
  std::function<int()> before_exec;
};

/// Unshared in the child, which then becomes the program; of a pid or time namespace that is its
/// making alone: only a further fork would be in it.
Price unshared(const char* name, int flags) {
  return {name, [flags] { return ::unshare(flags) == 0 ? 0 : 125; }};
}

int load_filter(const CompiledPolicy& policy) {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return 125;
  // An array of struct sock_filter, as the header says.
  const auto* filter = reinterpret_cast<const sock_filter*>(policy.instructions.data());
  const auto count = static_cast<std::uint32_t>(policy.instructions.size());
  return raw::load_filter(filter, count, 0) == 0 ? 0 : 125;
}

std::vector<Price> prices() {
  std::vector<Price> all = {
      {"bare", {}},
      unshared("user namespace", CLONE_NEWUSER),
      unshared("mount namespace", CLONE_NEWNS),
      unshared("pid namespace", CLONE_NEWPID),
      unshared("network namespace", CLONE_NEWNET),
      unshared("ipc namespace", CLONE_NEWIPC),
      unshared("uts namespace", CLONE_NEWUTS),
      unshared("cgroup namespace", CLONE_NEWCGROUP),
      unshared("time namespace", CLONE_NEWTIME),
      unshared("all namespaces", CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET |
                                     CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP |
                                     CLONE_NEWTIME)};
  all.push_back(
      {"seccomp filter", [policy = default_compiled_policy()] { return load_filter(policy); }});
  return all;
}

void measure_kernel(Bench& bench) {
  const Program program = program_named("bare_c");
  std::vector<Lane> lanes;
  for (const Price& price : prices())
    lanes.push_back(
        {.name = price.name, .runner = make_vfork_runner(program, 1, price.before_exec)});
  run_turns(bench, lanes, plan_of(bench));
  add_rows(bench, "kernel_protections", program.name, lanes);
}

}  // namespace

void leave_out_protections(PoolConfig& config) {
  const Variant none = none_of(variants());
  config.testing_without = none.without;
  none.change(config);
}

void register_pool_protections(Bench& bench) {
  register_measure(bench, "protections/pool", [&bench] { measure_pool(bench); });
}

void register_kernel_protections(Bench& bench) {
  register_measure(bench, "protections/kernel", [&bench] { measure_kernel(bench); });
}

}  // namespace hatchery::bench
