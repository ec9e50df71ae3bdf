// A job and its report: what a caller hands in and what it gets back. Plain values; no threads.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/error.h"
#include "core/fd.h"

namespace hatchery {

using Nanoseconds = std::chrono::nanoseconds;

/// Most bytes of one output that a report carries; a larger one is refused at submit, or a file
/// error. A report is held in memory: what is larger goes into the store, or to a descriptor.
inline constexpr std::uint64_t kOutputBytesMax = 1ULL << 30;
/// Most bytes of all outputs of a report together.
inline constexpr std::uint64_t kReportBytesMax = 2ULL << 30;

/// Limits of one job's whole process tree. An absent field means the profile's default; a value
/// above the profile's maximum, or one that the host can't enforce, refuses the job at submit.
struct Limits {
  /// CPU time, user + system, of all processes. 1 ms to 10 years. At the limit the job is killed:
  /// outcome time limit. Precise to 5 ms on an idle machine.
  std::optional<Nanoseconds> cpu_time = {};
  /// Time from the hand-over, some 50 µs before exec, to the end. 1 ms to 10 years. At the limit
  /// the job is killed: wall limit.
  std::optional<Nanoseconds> wall_time = {};
  /// Hard memory limit, swap off, page cache and tmpfs included. ≥ 1 MiB. At the limit the kernel's
  /// OOM killer ends the job: memory limit. The same outcome has a job that nothing killed with a
  /// peak of more than 2 MiB and a sixteenth above it: the kernel lets sockets have that.
  std::optional<std::uint64_t> memory_bytes = {};
  /// Soft memory limit: above it the kernel reclaims and slows the job; nothing is killed.
  std::optional<std::uint64_t> memory_soft_bytes = {};
  /// Processes and threads alive at once, 1 to 4,194,304. At the limit fork fails with EAGAIN.
  std::optional<std::uint32_t> processes = {};
  /// Bytes a collector of one stream takes; one byte more is output limit and kills the job. Where
  /// a job has a collector without a cap of its own, at most kOutputBytesMax.
  std::optional<std::uint64_t> output_bytes = {};
  /// Largest file that the job may write (RLIMIT_FSIZE). Beyond: SIGXFSZ, outcome output limit.
  std::optional<std::uint64_t> file_bytes = {};
  /// Descriptors per process (RLIMIT_NOFILE), ≥ 4. Beyond: EMFILE.
  std::optional<std::uint32_t> open_files = {};
  /// Stack of the main thread (RLIMIT_STACK). Beyond: SIGSEGV.
  std::optional<std::uint64_t> stack_bytes = {};
  /// Address space per process (RLIMIT_AS). Absent in the profile too: none. Beyond: ENOMEM.
  std::optional<std::uint64_t> address_space_bytes = {};
  /// Data segment per process (RLIMIT_DATA): heap and private writable mappings. Absent in the
  /// profile too: none. Beyond: ENOMEM.
  std::optional<std::uint64_t> data_bytes = {};
  /// CPU rate in CPUs (0.5: half of one), 0.01 to the number of CPUs. The job is throttled, not
  /// killed.
  std::optional<double> cpu_rate = {};
  /// Share under contention, 1 to 10,000; 100 is normal.
  std::optional<std::uint32_t> cpu_weight = {};
  /// CPUs the job may use, in the kernel's list form ("0-2,5"). Needs the cpuset controller.
  std::optional<std::string> cpu_set = {};

