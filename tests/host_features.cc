#include "tests/host_features.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string_view>
#include <vector>

#include "core/cgroup.h"
#include "core/check.h"
#include "core/fd.h"
#include "core/user_namespace.h"
#include "pool/host_probe.h"
#include "pool/limits.h"
#include "tests/slowness.h"

namespace hatchery::testing {
namespace {

struct Alias {
  std::string_view name;    ///< As in HATCHERY_REQUIRE.
  std::string_view probed;  ///< As `hatchery doctor` names it.
};

constexpr Alias kAliases[] = {
    {"userns", "user namespace"},
    {"timens", "time namespace"},
    {"cgroup_memory", "memory controller"},
    {"cgroup_pids", "pids controller"},
    {"cgroup_cpu", "cpu controller"},
    {"cgroup_cpuset", "cpuset controller"},
    {"cgroup_io", "io controller"},
    {"cgroup_kill", "cgroup.kill"},
    {"memory_peak", "memory.peak"},
    {"pids_peak", "pids.peak"},
    {"seccomp", "seccomp filters"},
    {"seccomp_notify", "seccomp user notification"},
    {"io_uring", "io_uring"},
    {"clone3", "clone3"},
    {"openat2", "openat2"},
    {"selinux", "SELinux"},
    {"root", "root"},
    {"host_root", "root of the host"},
};

struct Program {
  std::string_view name;
  const char* path;
};

constexpr Program kPrograms[] = {
    {"gcc", "/usr/bin/gcc"},
    {"gxx", "/usr/bin/g++"},
    {"python3", "/usr/bin/python3"},
    {"java", "/usr/bin/java"},
    {"javac", "/usr/bin/javac"},
    {"perl", "/usr/bin/perl"},
    {"bash", "/bin/bash"},
    {"go", "/usr/bin/go"},
    {"rustc", "/usr/bin/rustc"},
    {"node", "/usr/bin/node"},
    {"fpc", "/usr/bin/fpc"},
    // Debian's python3-requests and python3-websockets.
    {"requests", "/usr/lib/python3/dist-packages/requests"},
    {"websockets", "/usr/lib/python3/dist-packages/websockets"},
    {"selenium", "/usr/lib/python3/dist-packages/selenium"},
    {"chromium", "/usr/bin/chromedriver"},
};

/// Probed once a program: it clones children and makes groups.
const std::vector<HostFeatureGroup>& probed() {
  static const std::vector<HostFeatureGroup> kGroups = probe_host();
  return kGroups;
}

/// The 32-bit entry: without IA32 emulation (or with ia32_emulation=0, since 6.7) the instruction
/// is a fault.
std::string missing_ia32() {
#if defined(__x86_64__)
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit none{0, 0};
    ::setrlimit(RLIMIT_CORE, &none);
    ::signal(SIGSEGV, SIG_DFL);
    constexpr int kGetpid = 20;
    long result = kGetpid;
    __asm__ volatile("int $0x80" : "+a"(result) : : "r8", "r9", "r10", "r11", "memory");
    ::_exit(static_cast<int>(result) == ::getpid() ? 0 : 1);
  }
  int status = 0;
  const bool entered = child > 0 && ::waitpid(child, &status, 0) == child && status == 0;
  return entered ? "" : "this kernel takes no 32-bit system calls";
#else
  return "this machine has no i386 entry";
#endif
}

/// Whether this process may write it: writes what it reads.
std::string missing_sysctl(const std::string& path) {
  std::string value;
  std::getline(std::ifstream(path), value);
  if (std::ofstream(path) << value << std::flush) return "";
  return path + " can't be written";
}

/// Swap accounting, and a directory whose filesystem takes swap files.
std::string missing_swap() {
  if (::geteuid() != 0 || !has_all_ids()) return "only the host's root may add swap";
  struct statfs status {};
  constexpr auto kTmpfs = 0x01021994;
  if (::statfs(std::filesystem::temp_directory_path().c_str(), &status) < 0 ||
      status.f_type == kTmpfs)
    return "the directory for temporary files is a tmpfs";
  return ::access("/proc/swaps", R_OK) == 0 ? "" : "this kernel has no swap";
}

std::string missing_v2() {
  const Result<CgroupHost> host = CgroupHost::find();
  if (!host) return host.error().message();
  const CgroupHierarchy* memory = host->with("memory");
  return memory != nullptr && memory->v2 ? "" : "memory is not on cgroup v2 here: " + host->name();
}

/// Any controller of it that a pool uses.
std::string missing_v1() {
  const Result<CgroupHost> host = CgroupHost::find();
  if (!host) return host.error().message();
  for (const CgroupHierarchy& hierarchy : host->hierarchies)
    if (!hierarchy.v2) return "";
  return "no cgroup v1 here: " + host->name();
}

/// That of v1, which no signal gets through; that of v2 lets SIGKILL in.
std::string missing_freezer_v1() {
  return ::access(kFreezerV1, W_OK) == 0 ? "" : "no freezer of cgroup v1 here";
}

std::string missing_two_cpus() { return usable_cpus() < 2 ? "there is one CPU" : ""; }

std::string missing_selinux_off() {
  return find_feature(probed(), "SELinux")->present ? "SELinux is on" : "";
}

/// A slot's job group is the same for all its jobs: its memory peak can be reset.
std::string missing_kept_job_group() {
  if (!missing_v2().empty()) return "";
  const HostFeature* peak = find_feature(probed(), "memory.peak");
  return peak != nullptr && peak->value.find("can be reset") != std::string::npos
             ? ""
             : "memory.peak can't be reset: each job has a control group of its own";
}

/// Extended attributes that an ordinary user may set: since Linux 6.6, CONFIG_TMPFS_XATTR.
std::string missing_tmpfs_xattr() {
  const UniqueFd file(::memfd_create("xattr", MFD_CLOEXEC));
  if (file.valid() && ::fsetxattr(file.get(), "user.hatchery", "x", 1, 0) == 0) return "";
  return std::string("tmpfs takes no user attributes: ") + std::strerror(errno);
}

std::string missing_ipc_next_id() {
  const char* path = "/proc/sys/kernel/sem_next_id";
  return ::access(path, F_OK) == 0 ? "" : std::string(path) + " is not there";
}

/// Of control groups: those of v2 have it. With psi=0 the files are there and can't be opened.
std::string missing_psi() {
  const Result<CgroupHost> host = CgroupHost::find();
  if (!host) return host.error().message();
  if (host->v2() == nullptr) return "no cgroup v2 here: " + host->name();
  std::string line;
  std::ifstream pressure("/proc/pressure/cpu");
  return std::getline(pressure, line) ? "" : "PSI is off: boot with psi=1";
}

}  // namespace

