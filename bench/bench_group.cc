#include "bench/bench_group.h"

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <sstream>

#include "bench/own_files.h"
#include "core/cgroup.h"
#include "core/error.h"
#include "core/files.h"

namespace hatchery::bench {
namespace {

namespace fs = std::filesystem;
constexpr const char* kPrefix = "hatchery-bench-";

std::string text_of(const std::string& path) {
  Result<std::string> text = read_whole_file(path);
  return text ? *std::move(text) : std::string();
}

/// Control groups hold directories and the kernel's files: rmdir of the ones is all there is to do.
void remove_groups(const fs::path& directory) {
  std::error_code error;
  std::vector<fs::path> below;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory, error))
    if (entry.is_directory(error)) below.push_back(entry.path());
  for (const fs::path& group : below) remove_groups(group);
  ::rmdir(directory.c_str());
}

/// A new v1 group has no CPUs and no memory nodes until somebody gives it its parent's, and no
/// process can join it or any below it before that (cpuset(7)).
void inherit_cpuset(const std::string& parent, const std::string& group) {
  for (const char* file : {"/cpuset.cpus", "/cpuset.mems"})
    if (const std::string value = text_of(parent + file); !value.empty())
      write_file(group + file, value);
}

/// Groups of a benchmark that was killed: those that still have a process stay.
void remove_left_behind(const std::string& parent) {
  std::error_code error;
  std::vector<fs::path> groups;
  for (const fs::directory_entry& entry : fs::directory_iterator(parent, error)) {
    const std::string name = entry.path().filename();
    if (!name.starts_with(kPrefix)) continue;
    const std::string pid = name.substr(std::string_view(kPrefix).size());
    if (!fs::exists("/proc/" + pid, error)) groups.push_back(entry.path());
  }
  for (const fs::path& group : groups) remove_groups(group);
}

/// The group, of the hierarchy, that this process is in now.
std::string home_of(const CgroupHierarchy& hierarchy) {
  std::istringstream lines(text_of("/proc/self/cgroup"));
  for (std::string line; std::getline(lines, line);) {
    const std::size_t names = line.find(':') + 1;
    const std::size_t path = line.find(':', names) + 1;
    const std::string list = "," + line.substr(names, path - names - 1) + ",";
    const bool is_it = hierarchy.v2 ? list == ",," : list.find(",cpuacct,") != std::string::npos;
    if (is_it) return hierarchy.mount + line.substr(path);
  }
  return hierarchy.mount;
}

}  // namespace

BenchGroup::BenchGroup() {
  const Result<CgroupHost> host = CgroupHost::find();
  if (!host) {
    what_ = host.error().message();
    return;
  }
  const CgroupHierarchy* cpu = host->v2() != nullptr ? host->v2() : host->with("cpuacct");
  const CgroupHierarchy* memory = host->with("memory");
  if (cpu == nullptr) {
    what_ = "neither cgroup v2 nor v1's cpuacct is mounted";
    return;
  }
  const std::string group = cpu->parent + "/" + kPrefix + std::to_string(::getpid());
  for (const CgroupHierarchy& hierarchy : host->hierarchies) {
    remove_left_behind(hierarchy.mount + cpu->parent);
    if (hierarchy.v2)
      for (const char* name : {"+cpu", "+memory", "+pids", "+cpuset", "+io"})
        write_file(hierarchy.mount + cpu->parent + "/cgroup.subtree_control", name);
    const std::string directory = hierarchy.mount + group;
    // Not every v1 hierarchy is ours to use: the pool says which it misses.
    if (::mkdir(directory.c_str(), 0755) < 0) continue;
    directories_.push_back(directory);
    if (!hierarchy.v2) inherit_cpuset(hierarchy.mount + cpu->parent, directory);
  }
  // A group with controllers for those below has no processes of its own (cgroups(7)).
  const std::string self = cpu->mount + group + "/self";
  home_procs_ = home_of(*cpu) + "/cgroup.procs";
  if (::mkdir(self.c_str(), 0755) < 0 || !write_file(self + "/cgroup.procs", "0")) {
    what_ = self + ": " + errno_name(errno);
    home_procs_.clear();
    return;
  }
  path_ = group.substr(1);
  cpu_v2_ = cpu->v2;
  cpu_directory_ = cpu->mount + group;
  what_ = cpu_v2_ ? "cgroup v2" : "cgroup v1";
  if (memory == nullptr) return;
  memory_v2_ = memory->v2;
  memory_directory_ = memory->mount + group;
}

BenchGroup::~BenchGroup() {
  if (!home_procs_.empty()) write_file(home_procs_, "0");
  for (const std::string& directory : directories_) remove_groups(directory);
}

std::optional<double> BenchGroup::cpu_us() const {
  if (cpu_directory_.empty()) return {};
  const std::optional<std::uint64_t> number =
      cpu_v2_ ? keyed_number(text_of(cpu_directory_ + "/cpu.stat"), "usage_usec")
              : leading_number(text_of(cpu_directory_ + "/cpuacct.usage"));
  if (!number) return {};
  return static_cast<double>(*number) / (cpu_v2_ ? 1 : 1e3);
}

std::optional<double> BenchGroup::memory_bytes() const {
  if (memory_directory_.empty()) return {};
  const std::optional<std::uint64_t> bytes = leading_number(
      text_of(memory_directory_ + (memory_v2_ ? "/memory.current" : "/memory.usage_in_bytes")));
  if (!bytes) return {};
  return static_cast<double>(*bytes);
}

CpuReading read_cpu(const BenchGroup& group) {
  CpuReading reading;
  reading.group_us = group.cpu_us();
  // cpu user nice system idle iowait irq softirq steal …, proc(5)
  std::istringstream line(text_of("/proc/stat"));
  std::string name;
  std::array<double, 8> ticks = {};
  line >> name;
  for (double& value : ticks) line >> value;
  const double busy = ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6];
  reading.machine_us = busy * 1e6 / static_cast<double>(::sysconf(_SC_CLK_TCK));
  std::error_code error;
  const std::string main_thread = std::to_string(::getpid());
  for (const fs::directory_entry& task : fs::directory_iterator("/proc/self/task", error)) {
    if (task.path().filename() == main_thread) continue;
    const std::string times = text_of(task.path() / "schedstat");
    reading.threads_us += static_cast<double>(leading_number(times).value_or(0)) / 1e3;
  }
  return reading;
}

}  // namespace hatchery::bench
