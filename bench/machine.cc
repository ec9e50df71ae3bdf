#include "bench/machine.h"

#include <gnu/libc-version.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <ctime>
#include <sstream>

#include "bench/own_files.h"
#include "bench/process_runner.h"
#include "core/cgroup.h"
#include "core/files.h"

namespace hatchery::bench {
namespace {

/// What follows the separator in the first line that starts with `key`; "" when there is none.
std::string value_in(const std::string& path, const std::string& key, char separator) {
  const Result<std::string> text = read_whole_file(path);
  if (!text) return {};
  std::istringstream lines(*text);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t at = line.find(separator);
    if (!line.starts_with(key) || at == std::string::npos) continue;
    const std::size_t start = line.find_first_not_of(" \t\"", at + 1);
    const std::size_t end = line.find_last_not_of(" \t\"");
    return start == std::string::npos ? std::string() : line.substr(start, end - start + 1);
  }
  return {};
}

std::string first_line(const std::string& path) {
  const Result<std::string> text = read_whole_file(path);
  return text ? text->substr(0, text->find('\n')) : std::string();
}

std::string now_text() {
  const std::time_t now = std::time(nullptr);
  std::tm parts = {};
  ::gmtime_r(&now, &parts);
  char text[64];
  return {text, std::strftime(text, sizeof text, "%Y-%m-%d %H:%M UTC", &parts)};
}

}  // namespace

std::string load_average() {
  const std::string line = first_line("/proc/loadavg");
  std::size_t end = 0;
  for (int words = 0; words < 3 && end != std::string::npos; ++words) end = line.find(' ', end + 1);
  return line.substr(0, end);
}

boost::json::object machine_facts(const BenchGroup& group) {
  utsname kernel = {};
  ::uname(&kernel);
  const std::string flags = value_in("/proc/cpuinfo", "flags", ':') + " ";
  const Result<CgroupHost> cgroups = CgroupHost::find();
  const std::string memory = value_in("/proc/meminfo", "MemTotal", ':');
  return {{"date", now_text()},
          {"cpu", value_in("/proc/cpuinfo", "model name", ':')},
          {"cpus", ::sysconf(_SC_NPROCESSORS_ONLN)},
          {"virtual", flags.find(" hypervisor ") != std::string::npos},
          {"governor", first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")},
          {"memory_bytes", leading_number(memory).value_or(0) * 1024},
          {"kernel", std::string(kernel.release) + " " + kernel.version + " " + kernel.machine},
          {"system", value_in("/etc/os-release", "PRETTY_NAME", '=')},
          {"libc", std::string("glibc ") + ::gnu_get_libc_version()},
          {"cgroups", cgroups ? cgroups->name() : std::string("none")},
          {"cpu_time_of_a_job_from", group.what()},
          {"hatchery", first_line_of({hatchery_command(), "--version"})},
          {"compiler", "g++ or clang " __VERSION__},
          {"build", HATCHERY_BUILD_TYPE}};
}

}  // namespace hatchery::bench