std::string missing_feature(const std::string& feature) {
  if (feature == "ia32") return missing_ia32();
  if (feature == "swap") return missing_swap();
  if (feature == "core_pattern") return missing_sysctl("/proc/sys/kernel/core_pattern");
  if (feature == "ipc_next_id") return missing_ipc_next_id();
  if (feature == "cgroup_v1") return missing_v1();
  if (feature == "cgroup_v2") return missing_v2();
  if (feature == "psi") return missing_psi();
  if (feature == "two_cpus") return missing_two_cpus();
  if (feature == "full_speed")
    return slowness() == 1 ? "" : "HATCHERY_TEST_SLOWNESS is set: what compiles takes minutes here";
  if (feature == "selinux_off") return missing_selinux_off();
  if (feature == "job_group_kept") return missing_kept_job_group();
  if (feature == "tmpfs_xattr") return missing_tmpfs_xattr();
  if (feature == "freezer_v1") return missing_freezer_v1();
  for (const Program& program : kPrograms) {
    if (program.name != feature) continue;
    return ::access(program.path, X_OK) == 0 ? "" : std::string(program.path) + " is not installed";
  }
  for (const Alias& alias : kAliases) {
    if (alias.name != feature) continue;
    const HostFeature* found = find_feature(probed(), alias.probed);
    if (found == nullptr) return "this host's probe knows no \"" + std::string(alias.probed) + "\"";
    return found->present ? "" : "the host lacks it (" + found->value + ")";
  }
  HATCHERY_UNREACHABLE();  // A test asks for a feature that is in neither table.
}

bool feature_is_required(const std::string& feature) {
  const char* list = std::getenv("HATCHERY_REQUIRE");
  std::istringstream names(list == nullptr ? "" : list);
  for (std::string name; std::getline(names, name, ',');) {
    if (name == feature) return true;
  }
  return false;
}

}  // namespace hatchery::testing
