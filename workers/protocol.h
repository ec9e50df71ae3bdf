// Every message between pool, launcher, zygote and worker: fixed layouts, one datagram each, over
// SOCK_SEQPACKET. Both sides are built together; kProtocolVersion refuses a stray old executable.
//
//   pool ── PrepareSlot + fd ─► launcher      one slot at a time: its plan
//   pool ── StartSlot + fds ──► launcher      and all else
//   pool ◄─ SlotStarted + pidfd launcher      or its failure
//   pool ◄─ Parked + fds ────── worker        a slot is ready for a job
//   pool ── JobPlan + fds ────► worker        the worker becomes the job
//   pool ◄─ Ended ───────────── zygote        every process of the job is dead and reaped
//   pool ── Reset ────────────► zygote        figures and files are read; next worker, please;
//                                             with a descriptor: in this cgroup
//   pool ◄─ SetupFailed ─────── zygote        setup or reset failed; the zygote exits
//
// Any socket error or end of file ends the receiver, and with the zygote everything in its pid
// namespace. Runs in: pool, launcher, zygote, worker. No pointers, no padding that matters,
// trivially copyable.
#pragma once

#include <cstdint>
#include <type_traits>

#include "core/error.h"

namespace hatchery::protocol {

inline constexpr std::uint32_t kProtocolVersion = 1;

/// Ids inside the slot's user namespace. 0 is the zygote; the job never runs as it.
inline constexpr std::uint32_t kJobUid = 1000;

/// Descriptors travel in SCM_RIGHTS; the kernel takes at most 253 in one message.
inline constexpr std::uint32_t kFdsMax = 80;
/// A larger plan travels in a memfd.
inline constexpr std::uint32_t kInlinePlanBytes = 32 * 1024;
/// Arguments, environment and all: above the kernel's own limit on argv (6 MiB with any stack
/// limit).
inline constexpr std::uint32_t kPlanBytesMax = 8 * 1024 * 1024;
inline constexpr std::uint32_t kV1HierarchiesMax = 12;
/// A security context, NUL included.
inline constexpr std::uint32_t kLabelBytes = 256;

/// The descriptors of zygote and worker sit from here on, so that a job's low numbers are free.
/// Below 64 (NR_OPEN_DEFAULT) a process needs no table of descriptors, which each fork would copy.
inline constexpr int kPrivateFdBase = 48;
/// A job's own descriptors have lower numbers.
inline constexpr int kJobFdsEnd = 1024;

enum class MessageKind : std::uint32_t {
  kStartSlot = 1,
  kSlotStarted,
  kParked,
  kJobPlan,
  kEnded,
  kReset,
  kSetupFailed,
  kPrepareSlot,
};

/// Where something failed: `index` counts within the step (bind 3, rlimit 2), −1 where there is
/// only one.
struct Failure {
  Step step = Step::kNone;
  std::int16_t index = -1;
  std::int32_t errnum = 0;
};
static_assert(sizeof(Failure) == 8);
inline constexpr Failure kDone{};

// ---- slot plan: a sealed memfd made once a profile
// -------------------------------------------------

/// Shown in place of every masked file and directory: empty ones, made in the slot's root, the file
/// without any permission.
inline constexpr const char* kMaskFile = "/dev/.masked";
inline constexpr const char* kMaskDirectory = "/dev/.empty";

enum class MountKind : std::uint16_t {
  kDirectory = 1,  ///< mkdir -p target
  kBind,           ///< source (host) on target; kFile tells which mount point to make
  kSymlink,        ///< target → text of source
  kFile,           ///< target with the bytes of source, 0644
  kProc,           ///< /proc, then the mask and read-only operations that follow apply to it
  kMask,           ///< hide target; skipped where it is missing
  kReadOnly,       ///< bind target on itself, read-only; skipped where it is missing
  kTmpfs,          ///< small tmpfs on target, for /dev over an operator's root
  kSeal,           ///< make the mount at target read-only
};

enum MountFlag : std::uint16_t {
  kMountIsFile = 1,
  kMountWritable = 2,
  kMountNoExec = 4,
  kMountOptional = 8,
  kMountDevice = 16,    ///< keep device nodes usable (only for /dev/null and its like)
  kMountNoAccess = 64,  ///< kFile: mode 0000
  kMountShared = 32,    ///< the host's own inodes, and what is mounted below them
};

/// Offsets are from the start of the plan, to NUL-terminated strings.
struct MountOp {
  MountKind kind;
  std::uint16_t flags;
  std::uint32_t source;
  std::uint32_t target;
  std::uint32_t source_size;  ///< kFile: bytes of content.
};
static_assert(sizeof(MountOp) == 16);

struct SlotPlan {
  std::uint32_t version;
  std::uint32_t size;  ///< of the whole plan
  std::uint32_t mounts;
  std::uint32_t mounts_count;
  /// Offset, 8-aligned, of the struct sock_filter of two filters: the zygote's, then the worker's.
  std::uint32_t filters;
  std::uint32_t zygote_filter_count;  ///< 0: none.
  std::uint32_t worker_filter_count;
  std::uint32_t hostname;
  std::uint32_t root_directory;  ///< "" or a host directory that becomes the root
  std::uint64_t tmp_bytes;
  std::uint64_t work_bytes;
  std::uint64_t shm_bytes;
  std::uint64_t tmpfs_inodes;
  std::uint32_t network_host;  ///< 1: stay in the host's network namespace
  std::uint32_t time_namespace;
  std::uint32_t
      filter_listener;  ///< 1: the worker's with SECCOMP_FILTER_FLAG_NEW_LISTENER, sent with Parked
  std::uint32_t filter_late;  ///< 1: the worker's is loaded after the plan has come
  std::uint32_t without;      ///< Protection bits left out: tests' controls only, 0 in production
  /// "" or where the launcher finds its empty directories: read-only binds get inodes of their own.
  std::uint32_t overlay_directory;
};
static_assert(sizeof(SlotPlan) == 96);

// ---- launcher
// --------------------------------------------------------------------------------------

/// A StartSlot with this plan follows soon. The launcher opens what is to be bound while the pool
/// still makes the slot's control groups. It is not answered, and may be left out: whatever fails
/// is tried again, and told, with StartSlot. Descriptor: the slot plan.
struct PrepareSlot {
  MessageKind kind = MessageKind::kPrepareSlot;
  std::uint32_t version = kProtocolVersion;
};
static_assert(sizeof(PrepareSlot) == 8);

/// Descriptors: zygote's socket, slot plan, then (has_v2) the zygote's and the job's v2 cgroup
/// directory, then "tasks" of each v1 hierarchy.
struct StartSlot {
  MessageKind kind = MessageKind::kStartSlot;
  std::uint32_t version = kProtocolVersion;
  std::uint32_t slot = 0;
  std::uint32_t host_uid = 0;  ///< of the zygote; the job has host_uid + 1
  std::uint32_t has_v2 = 0;
  std::uint32_t v1_count = 0;
  std::uint32_t fault_step =
      0;  ///< Fault injection: this Step fails in this slot; 0 in production.
  std::int32_t fault_errnum = 0;
  /// The zygote's, and each worker's until its job starts: between them a wake-up of another CPU
  /// costs more than all else. −1: any.
  std::int32_t home_cpu = -1;
  char file_context[kLabelBytes] =
      {};  ///< SELinux context of files on the slot's tmpfs, "" for none.
};
static_assert(sizeof(StartSlot) == 36 + kLabelBytes);

/// Descriptor: the zygote's pidfd, when failure.step is kNone.
struct SlotStarted {
  MessageKind kind = MessageKind::kSlotStarted;
  std::uint32_t slot = 0;
  Failure failure;
  std::int32_t pid = 0;  ///< in the launcher's pid namespace; for messages only
};
static_assert(sizeof(SlotStarted) == 20);

// ---- worker and zygote
// -----------------------------------------------------------------------------

/// Descriptors: the worker's pidfd, the slot's root (O_PATH) with its first worker, and the
/// filter's listener if there is one.
struct Parked {
  MessageKind kind = MessageKind::kParked;
  std::uint16_t has_root = 0;
  std::uint16_t has_listener = 0;
  std::int64_t reset_ns = 0;  ///< what the reset took; 0 for the first
};
static_assert(sizeof(Parked) == 16);

struct Rlimit {
  std::uint32_t resource;
  std::uint32_t reserved;
  std::uint64_t soft;
  std::uint64_t hard;
};
static_assert(sizeof(Rlimit) == 24);

/// Followed by the plan's body, inline or in a memfd (the last descriptor). Offsets are from the
/// start of the body. argv, envp and paths are arrays of 64-bit offsets that end with 0: the worker
/// turns them into pointers in place. The other descriptors, in order, go to the numbers in `fds`.
struct JobPlan {
  MessageKind kind = MessageKind::kJobPlan;
  std::uint32_t body_size = 0;
  std::uint32_t body_in_memfd = 0;
  std::uint32_t argv = 0;
  std::uint32_t envp = 0;
  std::uint32_t paths = 0;  ///< candidates for execveat, tried in order like execvp(3)
  std::uint32_t working_directory = 0;
  std::uint32_t label = 0;  ///< SELinux exec context, "" for none
  std::uint32_t fds = 0;    ///< std::int32_t[fds_count]; see kFdNull
  std::uint32_t fds_count = 0;
  std::uint32_t rlimits = 0;
  std::uint32_t rlimits_count = 0;
  std::uint32_t controlling_terminal = 0;  ///< 1: descriptor 0 is made it (TIOCSCTTY).
  /// 1: at the job's end the zygote looks what it touched before it is asked for the reset. Else
  /// whoever waits for the report has the CPUs first.
  std::uint32_t look_at_once = 0;
};
static_assert(sizeof(JobPlan) == 56);

/// Target numbers in JobPlan::fds. An entry is {target, source}: source is the index of the
/// received descriptor, kFdNull for /dev/null, or kFdSameAs − n for the job's own descriptor n.
struct FdEntry {
  std::int32_t target;
  std::int32_t source;
};
static_assert(sizeof(FdEntry) == 8);
inline constexpr std::int32_t kFdNull = -1;
inline constexpr std::int32_t kFdSameAs = -16;

/// How far the worker came.
enum class WorkerPhase : std::uint32_t {
  kBorn = 0,
  kParked,
  kPlanned,  ///< has read the plan
  kExec,     ///< called execveat; with failure.step == kNone, it succeeded
  kHungUp,   ///< end of file on the socket: the pool is gone or closes the slot
};

struct Ended {
  MessageKind kind = MessageKind::kEnded;
  WorkerPhase phase = WorkerPhase::kBorn;
  Failure failure;
  std::int32_t wait_status = 0;
  std::uint32_t reserved = 0;
  // CLOCK_MONOTONIC.
  std::int64_t planned_ns = 0;
  std::int64_t exec_ns = 0;
  std::int64_t exited_ns = 0;  ///< the main process
  std::int64_t ended_ns = 0;   ///< the last process was reaped
  // Sums of wait4(2)'s rusage over all that the zygote reaped.
  std::int64_t user_us = 0;
  std::int64_t system_us = 0;
  std::uint64_t minor_faults = 0;
  std::uint64_t major_faults = 0;
  std::uint64_t voluntary_switches = 0;
  std::uint64_t involuntary_switches = 0;
};
static_assert(sizeof(Ended) == 104);

struct Reset {
  MessageKind kind = MessageKind::kReset;
  std::uint32_t reserved = 0;
};

struct SetupFailed {
  MessageKind kind = MessageKind::kSetupFailed;
  Failure failure;
};
static_assert(sizeof(SetupFailed) == 12);

/// One page shared by a zygote and its workers up to their exec (which unmaps it): how each tells
/// the other what changes from job to job without a message, and without a page to be copied. A job
/// never has it.
struct SharedPage {
  // The zygote's, before the worker's birth.
  std::int64_t reset_ns;
  std::uint32_t first;  ///< 1: of its slot; it sends the pool the slot's root.
  // The worker's.
  WorkerPhase phase;
  std::uint32_t look_at_once;  ///< The job plan's.
  Failure failure;
  std::int64_t planned_ns;
  std::int64_t exec_ns;
};

/// What tests may leave out, to prove that its denial depends on it. Bits of SlotPlan::without.
enum Protection : std::uint32_t {
  kWithoutUserNamespaceLimit = 1U << 0,
  kWithoutCapabilityDrop = 1U << 1,
  kWithoutNoNewPrivileges = 1U << 2,
  kWithoutFilter = 1U << 3,
  kWithoutMasks = 1U << 4,
  kWithoutReadOnly = 1U << 5,
  kWithoutKillAll = 1U << 6,
  kWithoutReset = 1U << 7,
  kWithoutNetworkNamespace = 1U << 8,
  kWithoutIpcNamespace = 1U << 9,
  kWithoutPidNamespace = 1U << 10,
  kWithoutUtsNamespace = 1U << 11,
  kWithoutCgroupNamespace = 1U << 12,
  kWithoutIdChange = 1U << 13,
  kWithoutSession = 1U << 14,
  kWithoutHidepid = 1U << 15,
  kWithoutDescriptorClose = 1U << 16,
  kWithoutRlimits = 1U << 17,
  kWithoutMountFlags = 1U << 18,
  kWithoutOomScore = 1U << 19,
  kWithoutUndumpable = 1U << 20,
  kWithoutOwnInodes = 1U << 21,
  kWithoutBeneath = 1U << 22,     // In the pool: how it opens a job's files.
  kWithoutCgroupKill = 1U << 23,  // In the pool.
  kWithoutOwnCounts = 1U << 24,
  kWithoutReadOnlyProc = 1U << 25,
  kWithoutSwapLimit = 1U << 26,  // In the pool.
  kWithoutIpcLook =
      1U << 27,  // No protection: an ipc namespace for each job, as if none could tell.
};

static_assert(std::is_trivially_copyable_v<SlotPlan> && std::is_trivially_copyable_v<JobPlan> &&
              std::is_trivially_copyable_v<Ended> && std::is_trivially_copyable_v<SharedPage>);

}  // namespace hatchery::protocol
