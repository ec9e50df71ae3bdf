// F: system calls that no job has any business making: one attack a family. Arguments are such that
// an unfiltered kernel answers something else than the filter does.
#include "tests/adversarial.h"

namespace hatchery::testing {
namespace {

using protocol::kWithoutFilter;
using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

/// Calls of tests/payloads/refused.c that the filter answers, each with `errnum`.
Attack refused(const std::string& name, const std::string& source, const std::string& does,
               const std::vector<std::string>& calls, const std::string& errnum = "EPERM") {
  std::string all;
  for (std::size_t i = 0; i < calls.size(); ++i) all += (i > 0 ? " " : "") + errnum;
  return {.name = name,
          .source = source,
          .does = does,
          .answer = errnum,
          .layer = "seccomp filter",
          .job = payload("refused", calls),
          .gets = Prints(all),
          .control = without(kWithoutFilter, "filter", Prints(Not(HasSubstr(errnum))))};
}

MATCHER_P(Forbade, name, std::string("was killed for calling ") + name) {
  return arg.outcome == Outcome::kForbiddenSyscall && arg.forbidden_syscall &&
         arg.forbidden_syscall->name == name;
}

/// Most kernels would refuse these with EPERM too, for lack of a capability: a policy that
/// kills tells who was first.
Attack fatal(const std::string& name, const std::string& does, const std::string& call,
             const std::string& source = "F89") {
  return {.name = name,
          .source = source,
          .does = does,
          .answer = "forbidden syscall, where the policy kills; EPERM where it doesn't",
          .layer = "seccomp filter",
          .job = payload("refused", {call}),
          .gets = Forbade(call),
          .control =
              without(kWithoutFilter, "filter", Prints(ContainsRegex("^(EPERM|ENOSYS|EFAULT)$"))),
          // A pool beside: the frame's own look at the slot calls what this one kills for.
          .play = [](Pool& pool, JobSpec spec) {
            PoolConfig config = config_beside(pool, "-kills");
            config.profiles.front().refused_call = RefusedCall::kKill;
            const auto killing = Pool::create(config);
            HATCHERY_CHECK(killing.has_value());
            return (*killing)->submit(std::move(spec)).value().get();
          }};
}

HATCHERY_ATTACKS(Syscalls) {
  return {
      refused("Ptrace", "F84", "lets itself be traced", {"ptrace"}),
      refused("ProcessMemory", "F84", "copies memory by process_vm_readv and process_vm_writev",
              {"process_vm_readv", "process_vm_writev"}),
      refused("TakingDescriptors", "F84", "takes a descriptor by pidfd_getfd", {"pidfd_getfd"}),
      refused("ComparingProcesses", "own", "compares kernel objects by kcmp", {"kcmp"}),
      refused("IoUring", "F88", "sets up, enters and registers with io_uring",
              {"io_uring_setup", "io_uring_enter", "io_uring_register"}, "ENOSYS"),
      refused("Bpf", "F89", "calls bpf", {"bpf"}),
      refused("PerfEvents", "F89", "opens a performance counter", {"perf_event_open"}),
      refused("Userfaultfd", "F89", "handles its own page faults, which makes kernel races easy",
              {"userfaultfd"}),
      refused("Keyrings", "F89", "adds, asks for and looks up keys",
              {"keyctl", "add_key", "request_key"}),
      refused("FileHandles", "F89", "names a file by a handle", {"name_to_handle_at"}),
      fatal("OpenByHandle", "opens a file by a handle, around directories", "open_by_handle_at"),
      refused("OldMountCalls", "E80", "mounts and unmounts", {"mount", "umount2"}),
      refused("NewMountCalls", "E80", "configures a filesystem, clones a tree, changes a mount",
              {"fsconfig", "open_tree", "mount_setattr"}),
      refused("MountFacts", "own", "asks for mounts by statmount and listmount",
              {"statmount", "listmount"}),
      refused("Chroot", "F93", "calls chroot", {"chroot"}),
      refused("UnshareAndSetns", "F82", "unshares its file table, joins its own user namespace",
              {"unshare", "setns"}),
      refused("CloneUserNamespace", "F82",
              "clones into a user namespace, once with bits above the 32 that the kernel takes",
              {"clone_user", "clone_user_high"}),
      refused("Clone3", "F82", "calls clone3, whose flags no filter can see", {"clone3"}, "ENOSYS"),
      refused("Quota", "F89", "calls quotactl", {"quotactl"}),
      refused("Clocks", "F89", "sets the time in three ways",
              {"settimeofday", "clock_settime", "adjtimex"}),
      refused("IoPorts", "own", "asks for I/O ports", {"iopl"}),
      refused("SegmentDescriptors", "own", "installs an LDT entry: 16-bit code", {"modify_ldt"}),
      refused("MemoryPolicy", "own", "sets a NUMA policy", {"set_mempolicy"}),
      refused("Fanotify", "own", "watches whole filesystems", {"fanotify_init"}),
      refused("AdviseOthers", "own", "advises on another process's memory", {"process_madvise"}),
      refused("NumbersBeyondTheTable", "F86", "calls number 4000, and number -1",
              {"beyond", "negative"}),
      refused("X32Numbers", "F85", "calls getpid by its x32 number", {"x32"}),
      refused("I386Gate", "F85",
              "calls getpid, ptrace, unshare and socketcall through int 0x80, where the numbers "
              "mean other calls",
              {"i386_pid", "i386_ptrace", "i386_unshare", "i386_socketcall"}),
      refused("Personality", "F94",
              "makes all readable memory executable, once with bits above the 32 that the kernel "
              "takes",
              {"personality", "personality_high"}),
      refused("SocketFamilyWithHighBits", "F86",
              "asks for a packet socket with bits above the 32 that the kernel takes",
              {"socket_high"}),
      refused("TypingAhead", "D53",
              "puts input into a terminal by TIOCSTI and TIOCLINUX, also with bits above the 32 "
              "that the kernel takes",
              {"tiocsti", "tiocsti_high", "tioclinux_high"}),
      refused("AsynchronousIo", "own", "sets up AIO, which one number bounds for the whole host",
              {"io_setup"}, "ENOSYS"),
      refused("PageCacheFacts", "own", "asks by cachestat which pages others have read",
              {"cachestat"}),
      refused("SocketTypeWithHighBits", "F86",
              "asks for a socket of an unknown type, and bits above the 32 that the kernel takes",
              {"type_high"}),
      refused("CoreLimit", "F91",
              "lowers its core limit to 0, with which a piped core_pattern of the host runs, also "
              "with bits above the 32 that the kernel takes",
              {"core_limit", "core_limit_high", "core_limit_old"}),
      fatal("PivotRoot", "calls pivot_root", "pivot_root"),
      fatal("Fsopen", "opens a filesystem to mount", "fsopen"),
      fatal("MoveMount", "moves a mount", "move_mount"),
      fatal("Kexec", "loads a kernel", "kexec_load"),
      fatal("KernelModule", "loads a module", "init_module"),
      fatal("Reboot", "calls reboot", "reboot"),
      fatal("Swapon", "adds swap", "swapon"),
      fatal("Accounting", "turns process accounting on", "acct"),
      fatal("KernelLog", "reads the kernel's log", "syslog"),
      fatal("Hostname", "sets the host's name", "sethostname", "F92"),
      fatal("Vhangup", "hangs up the terminal", "vhangup"),
      {.name = "FilterListener",
       .source = "F87",
       .does = "loads a filter with a listener of its own, which could answer for its children",
       .answer = "EPERM",
       .layer = "seccomp filter",
       .job = payload("own_filter", {"listener"}),
       .gets = Prints("EPERM"),
       .control = without(kWithoutFilter, "filter", Prints("loaded"))},
      {.name = "FilterListenerWithHighBits",
       .source = "F86",
       .does = "the same with bits above the 32 that the kernel takes",
       .answer = "EPERM",
       .layer = "seccomp filter",
       .job = payload("own_filter", {"listener_high"}),
       .gets = Prints("EPERM"),
       .control = without(kWithoutFilter, "filter", Prints("loaded"))},
      {.name = "FilterThatAllowsAll",
       .source = "F87",
       .does = "loads a filter of its own that allows all, and calls ptrace",
       .answer = "the filter is loaded, and changes nothing",
       .layer = "seccomp filter; the kernel takes the strictest answer of all",
       .job = payload("own_filter", {"loosen"}),
       .gets = Prints("loaded EPERM"),
       .control = without(kWithoutFilter, "filter", Prints("loaded ok"))},
  };
}

}  // namespace
}  // namespace hatchery::testing
