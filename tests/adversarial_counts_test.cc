// C: processes, descriptors, and all else that is counted.
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/adversarial.h"
#include "tests/slowness.h"

namespace hatchery::testing {
namespace {

using protocol::kWithoutFilter;
using protocol::kWithoutIdChange;
using protocol::kWithoutKillAll;
using protocol::kWithoutRlimits;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using ::testing::Truly;

const ReportMatcher kHitTheLimit =
    Truly([](const Report& report) { return report.process_limit_hit == true; });

/// Asks for 20 of one kind with room for eight processes.
Attack crowds(std::string name, std::string source, std::string does, const std::string& kind) {
  return {.name = std::move(name),
          .source = std::move(source),
          .does = std::move(does),
          .answer = "EAGAIN after seven, and the report says so",
          .layer = "pids of the job's cgroup",
          .job = payload("crowd", {kind, "20"}, {.processes = 8}),
          .gets = Both(Prints("7 EAGAIN"), kHitTheLimit),
          .control = with(
              "the limit on processes",
              [](PoolConfig&, JobSpec& spec) { spec.limits.processes = 64; }, Prints("20 all"))};
}

Attack bombs(std::string name, std::string source, std::string does, const std::string& kind) {
  return {.name = std::move(name),
          .source = std::move(source),
          .does = std::move(does),
          .answer = "time limit; the process limit was hit; the next job is alone",
          .layer = "pids and CPU time of the job's cgroup, kill of all processes",
          .job = payload("crowd", {"bomb", kind},
                         {.cpu_time = milliseconds(100) * slowness(), .processes = 24}),
          .gets = Both(Ends(Outcome::kTimeLimit), kHitTheLimit),
          .control = with(
              "the limit on CPU time",
              [](PoolConfig&, JobSpec& spec) {
                spec.limits.cpu_time = seconds(60);
                spec.limits.wall_time = milliseconds(100);
              },
              Ends(Outcome::kWallLimit)),
          // What many processes leave to be freed late can't be the next job's memory: then the
          // slot is replaced.
          .may_cost_the_slot = true};
}

std::vector<Attack> processes() {
  const std::string alone = "0";
  return {
      crowds("ManyForks", "C34", "forks 20 times", "fork"),
      crowds("ManyClones", "C34", "clones 20 that share its memory", "clone"),
      crowds("ManyThreads", "C35", "starts 20 threads", "thread"),
      crowds("ManyZombies", "own", "leaves 20 dead children unreaped", "zombie"),
      {.name = "Clone3HidesItsFlags",
       .source = "C34",
       .does = "forks by clone3, whose flags no filter sees",
       .answer = "ENOSYS",
       .layer = "seccomp filter",
       .job = payload("crowd", {"clone3", "1"}),
       .gets = Prints("0 ENOSYS"),
       .control = without(kWithoutFilter, "filter", Prints("1 all"))},
      bombs("ForkBomb", "C34", "forks, and so do its children", "fork"),
      bombs("VforkBomb", "C34", "vforks in vforked children", "vfork"),
      bombs("ThreadBomb", "C35", "starts threads for ever", "thread"),
      {.name = "DaemonHoldsStdout",
       .source = "C36",
       .does = "leaves a daemon in a session of its own that keeps stdout open",
       .answer = "accepted at once; the next job is alone",
       .layer = "kill of all processes by the zygote",
       .job = payload("crowd", {"daemon"}),
       .gets = Prints(alone),
       .control = without(kWithoutKillAll, "kill of all processes", Prints(Not(alone))),
       .play = processes_after},
      {.name = "DaemonForksFasterThanItIsKilled",
       .source = "C37",
       .does = "leaves a daemon that is another process at every moment",
       .answer = "accepted; the next job is alone",
       .layer = "kill of all processes by the zygote",
       .job = payload("crowd", {"respawn"}, {.cpu_time = seconds(60)}),
       .gets = Prints(alone),
       .control = without(kWithoutKillAll, "kill of all processes", Prints(Not(alone))),
       .play = processes_after},
      {.name = "NameWithControlCharacters",
       .source = "C43",
       .does = "calls itself \") R 1\\n\\033[2J\"",
       .answer = "accepted, with every figure",
       .layer = "nothing of ours parses names",
       .job = payload("crowd", {"name"}),
       .gets = Both(Ends(Outcome::kAccepted), Truly([](const Report& report) {
                      return report.cpu_time && report.memory_peak_bytes && report.minor_faults;
                    })),
       .control = no_control("nothing is refused")},
  };
}

/// Asks for `tried` of a kind; gets `some`.
Attack counts(std::string name, std::string source, std::string does, const std::string& kind,
              int tried, const std::string& some, std::string layer, Control control) {
  return {.name = std::move(name),
          .source = std::move(source),
          .does = std::move(does),
          .answer = some,
          .layer = std::move(layer),
          .job = payload("crowd", {kind, std::to_string(tried)}, {.open_files = 64}),
          .gets = Prints(some),
          .control = std::move(control)};
}

Control with_files(const std::string& all) {
  return with(
      "the limit on open files", [](PoolConfig&, JobSpec& spec) { spec.limits.open_files = 1024; },
      Prints(all));
}

Control without_rlimits(const std::string& all) {
  return without(kWithoutRlimits, "fixed rlimits", Prints(all));
}

/// The job runs beside another slot's, which has taken all that it can get and holds it.
Report beside_holder(Pool& pool, JobSpec spec) {
  int started[2];
  HATCHERY_CHECK(::pipe2(started, O_CLOEXEC) == 0);
  const UniqueFd read_end(started[0]);
  UniqueFd write_end(started[1]);
  JobSpec holder = spec;
  holder.args = {spec.args[0], "hold", spec.args.at(1), spec.args.at(2)};
  holder.fds[3] = CallerFdStream{write_end.get()};
  const Result<JobTicket> ticket = pool.submit(std::move(holder), [](const Report&) {});
  HATCHERY_CHECK(ticket.has_value());
  write_end.reset();
  char byte = 0;
  EXPECT_EQ(::read(read_end.get(), &byte, 1), 1) << "the holder has ended";
  Result<std::future<Report>> future = pool.submit(std::move(spec));
  HATCHERY_CHECK(future.has_value());
  Report report = future->get();
  pool.cancel(*ticket);
  pool.drain();
  await_parked(pool);
  return report;
}

Attack shares(std::string name, std::string does, const std::string& kind) {
  return {.name = std::move(name),
          .source = "C41",
          .does = std::move(does),
          .answer = "some: the other slot has not taken them",
          .layer = "user namespace made by the slot's own uid",
          .job = payload("crowd", {kind, "400"}),
          .gets = Prints(Not(StartsWith("0 "))),
          .control =
              without(protocol::kWithoutOwnCounts, "a count of its own", Prints(StartsWith("0 "))),
          .prepare = two_slots,
          .play = beside_holder,
          // What an ordinary user's slots have counts for the user as well, who made the namespace
          // above theirs (namespaces(7), "/proc/sys/user").
          .needs = "host_root"};
}

std::vector<Attack> objects() {
  return {
      counts("OpensUntilItFails", "C39", "opens 500 files", "open", 500, "61 EMFILE",
             "RLIMIT_NOFILE", with_files("500 all")),
      counts("EventDescriptors", "own", "makes 500 event descriptors", "epoll", 500, "61 EMFILE",
             "RLIMIT_NOFILE", with_files("500 all")),
      counts("TimerDescriptors", "C40", "makes 500 timer descriptors", "timerfd", 500, "61 EMFILE",
             "RLIMIT_NOFILE", with_files("500 all")),
      counts("DescriptorsInARing", "C39", "sends sockets to themselves and closes them", "rights",
             500, "33 ETOOMANYREFS", "count of descriptors in flight", with_files("500 all")),
      counts("Timers", "C40", "makes 5,000 timers", "timer", 5000, "4096 EAGAIN",
             "RLIMIT_SIGPENDING", without_rlimits("5000 all")),
      counts("QueuedSignals", "C41", "queues 5,000 signals to itself", "signal", 5000,
             "4096 EAGAIN", "RLIMIT_SIGPENDING", without_rlimits("5000 all")),
      counts("Semaphores", "C40", "makes 2,000 semaphores, and leaves them", "sem", 2000,
             "2000 all", "IPC namespace of the job's own, its memory",
             no_control("nothing is refused; the fingerprint of the next job has none")),
      shares("InotifyInstancesOfAll", "makes inotify instances beside one that made all it can",
             "inotify"),
      shares("MessageQueuesOfAll", "makes message queues beside one that made all it can", "mq"),
      {.name = "InotifyWatches",
       .source = "C40",
       .does = "watches 30,000 files",
       .answer = "memory limit",
       .layer = "memory of the job's cgroup",
       // Each watch makes the kernel look for memory: seconds of it, under emulation a minute.
       .job = payload("crowd", {"watches", "30000"},
                      {.cpu_time = seconds(30),
                       .wall_time = seconds(60) * slowness(),
                       .memory_bytes = 16 * kMiB}),
       .gets = EndsOutOfMemory(),
       .control = with(
           "the memory limit",
           [](PoolConfig&, JobSpec& spec) { spec.limits.memory_bytes = 256 * kMiB; },
           Prints("30000 all"))},
      {.name = "Keys",
       .source = "C40",
       .does = "adds a key",
       .answer = "EPERM before anything is read",
       .layer = "seccomp filter",
       .job = payload("crowd", {"key"}),
       .gets = Prints("add_key EPERM\nkeyctl EPERM"),
       .control = without(kWithoutFilter, "filter", Prints(Not(HasSubstr("EPERM"))))},
      {.name = "NestedCgroups",
       .source = "C42",
       .does = "makes a control group",
       .answer = "ENOENT: there is no cgroup filesystem",
       .layer = "mount namespace",
       .job = payload("crowd", {"mkdir", "/sys/fs/cgroup/nested"}),
       .gets = Prints("mkdir ENOENT"),
       .control = with(
           "the absence: the host's is bound",
           [](PoolConfig& config, JobSpec&) {
             config.profiles.front().binds.push_back(
                 {.source = "/sys/fs/cgroup", .target = "/sys/fs/cgroup"});
           },
           Prints("mkdir EROFS"))},
      {.name = "ObjectsOfThePreviousJob",
       .source = "C40",
       .does = "looks for a segment and queues that the job before has left",
       .answer = "none",
       .layer = "IPC namespace of the job's own",
       .job = payload("hoard", {"ipc", "find"}),
       .gets = Prints("- - -"),
       .control =
           without(protocol::kWithoutIpcNamespace, "IPC namespace", Prints(StartsWith("shm msg"))),
       .play =
           [](Pool& pool, JobSpec spec) {
             auto first = pool.submit(payload("hoard", {"ipc", "leave"}));
             HATCHERY_CHECK(first.has_value());
             EXPECT_THAT(first->get(), Prints(HasSubstr("shm done\nmsg done")));
             auto second = pool.submit(std::move(spec));
             HATCHERY_CHECK(second.has_value());
             return second->get();
           }},
  };
}

Attack on_zygote(std::string name, std::string does, const std::string& what) {
  return {.name = std::move(name),
          .source = "A9",
          .does = std::move(does),
          .answer = "EPERM",
          .layer = "host id of the job's own",
          .job = payload("crowd", {"init", what}),
          .gets = Prints(what + " EPERM"),
          .control = without(kWithoutIdChange | protocol::kWithoutCapabilityDrop,
                             "an id of its own beside the zygote's, and fewer capabilities",
                             Prints(what + " done"))};
}

/// Raises a limit to one above what it is.
Attack raises(std::string name, const std::string& what, int resource, std::uint64_t value,
              std::function<void(Limits&, std::uint64_t)> limit) {
  Attack attack{.name = std::move(name),
                .source = "own",
                .does = "raises its " + what,
                .answer = "EPERM",
                .layer = "hard limit; no capability of the host",
                .job = payload("crowd", {"raise", std::to_string(resource), std::to_string(value)}),
                .gets = Prints("raise EPERM"),
                .control = without(kWithoutRlimits, "fixed rlimits", Prints("raise done"))};
  if (!limit) return attack;
  limit(attack.job.limits, value - 1);
  attack.control = with(
      "the limit, by one",
      [limit, value](PoolConfig&, JobSpec& spec) { limit(spec.limits, value); },
      Prints("raise done"));
  return attack;
}

std::vector<Attack> others() {
  return {
      on_zygote("KillsTheZygote", "sends the zygote SIGKILL", "kill"),
      on_zygote("StopsTheZygote", "sends the zygote SIGSTOP", "stop"),
      on_zygote("SignalsAThreadOfTheZygote", "signals the zygote by tgkill", "tgkill"),
      on_zygote("SignalsTheZygoteByPidfd", "signals the zygote by pidfd", "pidfd"),
      on_zygote("ReadsTheZygotesLimits", "reads the zygote's limits", "limits"),
      on_zygote("PinsTheZygote", "sets the zygote's CPUs", "affinity"),
  };
}

std::vector<Attack> limits() {
  return {
      raises("RaisesOpenFiles", "RLIMIT_NOFILE", RLIMIT_NOFILE, 65,
             [](Limits& l, std::uint64_t v) { l.open_files = static_cast<std::uint32_t>(v); }),
      raises("RaisesFileSize", "RLIMIT_FSIZE", RLIMIT_FSIZE, 4 * kMiB + 1,
             [](Limits& l, std::uint64_t v) { l.file_bytes = v; }),
      raises("RaisesStack", "RLIMIT_STACK", RLIMIT_STACK, 4 * kMiB + 1,
             [](Limits& l, std::uint64_t v) { l.stack_bytes = v; }),
      raises("RaisesAddressSpace", "RLIMIT_AS", RLIMIT_AS, 64 * kMiB + 1,
             [](Limits& l, std::uint64_t v) { l.address_space_bytes = v; }),
      raises("RaisesLockedMemory", "RLIMIT_MEMLOCK", RLIMIT_MEMLOCK, 65537, {}),
      raises("RaisesPendingSignals", "RLIMIT_SIGPENDING", RLIMIT_SIGPENDING, 4097, {}),
      {.name = "RaisesCoreSize",
       .source = "own",
       .does = "sets its RLIMIT_CORE to 0, which would let a piped core_pattern run",
       .answer = "EPERM",
       .layer = "seccomp filter",
       .job = payload("crowd", {"raise", std::to_string(RLIMIT_CORE), "0"}),
       .gets = Prints("raise EPERM"),
       .control = without(kWithoutFilter, "filter", Prints("raise done"))},
  };
}

HATCHERY_ATTACKS(Counts) {
  std::vector<Attack> all;
  for (const auto& part : {processes, objects, others, limits})
    for (Attack& attack : part()) all.push_back(std::move(attack));
  return all;
}

}  // namespace
}  // namespace hatchery::testing
