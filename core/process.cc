#include "core/process.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <optional>

#include "core/files.h"

namespace hatchery {
namespace {

std::string directory_of(pid_t pid) { return "/proc/" + std::to_string(pid); }

std::optional<pid_t> pid_of(int pidfd) {
  // "Pid:" of a pidfd's fdinfo is -1 once the process is reaped (pidfd_open(2)).
  const Result<std::string> info = read_whole_file("/proc/self/fdinfo/" + std::to_string(pidfd));
  constexpr std::string_view kKey = "\nPid:\t";
  const std::size_t key = info ? info->find(kKey) : std::string::npos;
  if (key == std::string::npos) return std::nullopt;
  const auto pid = leading_number(std::string_view(*info).substr(key + kKey.size()));
  return pid ? std::optional(static_cast<pid_t>(*pid)) : std::nullopt;
}

/// As in proc_pid_stat(5).
std::optional<char> state_of(pid_t pid) {
  const Result<std::string> stat = read_whole_file(directory_of(pid) + "/stat");
  // After the name, which may hold anything, in parentheses.
  const std::size_t name_end = stat ? stat->rfind(')') : std::string::npos;
  if (name_end == std::string::npos || name_end + 2 >= stat->size()) return std::nullopt;
  return (*stat)[name_end + 2];
}

}  // namespace

void send_signal(int pidfd, int number) noexcept {
  // ESRCH: it is dead already, which is what was wanted.
  if (pidfd >= 0) ::syscall(SYS_pidfd_send_signal, pidfd, number, nullptr, 0);
}

std::string process_state(int pidfd) {
  const std::optional<pid_t> pid = pid_of(pidfd);
  const std::optional<char> state = pid ? state_of(*pid) : std::nullopt;
  if (!state) return "gone";
  std::string text = "pid " + std::to_string(*pid) + " is in state " + *state;
  const Result<std::string> place = read_whole_file(directory_of(*pid) + "/wchan");
  if (place && !place->empty() && *place != "0") text += ", in " + *place;
  return text;
}

bool is_runnable(int pidfd) {
  const std::optional<pid_t> pid = pid_of(pidfd);
  return pid && is_runnable_pid(*pid);
}

bool is_runnable_pid(pid_t pid) { return state_of(pid) == 'R'; }

}  // namespace hatchery
