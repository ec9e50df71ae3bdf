// Process: a program run by a test as a user would run it: its own process, pipes, signals, a
// deadline.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <optional>
#include <string>
#include <vector>

#include "core/check.h"
#include "core/fd.h"
#include "tests/slowness.h"

namespace hatchery::testing {

struct ProcessResult {
  int status = -1;  ///< Exit status; 128 + number when a signal killed it, as a shell has it.
  std::string out = {};
  std::string err = {};
  bool timed_out = false;  ///< It was killed at the deadline.
};

/// Thread: one. Nothing here sleeps: it polls pipes and the process's pidfd until the deadline.
class Process {
 public:
  using Clock = std::chrono::steady_clock;

  /// `args[0]` is a path. `deadline` is of a machine that isn't emulated. All of `input` is offered
  /// on its stdin, which is closed after it.
  Process(const std::vector<std::string>& args, std::string input,
          std::chrono::milliseconds deadline = std::chrono::seconds(60))
      : input_(std::move(input)), deadline_(Clock::now() + deadline * slowness()) {
    int in[2], out[2], err[2];
    HATCHERY_CHECK(::pipe2(in, O_CLOEXEC) == 0 && ::pipe2(out, O_CLOEXEC) == 0 &&
                   ::pipe2(err, O_CLOEXEC) == 0);
    const UniqueFd child_ends[] = {UniqueFd(in[0]), UniqueFd(out[1]), UniqueFd(err[1])};
    in_ = UniqueFd(in[1]);
    out_ = UniqueFd(out[0]);
    err_ = UniqueFd(err[0]);
    for (const int fd : {in[1], out[0], err[0]}) {
      HATCHERY_CHECK(::fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
    }
    spawn(args, child_ends);
    if (input_.empty()) in_.reset();
  }
  ~Process() {
    if (result_.has_value()) return;
    kill(SIGKILL);
    reap();
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  void kill(int signal_number) const {
    ::syscall(SYS_pidfd_send_signal, pidfd_.get(), signal_number, nullptr, 0);
  }
  pid_t pid() const { return pid_; }
  /// Closes our end of its stdout, as `head` does.
  void close_stdout() { out_.reset(); }
  /// True once its stdout has `text`; false when it ends, or at the deadline.
  bool wait_for_output(const std::string& text) {
    while (text_out_.find(text) == std::string::npos) {
      if (!step()) return text_out_.find(text) != std::string::npos;
    }
    return true;
  }
  /// What follows `begin` on the first whole line of stderr that has it; "" when it ends before, or
  /// at the deadline.
  std::string wait_for_message(const std::string& begin) {
    for (;;) {
      const std::size_t found = text_err_.find(begin);
      const std::size_t end = found == std::string::npos ? found : text_err_.find('\n', found);
      if (end != std::string::npos)
        return text_err_.substr(found + begin.size(), end - found - begin.size());
      if (!step()) return "";
    }
  }
  /// All of stderr so far, or all of it after the end.
  const std::string& messages() const { return result_ ? result_->err : text_err_; }
  /// Until its end, or the deadline, which kills it.
  ProcessResult wait() {
    while (!result_.has_value() && step()) {
    }
    if (!result_.has_value()) {
      kill(SIGKILL);
      reap();
      result_->timed_out = true;
    }
    return *result_;
  }

 private:
  void spawn(const std::vector<std::string>& args, const UniqueFd (&child_ends)[3]) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawnattr_init(&attributes);
    for (int fd = 0; fd < 3; ++fd) {
      ::posix_spawn_file_actions_adddup2(&actions, child_ends[fd].get(), fd);
    }
    sigset_t signals;
    ::sigemptyset(&signals);
    ::posix_spawnattr_setsigmask(&attributes, &signals);
    ::sigfillset(&signals);
    ::posix_spawnattr_setsigdefault(&attributes, &signals);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    std::vector<char*> argv;
    for (const std::string& arg : args) argv.push_back(const_cast<char*>(arg.c_str()));
    argv.push_back(nullptr);
    const int errnum = ::posix_spawn(&pid_, argv[0], &actions, &attributes, argv.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    ::posix_spawnattr_destroy(&attributes);
    HATCHERY_CHECK(errnum == 0);
    pidfd_ = UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
    HATCHERY_CHECK(pidfd_.valid());
  }

  /// One turn of the loop; false when it has ended or the deadline is over.
  bool step() {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline_ - Clock::now());
    if (left.count() <= 0) return false;
    pollfd waiting[] = {{.fd = out_.get(), .events = POLLIN, .revents = 0},
                        {.fd = err_.get(), .events = POLLIN, .revents = 0},
                        {.fd = in_.get(), .events = POLLOUT, .revents = 0},
                        {.fd = pidfd_.get(), .events = POLLIN, .revents = 0}};
    ::poll(waiting, 4, static_cast<int>(left.count()));
    if (waiting[0].revents != 0) read_some(out_, text_out_);
    if (waiting[1].revents != 0) read_some(err_, text_err_);
    if (waiting[2].revents != 0) write_some();
    if (waiting[3].revents == 0) return true;
    reap();
    return false;
  }

  void read_some(UniqueFd& fd, std::string& text) const {
    char buffer[65536];
    const ssize_t got = ::read(fd.get(), buffer, sizeof buffer);
    if (got > 0) text.append(buffer, static_cast<std::size_t>(got));
    if (got == 0) fd.reset();
  }

  void write_some() {
    // The test ignores SIGPIPE: a program need not read all that it is offered.
    const ssize_t written = ::write(in_.get(), input_.data() + offered_, input_.size() - offered_);
    if (written > 0) offered_ += static_cast<std::size_t>(written);
    if ((written < 0 && errno != EAGAIN) || offered_ == input_.size()) in_.reset();
  }

  void reap() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    // What it wrote before its end is in the pipes; a descendant that holds them must not hold us.
    drain(out_, text_out_);
    drain(err_, text_err_);
    ProcessResult result;
    result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    result.out = std::move(text_out_);
    result.err = std::move(text_err_);
    result_ = std::move(result);
  }

  void drain(UniqueFd& fd, std::string& text) const {
    while (fd.valid()) {
      const std::size_t before = text.size();
      read_some(fd, text);
      if (text.size() == before) return;
    }
  }

  const std::string input_;
  const Clock::time_point deadline_;
  std::size_t offered_ = 0;
  pid_t pid_ = -1;
  UniqueFd pidfd_, in_, out_, err_;
  std::string text_out_, text_err_;
  std::optional<ProcessResult> result_ = {};
};

/// Runs it to its end.
inline ProcessResult run_process(const std::vector<std::string>& args, std::string input = {}) {
  return Process(args, std::move(input)).wait();
}

}  // namespace hatchery::testing
