#include "bench/process_runner.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <map>
#include <sstream>

#include "core/error.h"
#include "core/fd.h"
#include "core/files.h"

extern char** environ;

namespace hatchery::bench {
namespace {

std::string status_text(int status) {
  if (WIFEXITED(status)) return "exit status " + std::to_string(WEXITSTATUS(status));
  return "signal " + std::to_string(WTERMSIG(status));
}

/// What a process has on its standard streams instead of ours; owns nothing.
class SpawnActions {
 public:
  SpawnActions() { ::posix_spawn_file_actions_init(&actions_); }
  ~SpawnActions() { ::posix_spawn_file_actions_destroy(&actions_); }
  SpawnActions(const SpawnActions&) = delete;
  SpawnActions& operator=(const SpawnActions&) = delete;
  void open(int fd, const char* path, int flags) {
    ::posix_spawn_file_actions_addopen(&actions_, fd, path, flags, 0);
  }
  void duplicate(int from, int to) { ::posix_spawn_file_actions_adddup2(&actions_, from, to); }
  const posix_spawn_file_actions_t* get() const noexcept { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_;
};

}  // namespace

double micros(Clock::duration time) {
  return std::chrono::duration<double, std::micro>(time).count();
}

CStrings::CStrings(std::vector<std::string> strings) : strings_(std::move(strings)) {
  for (std::string& string : strings_) pointers_.push_back(string.data());
  pointers_.push_back(nullptr);
}

Result<void> ProcessRunner::check(int status) const {
  if (status == 0) return {};
  return failure(name_, "a job ended with " + status_text(status));
}

Result<void> ProcessRunner::run_one(std::vector<double>& latency_us) {
  const Clock::time_point start = Clock::now();
  const pid_t pid = start_();
  if (pid < 0) return failure(name_, "could not be started: " + std::string(errno_name(errno)));
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  latency_us.push_back(micros(Clock::now() - start));
  return check(status);
}

Result<void> ProcessRunner::run(unsigned count, std::vector<double>& latency_us) {
  if (in_flight_ == 1) {
    for (unsigned i = 0; i < count; ++i) HATCHERY_TRY(run_one(latency_us));
    return {};
  }
  Result<void> result;
  unsigned started = 0;
  std::vector<pid_t> running;
  while ((started < count && result) || !running.empty()) {
    if (started < count && result && running.size() < in_flight_) {
      const pid_t pid = start_();
      if (pid < 0)
        result = failure(name_, "could not be started: " + std::string(errno_name(errno)));
      if (pid >= 0) running.push_back(pid);
      ++started;
      continue;
    }
    int status = 0;
    const pid_t pid = ::waitpid(-1, &status, 0);
    // A child of somebody else in this process (a pool's launcher) is none of ours.
    if (std::erase(running, pid) != 0 && result) result = check(status);
  }
  return result;
}

ProcessRunner::Start spawn_start(const std::vector<std::string>& args, bool quiet) {
  auto arguments = std::make_shared<const CStrings>(args);
  auto environment = std::make_shared<const CStrings>(job_environment());
  auto actions = std::make_shared<SpawnActions>();
  if (quiet) {
    actions->open(STDOUT_FILENO, "/dev/null", O_WRONLY);
    actions->duplicate(STDOUT_FILENO, STDERR_FILENO);
  }
  return [arguments, environment, actions, quiet] {
    pid_t pid = -1;
    errno = ::posix_spawn(&pid, arguments->get()[0], quiet ? actions->get() : nullptr, nullptr,
                          arguments->get(), environment->get());
    return errno == 0 ? pid : -1;
  };
}

Result<Piped> spawn_piped(const CStrings& args, int output_fd, int stdin_fd) {
  static const CStrings environment(job_environment());
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) < 0) return failure("pipe", errno_name(errno));
  Piped piped{.output = UniqueFd(ends[0])};
  const UniqueFd write_end(ends[1]);
  SpawnActions actions;
  actions.duplicate(write_end.get(), output_fd);
  if (stdin_fd >= 0) actions.duplicate(stdin_fd, STDIN_FILENO);
  const int errnum = ::posix_spawn(&piped.pid, args.get()[0], actions.get(), nullptr, args.get(),
                                   environment.get());
  if (errnum != 0) return failure(args.get()[0], errno_name(errnum));
  return piped;
}

Ran run_command(const std::vector<std::string>& args) {
  Ran ran;
  const UniqueFd output(::memfd_create("output", MFD_CLOEXEC));
  if (output.get() < 0) return ran;
  SpawnActions actions;
  actions.open(STDIN_FILENO, "/dev/null", O_RDONLY);
  actions.duplicate(output.get(), STDOUT_FILENO);
  actions.duplicate(output.get(), STDERR_FILENO);
  const CStrings arguments(args);
  pid_t pid = -1;
  const int errnum =
      ::posix_spawn(&pid, args[0].c_str(), actions.get(), nullptr, arguments.get(), environ);
  if (errnum != 0) {
    ran.output = errno_name(errnum);
    return ran;
  }
  ::waitpid(pid, &ran.status, 0);
  ran.output.resize(65'536);
  const long size = pread_all(output.get(), ran.output.data(), ran.output.size());
  ran.output.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  return ran;
}

std::string first_line_of(const std::vector<std::string>& args) {
  const Ran ran = run_command(args);
  return ran.status == 0 ? ran.output.substr(0, ran.output.find('\n')) : std::string();
}

std::string find_program(const std::string& name) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nothing changes the environment.
  const char* path = std::getenv("PATH");
  std::istringstream directories(std::string(path != nullptr ? path : "") +
                                 ":/usr/sbin:/sbin:/usr/bin:/usr/local/bin");
  for (std::string directory; std::getline(directories, directory, ':');) {
    const std::string candidate = directory + "/" + name;
    if (directory.starts_with('/') && ::access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return {};
}

}  // namespace hatchery::bench
