// G: channels between two jobs: in two slots at the same time, or one after the other in one.
#include <fcntl.h>
#include <unistd.h>

#include "core/fd.h"
#include "tests/adversarial.h"

namespace hatchery::testing {
namespace {

using namespace protocol;
using ::testing::AnyOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

/// The job is the one that looks; beside it, one that holds. Its text goes after the looker's.
Report at_the_same_time(Pool& pool, JobSpec looker) {
  JobSpec holder = looker;
  holder.args[1] = "hold";
  int started[2], go[2];
  HATCHERY_CHECK(::pipe2(started, O_CLOEXEC) == 0 && ::pipe2(go, O_CLOEXEC) == 0);
  const UniqueFd started_read(started[0]), go_read(go[0]), go_write(go[1]);
  UniqueFd started_write(started[1]);
  holder.fds[3] = CallerFdStream{started[1]};
  holder.fds[4] = CallerFdStream{go[0]};
  std::future<Report> held = pool.submit(std::move(holder)).value();
  started_write.reset();  // A holder that fails is an end of file.
  char byte = 0;
  EXPECT_EQ(::read(started_read.get(), &byte, 1), 1);
  Report seen = pool.submit(std::move(looker)).value().get();
  EXPECT_EQ(::write(go_write.get(), "x", 1), 1);
  const Report end = held.get();
  if (!seen.outputs.empty()) seen.outputs.front().bytes += output_of(end);
  return seen;
}

/// One job leaves it, the next looks.
Report one_after_the_other(Pool& pool, JobSpec looker) {
  JobSpec leaver = looker;
  leaver.args[1] = "leave";
  const Report left = pool.submit(std::move(leaver)).value().get();
  Report seen = pool.submit(std::move(looker)).value().get();
  if (!seen.outputs.empty()) seen.outputs.front().bytes += output_of(left);
  return seen;
}

/// A word that no other test process uses.
std::string word() { return std::to_string(20000 + ::getpid() % 40000); }

struct Channel {
  std::string name;
  std::string source;
  std::string does;
  std::string which;
  std::string what;
  std::string layer;
  std::uint32_t without;
};

Attack channel(const Channel& it, bool concurrent, const std::string& seen,
               const std::string& control_seen) {
  return {.name = it.name,
          .source = it.source,
          .does = it.does,
          .answer = seen == "nothing" ? "nothing is seen" : "nothing is found",
          .layer = it.layer,
          .job = payload("channel", {"look", it.which, it.what}),
          // "left", or the errno of who tried to leave it.
          .gets = Prints(::testing::AllOf(AnyOf(HasSubstr("left"), EndsWith("EPERM")),
                                          Not(HasSubstr(control_seen)))),
          .control = without(it.without, it.layer, Prints(HasSubstr(control_seen))),
          .prepare = concurrent ? two_slots : nullptr,
          .play = concurrent ? at_the_same_time : one_after_the_other};
}
Attack beside(const Channel& it) { return channel(it, true, "", "found"); }
Attack watched(const Channel& it) { return channel(it, true, "nothing", "seen"); }
/// What a user namespace can't give: the kernel opens no device on a filesystem mounted in one.
Attack by_host_root(Attack attack) {
  attack.needs = "host_root";
  return attack;
}
Attack after(const Channel& it) { return channel(it, false, "", "found"); }
Attack group(const std::string& name, const std::string& does, const std::string& which) {
  return {.name = name,
          .source = "own",
          .does = does,
          .answer = "ENODEV, and the next job sees none move",
          .layer = "filter",
          .job = payload("channel", {"look", which, word()}),
          .gets = Prints(::testing::AllOf(StartsWith("none"), HasSubstr("ENODEV"))),
          // Not always "found": on a slow host the report comes before the reset has looked.
          .control = without(kWithoutFilter, "filter", Prints(HasSubstr("left"))),
          .play = one_after_the_other};
}

HATCHERY_ATTACKS(Channels) {
  constexpr std::uint32_t kIpc = kWithoutIpcNamespace;
  constexpr std::uint32_t kNet = kWithoutNetworkNamespace;
  constexpr std::uint32_t kInodes = kWithoutOwnInodes;
  return {
      beside({"SharedMemory", "G101", "meets a neighbour in a System V segment", "shm", word(),
              "ipc namespace", kIpc}),
      beside({"Semaphores", "G101", "meets a neighbour in a System V semaphore", "sem", word(),
              "ipc namespace", kIpc}),
      beside({"MessageQueues", "G101", "meets a neighbour in a System V queue", "msg", word(),
              "ipc namespace", kIpc}),
      beside({"PosixQueues", "G101", "meets a neighbour in a POSIX queue", "mq", word(),
              "ipc namespace", kIpc}),
      beside({"AbstractSockets", "G100", "meets a neighbour at an abstract socket", "unix", word(),
              "network namespace", kNet}),
      beside({"LoopbackPorts", "G100", "meets a neighbour at a port of 127.0.0.1", "tcp", word(),
              "network namespace", kNet}),
      beside({"BoundPorts", "own", "tells a neighbour by taking a UDP port", "udp", word(),
              "network namespace", kNet}),
      beside({"LocksOnPrograms", "G102", "tells a neighbour by flock on a program of /usr", "flock",
              "/usr/bin/true", "inodes of the slot's own", kInodes}),
      beside({"LocksOnDirectories", "G102", "tells a neighbour by flock on /usr", "flock", "/usr",
              "inodes of the slot's own", kInodes}),
      beside({"LocksOnEtc", "G102", "tells a neighbour by flock on a bound file of /etc", "flock",
              "/etc/services", "inodes of the slot's own", kInodes}),
      by_host_root(
          beside({"LocksOnDevices", "G102", "tells a neighbour by a record lock on /dev/null",
                  "record", "/dev/null", "inodes of the slot's own", kInodes})),
      watched({"WatchedPrograms", "G104", "sees by inotify what a neighbour starts", "inotify",
               "/usr/bin/true", "inodes of the slot's own", kInodes}),
      watched({"WatchedDirectories", "G104", "sees by dnotify what a neighbour lists", "dnotify",
               "/usr/include", "inodes of the slot's own", kInodes}),
      by_host_root(watched({"WatchedDevices", "G104", "sees by inotify who reads /dev/zero",
                            "inotify", "/dev/zero", "inodes of the slot's own", kInodes})),
      after({"KeysLeft", "G103", "leaves a key in its user's keyring for the next job", "key",
             word(), "seccomp filter", kWithoutFilter}),
      after({"SegmentLeft", "G106", "leaves a System V segment for the next job", "shm", word(),
             "ipc namespace", kIpc}),
      after({"QueueLeft", "G106", "leaves a POSIX queue for the next job", "mq", word(),
             "ipc namespace", kIpc}),
      after({"NumbersOfIpc", "own",
             "moves the numbers of System V objects to come by some that are gone again", "ids",
             word(), "ipc namespace", kIpc}),
      after({"WaitingConnections", "G106", "leaves a connection in TIME_WAIT for the next job",
             "time_wait", word(), "reset", kWithoutReset}),
      after({"FlowLabels", "own", "leaves an IPv6 flow label, which moves no counter", "label",
             word(), "reset", kWithoutReset}),
      group("LeavesAGroup", "leaves an IPv4 multicast group as it ends, which moves counters later",
            "group"),
      group("LeavesAGroupOfIPv6", "the same in IPv6", "group6"),
      after({"ModeOfTheWorkDirectory", "G106",
             "leaves mode and attributes on /w itself for the next job", "directory", word(),
             "reset", kWithoutReset}),
      after({"InodeNumbers", "own", "moves the numbers of files to come by files without a name",
             "numbers", word(), "reset", kWithoutReset}),
      after({"DaemonLeft", "G107", "leaves a process for the next job", "daemon", word(),
             "kill of all processes", kWithoutKillAll}),
      {.name = "SocketInItsOwnQueue",
       .source = "C39",
       .does = "leaves a listening socket that only its own queue holds",
       .answer = "the next job finds none",
       .layer = "reset: a network namespace with sockets left is replaced",
       .job = payload("channel", {"look", "cycle", word()}),
       .gets = Prints(StartsWith("none")),
       .control = no_control("the kernel's collector may be faster than the next job"),
       .play = one_after_the_other},
  };
}

}  // namespace
}  // namespace hatchery::testing
