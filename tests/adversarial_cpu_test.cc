// A: CPU and wall time.

#include "tests/adversarial.h"
#include "tests/slowness.h"

namespace hatchery::testing {
namespace {

using protocol::kWithoutFilter;
using protocol::kWithoutIdChange;
using protocol::kWithoutKillAll;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Truly;

const Limits kCpu40{.cpu_time = milliseconds(40), .wall_time = seconds(60)};

/// No limit on CPU time that matters; what never ends then meets the wall limit.
Control without_cpu_limit(Outcome outcome) {
  return with(
      "the limit on CPU time",
      [](PoolConfig&, JobSpec& spec) {
        spec.limits.cpu_time = seconds(60);
        if (spec.limits.wall_time == seconds(60) && spec.args.at(1) != "burn")
          spec.limits.wall_time.reset();
      },
      Ends(outcome));
}

Control endless_without_cpu_limit() {
  return with(
      "the limit on CPU time",
      [](PoolConfig&, JobSpec& spec) {
        spec.limits.cpu_time = seconds(60);
        spec.limits.wall_time = milliseconds(60);
      },
      Ends(Outcome::kWallLimit));
}

Control without_wall_limit(Outcome outcome = Outcome::kAccepted) {
  return with(
      "the limit on wall time",
      [](PoolConfig&, JobSpec& spec) { spec.limits.wall_time = seconds(60); }, Ends(outcome));
}

/// What uses CPU time in some odd way: a job that would end by itself, and one that would not.
Attack burns(const std::string& name, std::string source, std::string does, JobSpec job,
             bool endless = false) {
  job.limits = kCpu40;
  const bool vforks = job.args.back() == "vforks";
  return {.name = name,
          .source = std::move(source),
          .does = std::move(does),
          .answer = "time limit",
          .layer = "CPU time of the job's cgroup",
          .job = std::move(job),
          // Long before the wall limit of a minute, which would end it, too.
          .gets = Both(Ends(Outcome::kTimeLimit),
                       Truly([](const Report& report) { return report.cpu_time < seconds(30); })),
          .control = endless ? endless_without_cpu_limit() : without_cpu_limit(Outcome::kAccepted),
          // What thousands of processes leave to be freed late may cost it.
          .may_cost_the_slot = vforks};
}

Attack idles(std::string name, std::string source, std::string does, JobSpec job) {
  // An emulated machine takes 50 ms of CPU time for its start alone.
  job.limits.wall_time = milliseconds(300);
  return {.name = std::move(name),
          .source = std::move(source),
          .does = std::move(does),
          .answer = "wall limit, with hardly any CPU time",
          .layer = "wall clock of the pool",
          .job = std::move(job),
          .gets = Both(Ends(Outcome::kWallLimit), Truly([](const Report& report) {
                         return report.cpu_time < report.wall_time;
                       })),
          .control = without_wall_limit()};
}

/// What only the kernel's own rules refuse, to any job.
Attack asks(std::string name, std::string does, const std::string& what, const std::string& errnum,
            Control control) {
  return {.name = std::move(name),
          .source = "A12",
          .does = std::move(does),
          .answer = errnum,
          .layer = "user namespace, host ids",
          .job = payload("burn", {"ask", what}),
          .gets = Prints(what + ' ' + errnum),
          .control = std::move(control)};
}

Control as_zygote(const std::string& what) {
  return without(kWithoutIdChange | protocol::kWithoutCapabilityDrop,
                 "an id of its own beside the zygote's, and fewer capabilities",
                 Prints(what + " done"));
}

const char* const kNoCapability =
    "asks for a capability of the host, which nothing in a user namespace has";

/// Beside four that burn: in slots of their own, until it has ended.
Report beside_burners(Pool& pool, JobSpec spec) {
  std::vector<JobTicket> tickets;
  for (int i = 0; i < 4; ++i) {
    const Result<JobTicket> ticket =
        pool.submit(payload("burn", {"spin"}, {.cpu_time = seconds(60)}), [](const Report&) {});
    HATCHERY_CHECK(ticket.has_value());
    tickets.push_back(*ticket);
  }
  Result<std::future<Report>> future = pool.submit(std::move(spec));
  HATCHERY_CHECK(future.has_value());
  Report report = future->get();
  for (const JobTicket ticket : tickets) pool.cancel(ticket);
  pool.drain();
  await_parked(pool);
  return report;
}

std::vector<Attack> burning() {
  return {
      burns("InfiniteLoop", "A1", "loops for ever", payload("burn", {"spin"}), true),
      burns("ChildrenBurnWhileTheParentSleeps", "A3", "forks four that loop, and sleeps",
            payload("burn", {"children", "4"}), true),
      burns("ThreadsShareTheBurning", "A5", "loops in four threads",
            payload("burn", {"threads", "4"}), true),
      burns("EndsJustAboveTheLimit", "A6", "ends by itself when it has used 2 ms too many",
            payload("burn", {"burn", "42"})),
      burns("DeafToSignals", "A7", "ignores and blocks every signal, and loops",
            payload("burn", {"deaf"}), true),
      burns("SlicesShorterThanATick", "A11", "sleeps after each millisecond of work",
            payload("burn", {"slices", "60"})),
      burns("ProcessesShorterThanATick", "own", "works in a chain of processes of 2 ms each",
            payload("burn", {"chain", "40"})),
      burns("ThreadsShorterThanATick", "own", "works in one thread of 2 ms after the other",
            payload("burn", {"short-threads", "40"})),
      burns("WorkInTheKernel", "own", "lets the kernel work", payload("burn", {"kernel", "80"})),
      burns("YieldsAllTheTime", "own", "gives the CPU back after each call",
            payload("burn", {"yield", "80"})),
      burns("WorkInSignalHandlers", "own", "works in handlers of a timer that never stops",
            payload("burn", {"handlers"}), true),
      burns("WorkInAVforkedChild", "A15", "loops in a vforked child, and can't be interrupted",
            payload("burn", {"vfork", "0"}), true),
      burns("VforksForEver", "A15", "vforks children that end at once, for ever",
            payload("burn", {"vforks"}), true),
      burns("BurningUnderRlimitTricks", "own", "has raised its RLIMIT_CPU before it loops",
            sh("ulimit -t unlimited; while :; do :; done"), true),
  };
}

std::vector<Attack> waiting() {
  return {
      idles("SleepsForEver", "A2", "sleeps", payload("burn", {"nap", "1000"})),
      idles("StopsItself", "A10", "stops itself", payload("burn", {"stop"})),
      idles("StopsItsChild", "A10", "waits for a child that is stopped",
            payload("burn", {"stop-child"})),
      idles("WaitsForAVforkedChild", "C38", "sleeps in a vforked child, and can't be interrupted",
            payload("burn", {"vfork", "1000"})),
  };
}

std::vector<Attack> asking() {
  return {
      asks("NiceBelowZero", "asks for a nice value of -1", "nice", "EACCES",
           no_control(kNoCapability)),
      asks("RealTimeClass", "asks for SCHED_FIFO", "fifo", "EPERM", no_control(kNoCapability)),
      asks("DeadlineClass", "asks for SCHED_DEADLINE", "deadline", "EPERM",
           no_control(kNoCapability)),
      asks("RealTimeDiskClass", "asks for real-time disk access", "io", "EPERM",
           no_control(kNoCapability)),
      asks("NiceOfTheZygote", "slows the zygote", "nice-of-init", "EPERM",
           as_zygote("nice-of-init")),
      asks("ClassOfTheZygote", "makes the zygote idle", "class-of-init", "EPERM",
           as_zygote("class-of-init")),
      asks("CpusOfTheZygote", "moves the zygote to one CPU", "cpus-of-init", "EPERM",
           as_zygote("cpus-of-init")),
      asks("DiskClassOfTheZygote", "makes the zygote's disk access idle", "io-of-init", "EPERM",
           as_zygote("io-of-init")),
      {.name = "IdleClassAndTheNextJob",
       .source = "A12",
       .does = "makes itself idle",
       .answer = "done, and the next job has the normal class",
       .layer = "a worker of its own for each job",
       .job = payload("burn", {"ask", "idle"}),
       .gets = Prints("idle done"),
       .control = no_control("nothing is refused; the fingerprint of the next job has the class")},
      {.name = "CoreOfItsOwn",
       .source = "own",
       .does = "asks for a core that nobody else may share",
       .answer = "EINVAL, as from a kernel without it",
       .layer = "seccomp filter",
       .job = payload("burn", {"ask", "core"}),
       .gets = Prints("core EINVAL"),
       .control = no_control("EINVAL too where the kernel lacks core scheduling")},
  };
}

std::vector<Attack> clocks() {
  return {
      {.name = "SetsTheClock",
       .source = "A14",
       .does = "sets and adjusts the clock",
       .answer = "EPERM before anything is read",
       .layer = "seccomp filter",
       .job = payload("burn", {"ask", "clock"}),
       .gets = Prints("clock_settime EPERM\nsettimeofday EPERM\nadjtimex EPERM"),
       .control = without(kWithoutFilter, "filter",
                          Prints("clock_settime EFAULT\nsettimeofday EFAULT\nadjtimex EFAULT"))},
      {.name = "ClockOfTheZygote",
       .source = "own",
       .does = "reads the zygote's CPU time, which grows with each job",
       .answer = "EINVAL, as if there were no such process",
       .layer = "seccomp filter",
       .job = payload("burn", {"ask", "clock-of-init"}),
       .gets = Prints("clock EINVAL\ntimer EINVAL"),
       .control = without(kWithoutFilter, "filter", Prints(HasSubstr("clock done")))},
      {.name = "NeighboursBurn",
       .source = "A16",
       .does = "uses 50 ms of CPU beside four that loop",
       .answer = "accepted: the neighbours' time is not its own",
       .layer = "CPU time of the job's cgroup",
       .job = payload("burn", {"burn", "50"},
                      {.cpu_time = milliseconds(150) * slowness(), .wall_time = seconds(60)}),
       .gets = Ends(Outcome::kAccepted),
       .control = with(
           "CPU time as the measure: wall time is",
           [](PoolConfig&, JobSpec& spec) { spec.limits.wall_time = milliseconds(50); },
           Ends(Outcome::kWallLimit)),
       .prepare =
           [](PoolConfig& config, JobSpec&) {
             config.profiles.front().slots_min = config.profiles.front().slots_max = 5;
           },
       .play = beside_burners},
      {.name = "MoreThanItsRate",
       .source = "A5",
       .does = "loops in four threads at a CPU rate of 0.2",
       .answer = "throttled",
       .layer = "bandwidth of the job's cgroup",
       .job = payload("burn", {"threads", "4"},
                      {.cpu_time = milliseconds(60), .wall_time = seconds(60), .cpu_rate = 0.2}),
       .gets = Both(Ends(Outcome::kTimeLimit), Truly([](const Report& report) {
                      return report.throttled_time > Nanoseconds(0);
                    })),
       .control = with(
           "the CPU rate", [](PoolConfig&, JobSpec& spec) { spec.limits.cpu_rate.reset(); },
           Truly([](const Report& report) { return report.throttled_time == Nanoseconds(0); }))},
      {.name = "LeavesItsCpuSet",
       .source = "A13",
       .does = "moves to a CPU that is not its own",
       .answer = "EINVAL",
       .layer = "cpuset",
       .job = payload("burn", {"ask", "cpu1"}, {.cpu_set = "0"}),
       .gets = Prints("cpu1 EINVAL"),
       .control = with(
           "the cpuset", [](PoolConfig&, JobSpec& spec) { spec.limits.cpu_set.reset(); },
           Prints("cpu1 done"))},
  };
}

std::vector<Attack> killing() {
  const char* const kFact = "nothing is refused: the test is of what the report says";
  return {
      {.name = "ChildBurnsAfterItsParentsEnd",
       .source = "A4",
       .does = "exits 0 while its child loops",
       .answer = "accepted; the next job is alone",
       .layer = "kill of all processes by the zygote",
       .job = payload("burn", {"orphan"}),
       .gets = Prints("0"),
       .control = without(kWithoutKillAll, "kill of all processes", Prints("1")),
       .play = processes_after},
      {.name = "KillsItself",
       .source = "A8",
       .does = "raises its own SIGKILL",
       .answer = "signalled, 9; no limit",
       .layer = "exit status from the zygote",
       .job = payload("burn", {"kill-self"}),
       .gets = Both(Ends(Outcome::kSignalled),
                    Truly([](const Report& report) { return report.signal == 9; })),
       .control = no_control(kFact)},
      {.name = "KillsItsGroup",
       .source = "own",
       .does = "sends SIGKILL to its process group",
       .answer = "signalled, 9; the slot lives on",
       .layer = "session of its own, PID 1",
       .job = payload("burn", {"kill-group"}),
       .gets = Both(Ends(Outcome::kSignalled),
                    Truly([](const Report& report) { return report.signal == 9; })),
       .control = no_control(kFact)},
      {.name = "KillsAllItCan",
       .source = "A9",
       .does = "sends SIGKILL to every process it may",
       .answer = "its own child dies, the slot lives on",
       .layer = "pid namespace, host ids",
       .job = payload("burn", {"kill-all"}),
       .gets = Prints("kill 0, child's signal 9"),
       .control = no_control("PID 1 can't be killed from within, whoever asks")},
  };
}

HATCHERY_ATTACKS(Cpu) {
  std::vector<Attack> all;
  for (const auto& part : {burning, waiting, asking, clocks, killing})
    for (Attack& attack : part()) all.push_back(std::move(attack));
  return all;
}

}  // namespace
}  // namespace hatchery::testing
