#include "core/error.h"

#include <cstring>

#include "core/check.h"

namespace hatchery {
namespace {

/// Null for what is no step.
// NOLINTNEXTLINE(readability-function-size): a table.
const char* find_step_name(Step step) noexcept {
  switch (step) {
    case Step::kNone: return "nothing";
    case Step::kParseConfig: return "parse configuration";
    case Step::kValidateConfig: return "validate configuration";
    case Step::kValidateJob: return "validate job";
    case Step::kParsePolicy: return "parse system call policy";
    case Step::kCompilePolicy: return "compile system call policy";
    case Step::kQueueJob: return "queue job";
    case Step::kCreateRing: return "create io_uring";
    case Step::kWaitRing: return "wait on io_uring";
    case Step::kOpenStateDir: return "open state directory";
    case Step::kLockPool: return "lock pool";
    case Step::kLeaseUid: return "lease host uid";
    case Step::kFindCgroup: return "find cgroup hierarchy";
    case Step::kCreateCgroup: return "create cgroup";
    case Step::kWriteCgroup: return "write cgroup file";
    case Step::kReadCgroup: return "read cgroup file";
    case Step::kRemoveCgroup: return "remove cgroup";
    case Step::kFindZygote: return "find zygote executable";
    case Step::kStartLauncher: return "start launcher";
    case Step::kSendMessage: return "send message";
    case Step::kReceiveMessage: return "receive message";
    case Step::kCreatePipe: return "create pipe";
    case Step::kCreateMemfd: return "create memfd";
    case Step::kSelinuxLabel: return "choose SELinux label";
    case Step::kEnterUserNamespace: return "enter a user namespace";
    case Step::kSlotJoinCgroup: return "slot: join cgroup";
    case Step::kSlotClone: return "slot: clone zygote into new namespaces";
    case Step::kSlotMapUids: return "slot: map uids and gids";
    case Step::kSlotBecomeRoot: return "slot: become root of the user namespace";
    case Step::kSlotDeathSignal: return "slot: set parent-death signal";
    case Step::kSlotPrivatiseMounts: return "slot: make mounts private";
    case Step::kSlotMountRoot: return "slot: mount root";
    case Step::kSlotMakeMountPoint: return "slot: make mount point";
    case Step::kSlotBind: return "slot: bind mount";
    case Step::kSlotBindReadOnly: return "slot: restrict bind mount";
    case Step::kSlotMountProc: return "slot: mount /proc";
    case Step::kSlotMaskPath: return "slot: mask path";
    case Step::kSlotMountTmpfs: return "slot: mount tmpfs";
    case Step::kSlotMakeDevice: return "slot: bind device";
    case Step::kSlotMakeSymlink: return "slot: make symlink";
    case Step::kSlotWriteFile: return "slot: write file";
    case Step::kSlotPivotRoot: return "slot: pivot_root";
    case Step::kSlotRootReadOnly: return "slot: make root read-only";
    case Step::kSlotSetHostname: return "slot: set hostname";
    case Step::kSlotLoopbackUp: return "slot: bring up lo";
    case Step::kSlotForbidUserNamespaces: return "slot: forbid nested user namespaces";
    case Step::kSlotSnapshotNetwork: return "slot: read network counters";
    case Step::kSlotSharePage: return "slot: map page shared with workers";
    case Step::kSlotFilter: return "slot: load seccomp filter";
    case Step::kSlotOwnInodes: return "slot: give binds inodes of their own";
    case Step::kSlotOpenDirectory: return "slot: open directory";
    case Step::kResetTmpfs: return "reset: mount fresh tmpfs";
    case Step::kResetPids: return "reset: restart process ids";
    case Step::kResetNetwork: return "reset: fresh network namespace";
    case Step::kResetIpc: return "reset: fresh ipc namespace";
    case Step::kWorkerClone: return "worker: clone";
    case Step::kWorkerOomScore: return "worker: set OOM score";
    case Step::kWorkerCgroupNamespace: return "worker: unshare cgroup namespace";
    case Step::kWorkerSession: return "worker: start session";
    case Step::kWorkerSignals: return "worker: reset signals";
    case Step::kWorkerDropBounding: return "worker: drop capability bounding set";
    case Step::kWorkerIds: return "worker: set uid and gid";
    case Step::kWorkerClearCapabilities: return "worker: clear capabilities";
    case Step::kWorkerNoNewPrivileges: return "worker: set no_new_privs";
    case Step::kWorkerDumpable: return "worker: become undumpable";
    case Step::kWorkerFilter: return "worker: load seccomp filter";
    case Step::kWorkerSendReady: return "worker: say ready";
    case Step::kWorkerReceivePlan: return "worker: receive plan";
    case Step::kWorkerPlanBounds: return "worker: check plan";
    case Step::kWorkerUmask: return "worker: set umask";
    case Step::kWorkerDescriptors: return "worker: place file descriptors";
    case Step::kWorkerCloseDescriptors: return "worker: close other file descriptors";
    case Step::kWorkerRlimit: return "worker: set rlimit";
    case Step::kWorkerLabel: return "worker: set SELinux label";
    case Step::kWorkerChangeDirectory: return "worker: change directory";
    case Step::kWorkerAffinity: return "worker: set CPU affinity";
    case Step::kWorkerExec: return "worker: execute command";
    case Step::kOpenInput: return "open input";
    case Step::kCopyIn: return "copy file in";
    case Step::kCopyOut: return "copy file out";
    case Step::kStoreFile: return "store file";
    case Step::kOpenOutput: return "open output";
    case Step::kReadFile: return "read file";
    case Step::kWriteFile: return "write file";
    case Step::kReadPackage: return "read problem package";
    case Step::kCompileSubmission: return "compile submission";
    case Step::kListen: return "listen on";
    case Step::kParseRequest: return "read request";
  }
  return nullptr;
}

}  // namespace

const char* step_name(Step step) noexcept {
  const char* name = find_step_name(step);
  HATCHERY_CHECK(name != nullptr);
  return name;
}

bool is_step(Step step) noexcept { return find_step_name(step) != nullptr; }

std::string errno_name(int errnum) {
  const char* name = strerrorname_np(errnum);
  return name != nullptr ? name : "errno " + std::to_string(errnum);
}

std::string Error::message() const {
  std::string text = step_name(step);
  if (!object.empty()) text += " " + object;
  if (!detail.empty()) text += ": " + detail;
  if (errnum != 0) {
    const char* description = strerrordesc_np(errnum);
    text += ": ";
    if (description != nullptr) text += std::string(description) + " ";
    text += "(" + errno_name(errnum) + ")";
  }
  if (!remedy.empty()) text += "; " + remedy;
  return text;
}

Error errno_error(Step step, std::string_view object, int errnum, std::string_view remedy) {
  return Error{
      .step = step, .object = std::string(object), .errnum = errnum, .remedy = std::string(remedy)};
}

}  // namespace hatchery
