// F: privilege: capabilities one by one, other identities, the slot's PID 1, its namespaces.
#include <fstream>

#include "tests/adversarial.h"

namespace hatchery::testing {
namespace {

using namespace protocol;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::uint32_t kPrivileged = kWithoutCapabilityDrop | kWithoutIdChange;

/// What takes a capability (tests/payloads/capability.c): refused with `errnum`, done with them.
Attack capable(const std::string& name, const std::string& does, const std::string& call,
               const std::string& errnum = "EPERM", std::uint32_t also = 0) {
  return {.name = name,
          .source = "F90",
          .does = does,
          .answer = errnum,
          .layer = "no capabilities, ids of its own",
          .job = payload("capability", {call}),
          .gets = Prints(errnum),
          .control = without(kPrivileged | also, also == 0 ? "both" : "both, and the filter",
                             Prints(Not(errnum)))};
}

/// What the job may do only to processes of its own id; PID 1 is the zygote.
Attack on_init(const std::string& name, const std::string& does, const std::string& call) {
  return {.name = name,
          .source = "F95",
          .does = does,
          .answer = "EPERM",
          .layer = "ids of its own, no capabilities",
          .job = payload("capability", {call}),
          .gets = Prints("EPERM"),
          .control = without(kPrivileged, "both", Prints("ok"))};
}

HATCHERY_ATTACKS(Privilege) {
  return {
      {.name = "UnshareUserNamespace",
       .source = "F82",
       .does = "unshares a user namespace",
       .answer = "EPERM",
       .layer = "seccomp filter",
       .job = sh("unshare -U echo inside"),
       .gets = Prints(Not(HasSubstr("inside"))),
       .control = without(kWithoutFilter | kWithoutUserNamespaceLimit, "filter and namespace limit",
                          Prints("inside"))},
      {.name = "NestedUserNamespaceUnfiltered",
       .source = "F83",
       .does = "unshares user and network namespace, in a profile without filter",
       .answer = "no namespace left",
       .layer = "max_user_namespaces 0",
       .job = sh("unshare -Un echo inside"),
       .gets = Prints(Not(HasSubstr("inside"))),
       .control = without(kWithoutUserNamespaceLimit, "the namespace limit", Prints("inside")),
       // The limit must hold alone.
       .play =
           [](Pool& pool, JobSpec spec) {
             PoolConfig config = config_beside(pool, "-bare");
             config.testing_without |= kWithoutFilter;
             const auto bare = Pool::create(config);
             HATCHERY_CHECK(bare.has_value());
             return (*bare)->submit(std::move(spec)).value().get();
           }},
      capable("ChangeOwner", "gives a file to the slot's root", "chown"),
      capable("ReadWithoutPermission", "reads a file of mode 000", "dac_override", "EACCES"),
      capable("ChangeModeOfOthers", "changes the mode of /tmp", "fowner"),
      capable("BecomeRoot", "calls setresuid(0)", "setuid"),
      capable("JoinRootsGroup", "calls setresgid(0)", "setgid"),
      capable("JoinGroups", "calls setgroups", "setgroups"),
      capable("RaiseCapabilities", "raises CAP_SYS_ADMIN by capset", "capset"),
      capable("RaiseAmbientCapability", "raises CAP_NET_RAW by PR_CAP_AMBIENT", "ambient"),
      capable("BindLowPort", "binds port 80", "bind_service", "EACCES"),
      capable("MarkPackets", "sets SO_MARK", "mark"),
      capable("TakeLoopbackDown", "takes lo down", "interface"),
      capable("CapabilityOfAFile", "gives its file CAP_NET_RAW", "setfcap"),
      capable("HostnameUnfiltered", "sets the host's name, by a filter that lets it", "hostname",
              "EPERM", kWithoutFilter),
      on_init("SignalInit", "sends PID 1 each signal there is", "kill_init"),
      on_init("SignalInitByPidfd", "sends PID 1 a signal by its pidfd", "pidfd_init"),
      on_init("QueueSignalsToInit", "queues a signal to PID 1", "queue_init"),
      on_init("SlowInitDown", "gives PID 1 the lowest priority", "nice_init"),
      on_init("PinInit", "pins PID 1 to one CPU", "pin_init"),
      on_init("LimitInit", "leaves PID 1 three descriptors by prlimit", "limit_init"),
      on_init("RescheduleInit", "makes PID 1 run when nothing else does", "schedule_init"),
      on_init("ThrottleInit", "gives PID 1 the lowest I/O priority", "ioprio_init"),
      {.name = "ContinueInit",
       .source = "own",
       .does = "sends PID 1 SIGCONT, which any id may send within a session",
       .answer = "EPERM",
       .layer = "session of its own, ids of its own",
       .job = payload("capability", {"continue_init"}),
       .gets = Prints("EPERM"),
       .control = without(kWithoutSession, "the session", Prints("ok"))},
      {.name = "LookIntoInit",
       .source = "F84",
       .does = "opens memory, environment, descriptors and root of PID 1 below /proc/1",
       .answer = "ENOENT",
       .layer = "hidepid; ids of its own",
       .job = payload("capability", {"proc_init"}),
       .gets = Prints("ENOENT"),
       .control = without(kWithoutHidepid, "hidepid", Prints(AnyOf("EACCES", "EPERM")))},
      {.name = "NamespaceOfInitByPidfd",
       .source = "own",
       .does = "asks PID 1's pidfd for its network namespace",
       .answer = "EACCES, or ENOTTY before 6.11",
       .layer = "ids of its own; the zygote is not dumpable",
       .job = payload("capability", {"namespace_init"}),
       .gets = Prints(AnyOf("EACCES", "EPERM", "ENOTTY")),
       .control = no_control("the zygote keeps what makes it undumpable, the memory of the "
                             "launcher's user namespace, whatever is left out")},
      {.name = "WriteNetworkSysctl",
       .source = "E77",
       .does = "lets itself bind low ports by its namespace's sysctl",
       .answer = "EACCES",
       .layer = "read-only /proc/sys; ids of its own",
       .job = payload("capability", {"port_sysctl"}),
       .gets = Prints(Not("ok")),
       .control = without(kPrivileged | kWithoutReadOnly, "both", Prints("ok"))},
      {.name = "RaiseItsLimits",
       .source = "F91",
       .does = "raises a hard limit by one",
       .answer = "EPERM",
       .layer = "the kernel: rlimits only fall",
       .job = payload("capability", {"raise_limit"}, {.open_files = 64}),
       .gets = Prints("EPERM"),
       .control = no_control("takes CAP_SYS_RESOURCE of the host, which no slot ever has")},
      {.name = "ShiftTime",
       .source = "own",
       .does = "moves the monotonic clock of its time namespace",
       .answer = "denied",
       .layer = "no capabilities; offsets freeze with the first process",
       .job = payload("capability", {"time_offset"}),
       .gets = Prints(Not("ok")),
       .control = no_control("the kernel itself refuses once a process lives in it")},
      {.name = "MapRoot",
       .source = "F90",
       .does = "writes an id map for its user namespace",
       .answer = "EPERM",
       .layer = "the kernel: a map is written once",
       .job = payload("capability", {"uid_map"}),
       .gets = Prints(Not("ok")),
       .control = no_control("no process of the slot, not even its root, may write it again")},
      {.name = "ForgeMessagesOfTheZygote",
       .source = "F96",
       .does = "looks for the zygote's socket among all its descriptors and forges the job's end",
       .answer = "finds none",
       .layer = "descriptors closed at exec",
       .job = python("import os, socket\n"
                     "found = 0\n"
                     "for fd in range(3, 4096):\n"
                     "  try: os.fstat(fd)\n"
                     "  except OSError: continue\n"
                     "  try:\n"
                     "    socket.socket(fileno=os.dup(fd)).send(b'\\5' + b'\\0' * 103)\n"
                     "    found += 1\n"
                     "  except OSError: pass\n"
                     "print('sockets:', found)"),
       .gets = Prints("sockets: 0"),
       .control = without(kWithoutDescriptorClose, "closing them", Not(Prints("sockets: 0")))},
      {.name = "SharedPageOfTheZygote",
       .source = "own",
       .does = "looks for the page that the zygote shares with its worker",
       .answer = "no shared memory",
       .layer = "exec",
       .job = sh("grep -c 'rw-s' /proc/self/maps"),
       .gets = Prints("0"),
       .control = no_control("exec itself unmaps it")},
      {.name = "NamesAndNewlines",
       .source = "C43",
       .does = "calls itself \") R 1\", with newlines and escapes",
       .answer = "accepted, CPU time measured",
       .layer = "nothing parses /proc/PID/stat",
       .job = python("import ctypes\n"
                     "ctypes.CDLL(None).prctl(15, b') R 1\\n\\x1b[2J', 0, 0, 0)\n"
                     "print('named')"),
       .gets = Both(Prints("named"), Ends(Outcome::kAccepted)),
       .control = no_control("no protection is needed")},
      {.name = "LabelOfItsOwn",
       .source = "F97",
       .does = "changes its security context by /proc/self/attr/exec",
       .answer = "denied",
       .layer = "SELinux policy",
       .job = sh("echo unconfined_u:unconfined_r:unconfined_t:s0 >/proc/self/attr/exec && "
                 "sh -c 'echo escaped'"),
       .gets = Prints(Not(HasSubstr("escaped"))),
       // As of every control's type, where SELinux is on: AttackTest::control().
       .control = without(kWithoutReadOnlyProc, "enforcing, for its type", Prints("escaped")),
       // The read-only /proc would answer first.
       .prepare =
           [](PoolConfig& config, JobSpec&) {
             config.profiles.front().selinux_type = "hatchery_job_t";
             config.testing_without = kWithoutReadOnlyProc;
           },
       .needs = "selinux"},
  };
}

}  // namespace
}  // namespace hatchery::testing
