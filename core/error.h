// Error: what went wrong as a value: the step, the object it was done to, the errno, the remedy.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace hatchery {

/// Every step that can fail, of the pool, the launcher, the zygote and the worker. The same list
/// feeds errors, fault injection and the README. Values travel in the zygote protocol: append,
/// never renumber.
enum class Step : std::uint16_t {
  kNone = 0,
  // Input and configuration.
  kParseConfig = 1,
  kValidateConfig,
  kValidateJob,
  kParsePolicy,
  kCompilePolicy,
  kQueueJob,
  // The pool's own resources.
  kCreateRing = 20,
  kWaitRing,
  kOpenStateDir,
  kLockPool,
  kLeaseUid,
  kFindCgroup,
  kCreateCgroup,
  kWriteCgroup,
  kReadCgroup,
  kRemoveCgroup,
  kFindZygote,
  kStartLauncher,
  kSendMessage,
  kReceiveMessage,
  kCreatePipe,
  kCreateMemfd,
  kSelinuxLabel,
  kEnterUserNamespace,
  // Slot: done once, by the launcher and the zygote.
  kSlotJoinCgroup = 60,
  kSlotClone,
  kSlotMapUids,
  kSlotBecomeRoot,
  kSlotDeathSignal,
  kSlotPrivatiseMounts,
  kSlotMountRoot,
  kSlotMakeMountPoint,
  kSlotBind,
  kSlotBindReadOnly,
  kSlotMountProc,
  kSlotMaskPath,
  kSlotMountTmpfs,
  kSlotMakeDevice,
  kSlotMakeSymlink,
  kSlotWriteFile,
  kSlotPivotRoot,
  kSlotRootReadOnly,
  kSlotSetHostname,
  kSlotLoopbackUp,
  kSlotForbidUserNamespaces,
  kSlotSnapshotNetwork,
  kSlotSharePage,
  kSlotFilter,
  kSlotOwnInodes,
  kSlotOpenDirectory,
  // Reset: done by the zygote between two jobs.
  kResetTmpfs = 100,
  kResetPids,
  kResetNetwork,
  kResetIpc,
  // Worker: done after the zygote's clone3, in this order.
  kWorkerClone = 120,
  kWorkerOomScore,
  kWorkerCgroupNamespace,
  kWorkerSession,
  kWorkerSignals,
  kWorkerDropBounding,
  kWorkerIds,
  kWorkerClearCapabilities,
  kWorkerNoNewPrivileges,
  kWorkerDumpable,
  kWorkerFilter,
  kWorkerSendReady,
  kWorkerReceivePlan,
  kWorkerPlanBounds,
  kWorkerUmask,
  kWorkerDescriptors,
  kWorkerCloseDescriptors,
  kWorkerRlimit,
  kWorkerLabel,
  kWorkerChangeDirectory,
  kWorkerAffinity,
  kWorkerExec,
  // A job's streams and files, done by the pool.
  kOpenInput = 160,
  kCopyIn,
  kCopyOut,
  kStoreFile,
  kOpenOutput,
  // The command.
  kReadFile = 180,
  kWriteFile,
  kReadPackage,
  kCompileSubmission,
  // The server.
  kListen = 200,
  kParseRequest,
};

/// A short verb phrase in English ("mount /proc"). Never null; the switch has no default, so a new
/// step without a name does not compile.
const char* step_name(Step step) noexcept;

/// False for a number that is no step: it came from elsewhere than this program.
bool is_step(Step step) noexcept;

/// What failed. An operating error: returned, never thrown.
struct [[nodiscard]] Error {
  Step step = Step::kNone;
  /// What the step was done to: a path, a key, a command. May be empty.
  std::string object = {};
  /// errno at the failing call; 0 when no system call failed.
  int errnum = 0;
  /// What was wrong, when the errno does not say it. May be empty.
  std::string detail = {};
  /// What the user can do about it. May be empty.
  std::string remedy = {};

  /// One line: "step object: detail: errno text (ENAME); remedy".
  std::string message() const;
};

/// Shorthand for an Error of a failed system call; copies errno at once.
Error errno_error(Step step, std::string_view object, int errnum, std::string_view remedy = {});

/// "ENOENT" for ENOENT; "errno 9999" for a number without a name.
std::string errno_name(int errnum);

}  // namespace hatchery