  bool operator==(const Limits&) const = default;
};

/// Id of a file in the pool's store: 32 lower-case hexadecimal digits, not guessable.
using FileId = std::string;

// What a descriptor of the job is connected to.
struct NullStream {};  ///< /dev/null, both ways.
struct BytesStream {
  std::string bytes;
};  ///< Input: these bytes, then end of file.
/// A host file, opened by the pool (so with the pool's rights) when the job is submitted. Input
/// unless `write`, which creates or truncates it. Never a path that a job made. An input can't be
/// written by the job, whatever its mode.
struct HostFileStream {
  std::string path;
  bool write = false;
};
struct StoredFileStream {
  FileId id;
};  ///< Input: a file of the pool's store.
/// Output into the report, through a pipe, up to `bytes_max` (default: limits.output_bytes), at
/// most kOutputBytesMax, and all collectors of a job at most kReportBytesMax. `name` is the key in
/// Report::outputs.
struct CollectorStream {
  std::string name;
  std::optional<std::uint64_t> bytes_max = {};
  /// What comes beyond the cap is read and dropped, and the job goes on: output limit is the
  /// outcome only of a job that was accepted otherwise. false: one byte more kills it.
  bool discard_rest = false;
};
/// Output into a file of the sandbox, made or emptied by the pool before the job starts, open for
/// writing; into the report at the end, up to `bytes_max` as above, though the job may have removed
/// its name. Beyond the cap the job goes on, until limits.file_bytes or the room of /w or /tmp
/// ends.
struct FileCollectorStream {
  std::string path;  ///< As in FileIn; the key in Report::outputs.
  std::optional<std::uint64_t> bytes_max = {};
  /// false: the file has no name in the sandbox (a memfd), which spares the slot a reset of /w:
  /// half a millisecond. With SELinux it has one nevertheless, since a job may not write a file of
  /// ours.
  bool named = true;
};
/// A descriptor of the caller, lent: it must stay open until submit() returns (the pool duplicates
/// it). No directory. The job shares its position and flags, unless it is read-only and its file's
/// mode would let the job write: then the job has a position of its own, from where this one is.
struct CallerFdStream {
  int fd;
};
/// One end of pipe number `pipe` of a group (see Pool::submit_group): exactly one job reads, one
/// writes.
struct PipeStream {
  std::size_t pipe;
  bool write;
  /// The pool keeps a copy of this end until the end of this job is recorded: the job at the other
  /// end can't see it closed, and end because of it, and yet come first in Report::end_order. A job
  /// that closes the end and lives on is not noticed either: for dialogues, not for filters.
  bool held = false;
};
/// The same open file as another descriptor of this job ("2>&1").
struct SameAsStream {
  int fd;
};

using Stream =
    std::variant<NullStream, BytesStream, HostFileStream, StoredFileStream, CollectorStream,
                 FileCollectorStream, CallerFdStream, PipeStream, SameAsStream>;

/// Something put into the sandbox before the job starts. `path` is relative to /w, or absolute
/// below /w or /tmp; missing parent directories are made; owner is the job; ".." is refused.
struct FileIn {
  std::string path;
  struct Directory {};  ///< An empty directory.
  struct Bytes {
    std::string bytes;
  };
  struct HostFile {
    std::string path;
  };  ///< Regular host file, opened by the pool.
  struct HostDirectory {
    std::string path;
  };  ///< Copied whole: regular files and directories; symlinks as links.
  struct Stored {
    FileId id;
  };
  struct Symlink {
    std::string target;
  };  ///< Any text: whatever it names, only the job ever follows it.
  std::variant<Directory, Bytes, HostFile, HostDirectory, Stored, Symlink> source;
  /// Permission bits, without set-id bits. Absent: 0644, 0755 for directories; host files keep
  /// theirs; symlinks have none.
  std::optional<std::uint32_t> mode = {};
};

/// Something taken out after the job ended (all of its processes are dead by then). Symlinks are
/// never followed, in no part of the path; what is not a regular file is a file error.
struct FileOut {
  std::string path;  ///< As in FileIn.
  /// Cap; a larger file is a file error, nothing of it is kept. A hole in a sparse file counts like
  /// any bytes. Default 64 MiB, at most kOutputBytesMax (unless `store`: the store has its own
  /// bound); all files and collectors of a job together bring at most kReportBytesMax.
  std::uint64_t bytes_max = 64ULL << 20;
  bool optional = false;  ///< A missing file is no error.
  bool store = false;     ///< Into the pool's store (Output::stored) instead of Output::bytes.
  /// Of a larger file the first `bytes_max` bytes are kept, beside the error.
  bool truncate = false;
};

struct JobSpec {
  /// Echoed in the report; any text. Need not be unique.
  std::string id = {};
  /// Whose job it is: the queue is fair between clients. Any text; "" is a client too.
  std::string client = {};
  /// Of those that wait the highest goes first, whoever's it is; among equals clients take turns. A
  /// stream of high ones can keep low ones waiting.
  std::int32_t priority = 0;
  /// Name of the profile of the pool; "" is the first.
  std::string profile = {};
  /// args[0] is the command, looked up in PATH of `env` when it has no '/'. At least one; no NUL
  /// inside.
  std::vector<std::string> args = {};
  /// A command without '/' is looked for in the working directory before PATH.
  bool search_working_directory = false;
  /// "NAME=value". Absent: the profile's environment. Nothing of the pool's own environment gets
  /// in.
  std::optional<std::vector<std::string>> env = {};
  std::string working_directory = "/w";
  /// Descriptor 0, a terminal that the caller lends, becomes the controlling terminal of the job's
  /// session.
  bool controlling_terminal = false;
  /// Descriptors by number in the job; 0, 1 and 2 default to NullStream. At most 64, numbers below
  /// 1024.
  std::map<int, Stream> fds = {};
  std::vector<FileIn> files_in = {};
  std::vector<FileOut> files_out = {};
  Limits limits = {};
};

enum class Outcome : std::uint8_t {
  kAccepted,  ///< Exit status 0 within all limits.
  kNonzeroExit,
  kSignalled,  ///< Died of a signal that the pool did not send.
  kTimeLimit,
  kWallLimit,
  kMemoryLimit,
  kOutputLimit,
  kForbiddenSyscall,  ///< The policy's action for it was "kill".
  kFileError,  ///< A file in or out, or the command itself, could not be had; Report::error says
               ///< which.
  kCancelled,
  kInternalError,  ///< Ours: the zygote died, a resource ran out. Report::error says what.
};

/// "accepted", "nonzero exit", … as in design.md. Used in JSON, tables and logs.
const char* outcome_name(Outcome outcome) noexcept;

struct Output {
  /// The collector's name or the FileOut's path.
  std::string name;
  /// The bytes as they were; at most the cap. Empty when `stored`.
  std::string bytes = {};
  FileId stored = {};
  /// True when the stream or file had more than its cap.
  bool truncated = false;
  /// Size of all that is kept.
  std::uint64_t size = 0;
  /// Why a file out, or the bytes of a collector, could not be had.
  std::optional<Error> error = {};
};

/// Latency of each step of a job's life, in order; absent when it was not reached.
struct StepTimes {
  std::optional<Nanoseconds> queued = {};       ///< submit → a slot was leased
  std::optional<Nanoseconds> placed = {};       ///< leased → files in, limits written
  std::optional<Nanoseconds> handed_over = {};  ///< placed → the worker has the plan
  std::optional<Nanoseconds> exec_done = {};    ///< the worker has the plan → execveat is called
  std::optional<Nanoseconds> ended = {};        ///< execveat → the job's last process is reaped
  std::optional<Nanoseconds> read = {};         ///< reaped → figures and outputs are read
  std::optional<Nanoseconds> reset = {};  ///< reset of the slot *before* this job (off its path)
};

/// Every figure is the kernel's and covers the whole process tree; absent when this host can't give
/// it (never 0 instead), and all of them when the job was never started.
struct Report {
  std::string id = {};  ///< JobSpec::id.
  Outcome outcome = Outcome::kInternalError;
  std::optional<int> exit_code = {};  ///< 0..255, when the main process exited.
  std::optional<int> signal = {};     ///< Its number, when the main process died of one.
  /// CPU time, user + system. Absent without cpuacct or v2's cpu.stat.
  std::optional<Nanoseconds> cpu_time = {};
  std::optional<Nanoseconds> cpu_user = {};    ///< In user mode, of cpu_time.
  std::optional<Nanoseconds> cpu_system = {};  ///< In the kernel, of cpu_time.
  /// From exec to the end of the main process. Absent when that was not seen: the zygote died.
  std::optional<Nanoseconds> wall_time = {};
  /// Most bytes of memory at once, page cache and tmpfs included. Absent where the kernel can't
  /// reset the peak between jobs (v2 before Linux 6.12).
  std::optional<std::uint64_t> memory_peak_bytes = {};
  /// Processes that the OOM killer ended. Absent without the memory controller.
  std::optional<std::uint64_t> oom_kills = {};
  /// Most processes and threads at once. Absent before Linux 6.1, and after a job of the same slot
  /// that had more: pids.peak can't be reset.
  std::optional<std::uint64_t> process_peak = {};
  /// True when a fork failed at limits.processes; a fact beside the outcome. Absent without the
  /// pids controller.
  std::optional<bool> process_limit_hit = {};
  // Counts of getrusage(2), of all processes that were reaped. Absent when the zygote died.
  std::optional<std::uint64_t> minor_faults = {};          ///< Page faults without I/O.
  std::optional<std::uint64_t> major_faults = {};          ///< Page faults that read from a device.
  std::optional<std::uint64_t> voluntary_switches = {};    ///< Context switches to wait.
  std::optional<std::uint64_t> involuntary_switches = {};  ///< Context switches by the scheduler.
  /// Bytes read from and written to block devices (not caches, not tmpfs). Absent where the kernel
  /// does not count them: no io controller, or v1's blkio without an active throttling policy.
  std::optional<std::uint64_t> io_read_bytes = {};
  std::optional<std::uint64_t> io_write_bytes = {};
  /// Time that limits.cpu_rate held it back, of all CPUs together. Absent without the cpu
  /// controller.
  std::optional<Nanoseconds> throttled_time = {};
  /// Time in which one of its tasks at least waited for a CPU, for memory, for I/O
  /// (Documentation/accounting/psi.rst, "some"). Absent unless the profile has `pressure`, and on a
  /// host without cgroup v2 or with PSI off.
  std::optional<Nanoseconds> cpu_pressure = {};
  std::optional<Nanoseconds> memory_pressure = {};
  std::optional<Nanoseconds> io_pressure = {};

  struct ForbiddenSyscall {
    std::int64_t number;
    std::string name;          ///< "unknown" where libseccomp has no name.
    std::string architecture;  ///< "x86_64", "x86", "x32", …
  };
  /// The first call that the policy kills for; present exactly when the outcome says so.
  std::optional<ForbiddenSyscall> forbidden_syscall = {};

  /// Collectors by descriptor number, then files out in the order of the spec.
  std::vector<Output> outputs = {};
  StepTimes steps = {};
  /// For file error and internal error; and beside any other outcome when an output could not be
  /// had.
  std::optional<Error> error = {};
  /// In a group: 0 for the job that ended first, and so on.
  std::optional<std::size_t> end_order = {};
  /// Number of the slot it ran in, never reused within a pool; 0 too when it had none.
  std::uint32_t slot = 0;
  /// What the host enforces with, such as "cgroup v1+v2".
  std::string host = {};

  /// The output of that name, or null.
  const Output* output(std::string_view name) const noexcept;
};

}  // namespace hatchery
