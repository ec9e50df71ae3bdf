// Configuration: profiles (what a sandbox looks like) and the pool's own options. Aggregates with
// defaults; from_toml() reads an operator's file, validate() says what is wrong with a value.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "pool/job.h"

namespace hatchery {

/// A read-only (unless `writable`) bind of a host path into the sandbox, for directories or files.
/// A source whose last part is a symlink on the host (/bin on a merged-/usr host, /etc/localtime)
/// is recreated as the same symlink.
struct BindMount {
  std::string source;  ///< Absolute host path; trusted: the operator's.
  std::string target;  ///< Absolute path in the sandbox.
  bool writable = false;
  bool optional = false;   ///< Skipped when the source does not exist at start.
  bool executable = true;  ///< false: noexec.
  bool operator==(const BindMount&) const = default;
};

/// How fast the jobs of each slot may read and write one disk (the kernel's io.max). Absent: as
/// fast as it goes. 1 to 1 PiB, or 1 to 1,000,000,000 operations, a second; beyond them the job
/// waits.
struct IoMax {
  /// Absolute host path of the operator's: whatever disk has its file system; or a disk's device.
  std::string path = {};
  std::optional<std::uint64_t> read_bytes = {};        ///< A second; what the page cache has not.
  std::optional<std::uint64_t> write_bytes = {};       ///< A second; as they reach the disk.
  std::optional<std::uint64_t> read_operations = {};   ///< A second.
  std::optional<std::uint64_t> write_operations = {};  ///< A second.
  bool operator==(const IoMax&) const = default;
};

enum class NetworkMode : std::uint8_t {
  kNone,  ///< Own network namespace, only lo, up. The default.
  kHost,  ///< The host's network: for CI jobs whose operator says so.
};

/// What the seccomp filter answers to a refused call of the built-in policy.
enum class RefusedCall : std::uint8_t {
  kErrno,  ///< EPERM. The default.
  kKill,   ///< The job is killed: outcome forbidden syscall, with number and name.
};

/// What enforces limits on memory, processes and CPU time.
enum class CgroupUse : std::uint8_t {
  kAuto,  ///< cgroups, as they are found. A pool that may make none does not start. The default.
  /// Rlimits: weaker, for jobs that are trusted on hosts that give no cgroup. memory is each
  /// process's address space, and files in /tmp, /w and /dev/shm come on top; cpu_time is each
  /// process's, in whole seconds, rounded up, and the job's when it has ended; processes is the
  /// job's. Other limits of cgroups are refused, and figures that only cgroups give are absent.
  kNone,
};

/// Most slots of one profile.
inline constexpr std::uint32_t kSlotsMax = 4'096;

struct Profile {
  std::string name = "default";

  /// "" builds the root from binds of the host (`binds`, /etc files of `etc`); else a directory
  /// that is the whole root, mounted read-only.
  std::string root_directory = {};
  /// Binds added to (or, with root_directory, laid over) the root. default_profile() fills in the
  /// host's /usr, /bin, ….
  std::vector<BindMount> binds = {};
  /// false: read-only binds show the host's files with inodes of the slot's own (overlayfs), so
  /// that jobs at the same time can't meet in file locks, inotify or access times. true: they are
  /// the host's own inodes, for a host without overlayfs. Writable binds, and sources with other
  /// filesystems mounted below them, always are; so is /dev/null and its like where the pool's root
  /// is a user namespace's.
  bool share_inodes = false;
  /// Paths in the sandbox hidden under an empty read-only file or directory; missing ones are
  /// skipped.
  std::vector<std::string> masked_paths = {};

  std::uint64_t tmp_bytes = 256ULL << 20;   ///< /tmp; charged to the job's memory. Beyond: ENOSPC.
  std::uint64_t work_bytes = 256ULL << 20;  ///< /w
  std::uint64_t shm_bytes = 64ULL << 20;    ///< /dev/shm
  std::uint64_t tmpfs_inodes = 65'536;      ///< Of each tmpfs. Beyond: ENOSPC.

  std::string hostname = "sandbox";
  NetworkMode network = NetworkMode::kNone;
  /// The kernel's time namespace, where it has one.
  bool time_namespace = true;

  /// "" is the built-in policy; else the path of an OCI runtime-spec seccomp JSON file.
  std::string seccomp_policy = {};
  RefusedCall refused_call = RefusedCall::kErrno;
  /// SELinux type of jobs. "auto": hatchery_job_t where the pool itself runs in hatchery_t, the
  /// domain of deploy/selinux, else none. "": none; refused in hatchery_t, whose policy lets no job
  /// run as what starts it. Any other is demanded, and refuses the profile without SELinux.
  std::string selinux_type = "auto";

  /// Environment of a job that names none.
  std::vector<std::string> env = {"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/w", "LANG=C.UTF-8"};

  Limits defaults =
      {};  ///< For fields that a job leaves out. default_profile() sets every bounded one.
  Limits maximums = {};  ///< A job that asks for more is refused; absent: no maximum.

