// Runs jobs that are a process each: one that some function starts and this waits for.
#pragma once

#include <sys/types.h>

#include <chrono>

#include "bench/way.h"
#include "core/fd.h"

namespace hatchery::bench {

using Clock = std::chrono::steady_clock;
double micros(Clock::duration time);

/// Arguments or environment as exec wants them; the strings must outlive it.
class CStrings {
 public:
  explicit CStrings(std::vector<std::string> strings);
  char* const* get() const noexcept { return pointers_.data(); }

 private:
  std::vector<std::string> strings_;
  std::vector<char*> pointers_;
};

class ProcessRunner : public Runner {
 public:
  /// Starts one job: the new process, or −1 with errno.
  using Start = std::function<pid_t()>;
  ProcessRunner(std::string name, unsigned in_flight, Start start)
      : name_(std::move(name)), in_flight_(in_flight), start_(std::move(start)) {}
  Result<void> run(unsigned count, std::vector<double>& latency_us) override;

 private:
  Result<void> run_one(std::vector<double>& latency_us);
  Result<void> check(int status) const;

  std::string name_;
  unsigned in_flight_;
  Start start_;
};

/// posix_spawn with the environment of jobs. `quiet`: standard output and error go to /dev/null.
ProcessRunner::Start spawn_start(const std::vector<std::string>& args, bool quiet = false);

/// A process whose output comes through a pipe of its own; the caller reaps it.
struct Piped {
  pid_t pid = -1;
  UniqueFd output;
};
/// posix_spawn with the environment of jobs; `output_fd` is what the pipe is in it. `stdin_fd`: −1
/// for the caller's.
Result<Piped> spawn_piped(const CStrings& args, int output_fd, int stdin_fd = -1);

/// Runs a command to its end. `output` is what it wrote to stdout and stderr; the status as
/// waitpid has it, −1 when it could not be started.
struct Ran {
  int status = -1;
  std::string output;
};
Ran run_command(const std::vector<std::string>& args);

/// First line of what `args` prints; "" when it fails.
std::string first_line_of(const std::vector<std::string>& args);

/// The absolute path of a program in PATH or in the directories of the system's administrator; "".
std::string find_program(const std::string& name);

}  // namespace hatchery::bench
