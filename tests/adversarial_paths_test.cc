// E: paths in the sandbox that lead to the host: masked files, /proc/sys, the programs of others,
// flags of mounts, working directories.
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <filesystem>

#include "tests/adversarial_host.h"

namespace hatchery::testing {
namespace {

using protocol::kWithoutDescriptorClose;
using protocol::kWithoutFilter;
using protocol::kWithoutHidepid;
using protocol::kWithoutIdChange;
using protocol::kWithoutMasks;
using protocol::kWithoutMountFlags;
using protocol::kWithoutNoNewPrivileges;
using protocol::kWithoutOwnInodes;
using protocol::kWithoutReadOnly;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

/// Files of the kernel: a mask is no regular file with bytes, nor a directory with entries.
Attack masked(const std::string& name, const std::string& what, const std::string& paths,
              const std::string& source = "E78") {
  return {.name = name,
          .source = source,
          .does = "looks at " + what,
          .answer = "nothing is there",
          .layer = "masked paths",
          .job = sh("for f in " + paths +
                    "; do if test -d $f; then ls -A $f; elif test -f $f; then "
                    "stat -c '%n %a' $f | grep -v ' 0$'; fi; done; :"),
          .gets = Prints(IsEmpty()),
          .control = without(kWithoutMasks, "masks", Prints(Not(IsEmpty())))};
}

/// /bound: a directory of the host that all may write, with a program and a file.
void bind_tool(PoolConfig& config, JobSpec&) {
  const std::string tool = host_file("tool", "", 0777);
  std::filesystem::copy_file(HATCHERY_PAYLOADS "/paths", tool,
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_EQ(::chmod(tool.c_str(), 0777), 0);
  host_file("file", "treasure\n", 0666);
  config.profiles.front().binds.push_back({.source = scratch(), .target = "/bound"});
}

/// Writes to a read-only bind.
Attack writes(const std::string& name, const std::string& does, const std::string& call,
              const std::string& allowed = "done", const std::string& source = "E76") {
  return {.name = name,
          .source = source,
          .does = does,
          .answer = "EROFS",
          .layer = "read-only bind",
          .job = payload("paths", {call}),
          .gets = Prints("EROFS"),
          .control = without(kWithoutReadOnly | kWithoutOwnInodes, "read-only (and overlay)",
                             Prints(allowed)),
          .prepare = bind_tool};
}

/// As the root of the slot, so that file permissions don't answer first.
/// The root's capabilities are his too.
Attack sets(const std::string& name, const std::string& file, const std::string& source = "E77") {
  constexpr std::uint32_t kRoot = kWithoutIdChange | protocol::kWithoutCapabilityDrop;
  return {.name = name,
          .source = source,
          .does = "writes " + file + " as the slot's root",
          .answer = "EROFS",
          .layer = "read-only /proc/sys",
          .job = payload("paths", {"rewrite", file}),
          .gets = Prints("EROFS"),
          .control =
              without(kRoot | kWithoutReadOnly,
                      "read-only /proc/sys (and change of ids, capability drop)", Prints("done")),
          .prepare = [](PoolConfig& config, JobSpec&) { config.testing_without = kRoot; }};
}

/// A look at the zygote by its directory in /proc.
Attack looks_at_zygote(const std::string& name, const std::string& what) {
  return {.name = name,
          .source = "E75",
          .does = "looks at /proc/1/" + what,
          .answer = "ENOENT",
          .layer = "hidepid",
          .job = payload("paths", {"open", "/proc/1/" + what}),
          .gets = Prints("ENOENT"),
          .control = without(kWithoutHidepid, "hidepid", Prints("EACCES"))};
}

/// A program in /bound that would gain rights: set-user-id of the slot's root.
void bind_set_id(PoolConfig& config, JobSpec& spec) {
  bind_tool(config, spec);
  const std::string tool = scratch() + "/tool";
  EXPECT_EQ(::chown(tool.c_str(), config.uid_base, config.uid_base), 0);
  EXPECT_EQ(::chmod(tool.c_str(), 04755), 0);
}

/// In each directory that a descriptor of the worker could be.
Report in_descriptors(Pool& pool, JobSpec spec) {
  std::string seen;
  const int private_end = protocol::kPrivateFdBase + 16;
  for (int fd = 3; fd < private_end; fd = fd == 12 ? protocol::kPrivateFdBase - 2 : fd + 1) {
    spec.working_directory = "/proc/self/fd/" + std::to_string(fd);
    const Report report = run_or_refusal(pool, spec);
    if (const Output* output = report.output("stdout")) seen += output->bytes;
  }
  return with_output({.outcome = Outcome::kAccepted}, "stdout", seen);
}

std::vector<Attack> flags() {
  const std::uint32_t privileges = kWithoutNoNewPrivileges | kWithoutFilter;
  JobSpec tool = payload("paths", {"euid"});
  tool.args[0] = "/bound/tool";
  return {
      {.name = "SetIdOnANosuidBind",
       .source = "E66",
       .does = "executes a program that is set-user-id to the slot's root, without "
               "no_new_privs",
       .answer = "its own uid",
       .layer = "nosuid",
       .job = tool,
       .gets = Prints("1000"),
       .control = without(privileges | kWithoutMountFlags, "no_new_privs (and filter) and nosuid",
                          Prints("0")),
       .prepare =
           [](PoolConfig& config, JobSpec& spec) {
             bind_set_id(config, spec);
             config.testing_without = kWithoutNoNewPrivileges | kWithoutFilter;
           },
       .needs = "host_root"},
      {.name = "SetIdWithNoNewPrivileges",
       .source = "E66",
       .does = "the same, but the mount is not nosuid",
       .answer = "its own uid",
       .layer = "no_new_privs",
       .job = tool,
       .gets = Prints("1000"),
       .control = without(privileges | kWithoutMountFlags, "nosuid and no_new_privs (and filter)",
                          Prints("0")),
       .prepare =
           [](PoolConfig& config, JobSpec& spec) {
             bind_set_id(config, spec);
             config.testing_without = kWithoutMountFlags;
           },
       .needs = "host_root"},
      {.name = "DeviceOnABind",
       .source = "E65",
       .does = "opens a device node that lies in a bound directory",
       .answer = "EACCES",
       .layer = "nodev",
       .job = payload("paths", {"open", "/bound/device"}),
       .gets = Prints("EACCES"),
       .control =
           without(kWithoutMountFlags | kWithoutOwnInodes, "nodev (and overlay)", Prints("done")),
       .prepare =
           [](PoolConfig& config, JobSpec& spec) {
             bind_tool(config, spec);
             const std::string node = scratch() + "/device";
             ::unlink(node.c_str());
             // /dev/zero: nobody comes to harm.
             EXPECT_EQ(::mknod(node.c_str(), S_IFCHR | 0666, makedev(1, 5)), 0);
             EXPECT_EQ(::chmod(node.c_str(), 0666), 0);
           },
       .needs = "host_root"},
      {.name = "ProgramInShm",
       .source = "own",
       .does = "executes a program in /dev/shm",
       .answer = "EACCES",
       .layer = "noexec",
       .job = sh("cp /payloads/paths /dev/shm/x; /dev/shm/x euid || echo refused"),
       .gets = Prints("refused"),
       .control = without(kWithoutMountFlags, "noexec", Prints("1000"))},
      {.name = "ProgramOnANoexecBind",
       .source = "own",
       .does = "executes a program of a bind that is not executable",
       .answer = "EACCES",
       .layer = "noexec",
       .job = sh("/bound/tool euid || echo refused"),
       .gets = Prints("refused"),
       .control = without(kWithoutMountFlags, "noexec", Prints("1000")),
       .prepare =
           [](PoolConfig& config, JobSpec& spec) {
             bind_tool(config, spec);
             config.profiles.front().binds.back().executable = false;
           }},
  };
}

HATCHERY_ATTACKS(Paths) {
  std::vector<Attack> all = {
      masked("MemoryOfTheHost", "the host's memory",
             "/proc/kcore /proc/kpage* /proc/iomem /proc/slabinfo /proc/vmallocinfo "
             "/proc/pagetypeinfo"),
      masked("FiguresOfTheHost", "figures of the host's memory",
             "/proc/buddyinfo /proc/zoneinfo /proc/vmstat /proc/swaps"),
      masked("KernelSymbols", "the kernel's symbols, modules and configuration",
             "/proc/kallsyms /proc/modules /proc/config.gz"),
      masked("KernelLog", "the kernel's log, command line and consoles",
             "/proc/kmsg /proc/cmdline /proc/consoles"),
      masked("KeysOfTheHost", "keys and ciphers", "/proc/keys /proc/key-users /proc/crypto"),
      masked("DisksOfTheHost", "disks", "/proc/partitions /proc/diskstats /proc/mdstat /proc/scsi"),
      masked("InterruptsOfTheHost", "interrupts",
             "/proc/interrupts /proc/softirqs /proc/irq /proc/ioports"),
      masked("SchedulerOfTheHost", "timers and run queues",
             "/proc/timer_list /proc/sched_debug /proc/schedstat /proc/timer_stats"),
      masked("LoadOfTheHost", "load and pressure", "/proc/loadavg /proc/pressure", "G105"),
      masked("LocksOfTheHost", "all file locks", "/proc/locks"),
      masked("DriversOfTheHost", "buses, drivers and filesystems",
             "/proc/acpi /proc/bus /proc/driver /proc/fs /proc/tty /proc/asound"),
      {.name = "ProcessesOfOthers",
       .source = "G105",
       .does = "counts the processes that it sees",
       .answer = "itself",
       .layer = "pid namespace, hidepid",
       .job = sh("set -- /proc/[0-9]*; echo $#"),
       .gets = Prints("1"),
       .control = without(kWithoutHidepid, "hidepid", Prints("2"))},
      sets("Forwarding", "/proc/sys/net/ipv4/ip_forward"),
      sets("QueueLimits", "/proc/sys/fs/mqueue/queues_max"),
      sets("SharedMemoryLimits", "/proc/sys/kernel/shmmax"),
      sets("LastPid", "/proc/sys/kernel/ns_last_pid", "own"),
      {.name = "CorePattern",
       .source = "E77",
       .does = "writes /proc/sys/kernel/core_pattern",
       .answer = "EACCES",
       .layer = "no slot has the id of the host's root",
       .job = payload("paths", {"rewrite", "/proc/sys/kernel/core_pattern"}),
       .gets = Prints("EACCES"),
       .control = no_control("only the id of the host's root may; no slot has it mapped")},
      {.name = "ReleaseAgent",
       .source = "E77",
       .does = "looks for /sys/fs/cgroup",
       .answer = "ENOENT",
       .layer = "not bound",
       .job = payload("paths", {"open", "/sys/fs/cgroup"}),
       .gets = Prints("ENOENT"),
       .control = with(
           "its absence",
           [](PoolConfig& config, JobSpec&) {
             config.profiles.front().binds.push_back(
                 {.source = "/sys/fs/cgroup", .target = "/sys/fs/cgroup"});
           },
           Prints("done"))},
      looks_at_zygote("RootOfTheZygote", "root"),
      looks_at_zygote("DirectoryOfTheZygote", "cwd"),
      looks_at_zygote("ProgramOfTheZygote", "exe"),
      looks_at_zygote("DescriptorsOfTheZygote", "fd"),
      looks_at_zygote("MemoryOfTheZygote", "mem"),
      looks_at_zygote("NamespacesOfTheZygote", "ns/mnt"),
      writes("BoundFileWritten", "opens a bound file for writing", "write"),
      writes("BoundFileReopened", "opens it for writing by /proc/self/fd", "reopen"),
      writes("BoundFileTruncated", "truncates it", "truncate"),
      writes("BoundFileRemoved", "removes it", "unlink"),
      writes("BoundFileReplaced", "renames another file over it", "rename"),
      writes("BoundFileTouched", "sets its times", "touch"),
      writes("BoundFileMarked", "gives it an extended attribute", "mark"),
      writes("FileMadeInABind", "makes a file beside it", "create"),
      writes("LinkMadeInABind", "makes a symlink beside it", "symlink"),
      {.name = "OwnProgramWritten",
       .source = "E75",
       .does = "writes to its own program by /proc/self/exe, whose mode would let it",
       .answer = "EROFS",
       .layer = "read-only bind",
       .job = payload("", {"rewrite", "/proc/self/exe"}),
       .gets = Prints("EROFS"),
       .control = without(kWithoutReadOnly | kWithoutOwnInodes, "read-only (and overlay)",
                          Prints("ETXTBSY")),
       .prepare =
           [](PoolConfig& config, JobSpec& spec) {
             bind_tool(config, spec);
             spec.args[0] = "/bound/tool";
           }},
      {.name = "HardLinkToABoundFile",
       .source = "E62",
       .does = "makes a hard link to a bound file in /w",
       .answer = "EXDEV",
       .layer = "mounts of their own",
       .job = payload("paths", {"link", "/bound/file", "/w/link"}),
       .gets = Prints("EXDEV"),
       .control = with(
           "the boundary: both in one writable mount",
           [](PoolConfig& config, JobSpec& spec) {
             ::unlink((scratch() + "/link").c_str());
             config.profiles.front().binds.back().writable = true;
             spec.args[3] = "/bound/link";
           },
           Prints("done")),
       .prepare = bind_tool},
      {.name = "DirtyPipe",
       .source = "E81",
       .does = "splices a page of a bound file into a pipe and writes on",
       .answer = "the file is as it was",
       .layer = "the kernel (since 5.16.11)",
       .job = payload("paths", {"pipe"}),
       .gets = Prints("treasure"),
       .control = no_control("a fix of the kernel can't be left out"),
       .prepare = bind_tool},
      {.name = "BlockDevice",
       .source = "E65",
       .does = "makes a node of a disk",
       .answer = "EPERM",
       .layer = "user namespace",
       .job = payload("paths", {"mknod", "b"}),
       .gets = Prints("EPERM"),
       .control =
           no_control("CAP_MKNOD of the host's user namespace is asked for; no slot has it")},
      {.name = "DevNullReplaced",
       .source = "E76",
       .does = "removes /dev/null as the slot's root",
       .answer = "EROFS",
       .layer = "read-only root",
       .job = payload("paths", {"remove", "/dev/null"}),
       .gets = Prints("EROFS"),
       .control = without(kWithoutIdChange | kWithoutReadOnly, "change of ids and read-only root",
                          Prints(AnyOf("EBUSY", "done"))),
       .prepare = [](PoolConfig& config, JobSpec&) { config.testing_without = kWithoutIdChange; }},
      {.name = "DirectoryByADescriptor",
       .source = "E73",
       .does = "starts in /proc/self/fd/N, for each N that the worker could have",
       .answer = "refused (before, the cgroup's directory led to the host's root)",
       .layer = "the worker's descriptors are closed before its chdir",
       .job = sh("readlink /proc/self/cwd"),
       .gets = Gives("stdout", IsEmpty()),
       .control = without(kWithoutDescriptorClose, "closing of descriptors",
                          Gives("stdout", HasSubstr("/job"))),
       .play = in_descriptors},
      {.name = "DirectoryOfTheZygoteAsOwn",
       .source = "E73",
       .does = "starts in /proc/1/root",
       .answer = "file error",
       .layer = "hidepid",
       .job = sh("pwd"),
       .gets = FileError(ENOENT),
       .control = without(kWithoutHidepid, "hidepid", FileError(EACCES)),
       .prepare = [](PoolConfig&, JobSpec& spec) { spec.working_directory = "/proc/1/root"; }},
  };
  for (Attack& attack : flags()) all.push_back(std::move(attack));
  return all;
}

}  // namespace
}  // namespace hatchery::testing