  /// Each slot's jobs run on one CPU, of which as few slots as possible have the same: a busy
  /// neighbour then changes a job's CPU time least. Of the CPUs that the pool may use, and that
  /// maximums.cpu_set has, if it is given. A job with a cpu_set of its own has that instead, within
  /// maximums.cpu_set; a defaults.cpu_set beside this is refused, and so is the profile on a host
  /// without the cpuset controller.
  bool pin_slots = false;
  /// Reports have cpu_pressure, memory_pressure and io_pressure, where the host can tell; costs six
  /// reads of small files a job.
  bool pressure = false;
  /// At most one for each disk, 16. Needs the io controller of cgroup v2: v1 throttles none of what
  /// goes through the page cache, so there the profile is refused.
  std::vector<IoMax> io_max = {};
  /// Page cache of host files and kernel objects (paths that were looked up) that a slot's jobs may
  /// leave to the next: kept, they spare it reading the same files again. What is left beyond this
  /// is given back before the next job; a MiB is never worth the work. 0 to 1 PiB. What is kept is
  /// in no later job's figures; but a job that comes that near its memory limit makes the kernel
  /// give it back, and its peak is then too low by as much. On v2 before Linux 6.12, where another
  /// job's peak takes a new group, a peak is absent from the second job on.
  std::uint64_t cache_kept_bytes = 0;

  std::uint32_t slots_min = 1;  ///< Ready at all times. 1 to slots_max.
  std::uint32_t slots_max = 2;  ///< 1 to 4,096; default_profile(): the number of CPUs.
  /// Submissions (a job, or a group, whatever its size) that run at once; the others wait, though
  /// slots are ready. 0: as many as there are slots. With groups it lets slots_max be as high as
  /// the largest of them needs, and CPUs not be shared by more jobs than meant.
  std::uint32_t running_max = 0;
  std::uint32_t slot_idle_ms =
      10'000;  ///< A slot above the minimum that idles this long is removed.
};

/// The built-in profile "default": Debian's compilers and interpreters run in it as packaged.
Profile default_profile();

/// For tests only, and out of reach of any file: one slot whose setup fails at `step` (a Step's
/// number).
struct SetupFault {
  std::uint32_t step = 0;
  int errnum = 0;
  bool operator==(const SetupFault&) const = default;
};

/// Default of PoolConfig::state_directory.
inline constexpr const char* kStateDirectory = "/run/hatchery";

struct PoolConfig {
  /// At least one; names differ. The first is the default.
  std::vector<Profile> profiles = {default_profile()};
  /// Jobs waiting at once, all clients together. At the limit submit() refuses with a retry hint.
  std::uint32_t queue_max = 4'096;
  /// Threads that each run the life of a part of the slots and their jobs. 0: one for every eight
  /// CPUs that the pool may use. 1 to 64. A profile's slots are shared out evenly; the queue is one
  /// for all, and a group needs slots of one loop.
  std::uint32_t loops = 0;
  /// Slots' host uids and gids: [uid_base, uid_base + uid_count), two each. Pools on one host may
  /// share the range; a lock keeps their slots apart.
  std::uint32_t uid_base = 0x70000000;
  std::uint32_t uid_count = 65'536;
  /// Name of this pool's cgroups and lock: letters, digits, '-', '_'. "" makes a name of its own.
  std::string name = {};
  /// Locks live here; made if missing. Pools of two state directories leave each other alone, but
  /// nothing keeps their uids apart: give them ranges of their own.
  std::string state_directory = kStateDirectory;
  /// cgroup below which the pool makes its own, relative to each hierarchy's mount; "" finds it:
  /// the own group when it is delegated, else the root of each hierarchy.
  std::string cgroup_parent = {};
  CgroupUse cgroup = CgroupUse::kAuto;
  /// The hatchery-zygote executable; "" looks beside the running program, in ../libexec/hatchery
  /// from it, then where it was configured to be installed.
  std::string zygote_path = {};
  /// Bound of an orderly shutdown: after it what is left is killed.
  std::uint32_t shutdown_ms = 5'000;
  /// Bytes that the file store may hold.
  std::uint64_t store_bytes_max = 1ULL << 30;

  /// For tests only: each slot that starts takes the next fault, until none is left.
  std::vector<SetupFault> testing_faults = {};
  /// For tests only: protections left out (protocol::Protection), for the control of a denial.
  std::uint32_t testing_without = 0;

  /// First wrong field, with the remedy.
  Result<void> validate() const;
  /// The same of what only this host knows: that sources of binds exist (unless optional), and that
  /// a root directory has what is mounted on. Done by config_from_file() and Pool::create().
  Result<void> check_files() const;
};

/// Parses a profile or pool file: the pool's keys at the top, then [[profile]] tables, each
/// starting from default_profile() and with [profile.defaults], [profile.maximums] and
/// [[profile.bind]] of its own. Keys are those of `hatchery doctor --print-config`; an unknown key
/// or a wrong value is an Error "file:line:column: key: what; remedy". `file_name` is for messages
/// only.
Result<PoolConfig> config_from_toml(std::string_view text, const std::string& file_name);
/// Reads the file, then as above, and check_files().
Result<PoolConfig> config_from_file(const std::string& path);
/// A commented TOML text that gives exactly `config` when it is read back.
std::string config_to_toml(const PoolConfig& config);

/// "1.5s", "200ms", "90" (seconds); "64MiB", "1G", "4096"; both used by TOML, JSON and the command
/// line.
Result<Nanoseconds> parse_duration(std::string_view text);
Result<std::uint64_t> parse_bytes(std::string_view text);

/// Fills the absent fields of `asked` from the profile, refuses what exceeds its maximums.
Result<Limits> effective_limits(const Limits& asked, const Profile& profile);

}  // namespace hatchery
