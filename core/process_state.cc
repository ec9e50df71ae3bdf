#include "core/process_state.h"

#include "core/files.h"

namespace hatchery {
namespace {

constexpr const char* kGone = "gone";

}  // namespace

std::string process_state(int pidfd) {
  // "Pid:" of a pidfd's fdinfo is -1 once the process is reaped (pidfd_open(2)).
  const Result<std::string> info = read_whole_file("/proc/self/fdinfo/" + std::to_string(pidfd));
  constexpr std::string_view kKey = "\nPid:\t";
  const std::size_t key = info ? info->find(kKey) : std::string::npos;
  if (key == std::string::npos) return kGone;
  const auto pid = leading_number(std::string_view(*info).substr(key + kKey.size()));
  if (!pid) return kGone;
  const std::string directory = "/proc/" + std::to_string(*pid);
  const Result<std::string> stat = read_whole_file(directory + "/stat");
  // After the name, which may hold anything, in parentheses: proc_pid_stat(5).
  const std::size_t name_end = stat ? stat->rfind(')') : std::string::npos;
  if (name_end == std::string::npos || name_end + 2 >= stat->size()) return kGone;
  std::string text = "pid " + std::to_string(*pid) + " is in state " + (*stat)[name_end + 2];
  const Result<std::string> place = read_whole_file(directory + "/wchan");
  if (place && !place->empty() && *place != "0") text += ", in " + *place;
  return text;
}

}  // namespace hatchery
