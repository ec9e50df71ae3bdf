// The built-in profile: what Debian's compilers and interpreters need of a host, and nothing that
// tells a job about it.
#include <fnmatch.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>

#include "pool/config.h"
#include "pool/limits.h"

namespace hatchery {
namespace {

// On a merged-/usr host all but the first are symlinks into it, and become the same symlinks
// inside.
constexpr std::array kSystemPaths = {"/usr",   "/bin",   "/sbin",  "/lib",
                                     "/lib32", "/lib64", "/libx32"};

// What packages read below /etc, each public on every host. Not here: passwd, group, hosts,
// nsswitch.conf and hostname (the sandbox has its own), resolv.conf and machine-id (they identify
// the host), and whatever may hold credentials (ssl/private, npmrc, pip.conf, gitconfig, maven).
constexpr std::array kEtcPatterns = {
    "/etc/alternatives",         // cc, c++, java, fpc, awk, … are symlinks through it
    "/etc/ld.so.cache",          // the loader
    "/etc/ld.so.conf",           // ld, for -l
    "/etc/ld.so.conf.d",         //
    "/etc/localtime",            // libc: local time
    "/etc/timezone",             // Java: the zone's name
    "/etc/java-*-openjdk",       // jvm.cfg, security and logging: Java doesn't start without
    "/etc/fpc*.cfg",             // fpc: where its units are
    "/etc/python3*",             // sitecustomize.py
    "/etc/perl",                 // libnet.cfg
    "/etc/mime.types",           // python3's mimetypes
    "/etc/protocols",            // getprotobyname(3)
    "/etc/services",             // getservbyname(3)
    "/etc/os-release",           // build scripts
    "/etc/fonts",                // Java's fontconfig, where it draws without a screen
    "/etc/ssl/certs",            // public certificates, with Java's key store of them
    "/etc/ssl/openssl.cnf",      // node and python3
    "/etc/ca-certificates.conf"  //
};

// Files that tell about the host or the neighbours, and that no runtime needs. /proc/stat, meminfo,
// cpuinfo, version, filesystems, cgroups, uptime and sys stay: C libraries, the JVM, Go and node
// read them.
constexpr std::array kMaskedPaths = {"/proc/acpi",
                                     "/proc/asound",
                                     "/proc/buddyinfo",
                                     "/proc/bus",
                                     "/proc/cmdline",
                                     "/proc/config.gz",
                                     "/proc/consoles",
                                     "/proc/crypto",
                                     "/proc/diskstats",
                                     "/proc/driver",
                                     "/proc/dynamic_debug",
                                     "/proc/fs",
                                     "/proc/interrupts",
                                     "/proc/iomem",
                                     "/proc/ioports",
                                     "/proc/irq",
                                     "/proc/kallsyms",
                                     "/proc/kcore",
                                     "/proc/key-users",
                                     "/proc/keys",
                                     "/proc/kmsg",
                                     "/proc/kpagecgroup",
                                     "/proc/kpagecount",
                                     "/proc/kpageflags",
                                     "/proc/latency_stats",
                                     "/proc/loadavg",
                                     "/proc/locks",
                                     "/proc/mdstat",
                                     "/proc/modules",
                                     "/proc/mtrr",
                                     "/proc/pagetypeinfo",
                                     "/proc/partitions",
                                     "/proc/pressure",
                                     "/proc/sched_debug",
                                     "/proc/schedstat",
                                     "/proc/scsi",
                                     "/proc/slabinfo",
                                     "/proc/softirqs",
                                     "/proc/swaps",
                                     "/proc/sys/fs/aio-nr",
                                     "/proc/sys/fs/dentry-state",
                                     "/proc/sys/fs/file-nr",
                                     "/proc/sys/fs/inode-nr",
                                     "/proc/sys/fs/inode-state",
                                     "/proc/sysrq-trigger",
                                     "/proc/timer_list",
                                     "/proc/timer_stats",
                                     "/proc/tty",
                                     "/proc/vmallocinfo",
                                     "/proc/vmstat",
                                     "/proc/zoneinfo"};

BindMount read_only_bind(const std::string& path) {
  return BindMount{.source = path, .target = path, .optional = true};
}

/// All of /etc, in order. One look for all patterns: glob(3) would read the directory for each.
std::vector<std::string> paths_in_etc() {
  std::vector<std::string> paths;
  std::error_code code;
  for (std::filesystem::directory_iterator entry("/etc", code), end; !code && entry != end;
       entry.increment(code))
    paths.push_back(entry->path());
  std::sort(paths.begin(), paths.end());
  return paths;
}

/// Appends a bind for each path of this host that matches a pattern, or the path itself when it is
/// none: the host may get it before the pool starts.
void append_etc(std::vector<BindMount>& binds) {
  const std::vector<std::string> present = paths_in_etc();
  for (const char* pattern : kEtcPatterns) {
    if (std::string_view(pattern).find('*') == std::string_view::npos)
      binds.push_back(read_only_bind(pattern));
    else
      for (const std::string& path : present)
        if (::fnmatch(pattern, path.c_str(), FNM_PATHNAME | FNM_PERIOD) == 0)
          binds.push_back(read_only_bind(path));
  }
}

Limits default_limits() {
  using std::chrono::seconds;
  Limits limits;
  limits.cpu_time = seconds(10);
  limits.wall_time = seconds(30);
  limits.memory_bytes = 512ULL << 20;
  limits.processes = 128;
  limits.output_bytes = 16ULL << 20;
  limits.file_bytes = 256ULL << 20;
  limits.open_files = 1024;
  // Recursive solutions expect more than the usual 8 MiB; pages that aren't touched cost nothing.
  limits.stack_bytes = 64ULL << 20;
  return limits;
}

}  // namespace

Profile default_profile() {
  Profile profile;
  for (const char* path : kSystemPaths) profile.binds.push_back(read_only_bind(path));
  append_etc(profile.binds);
  profile.masked_paths.assign(kMaskedPaths.begin(), kMaskedPaths.end());
  profile.defaults = default_limits();
  profile.slots_max = std::min(usable_cpus(), kSlotsMax);
  profile.slots_min = profile.slots_max;
  return profile;
}

}  // namespace hatchery
