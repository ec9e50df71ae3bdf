#include "bench/fork_server.h"

#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "bench/own_files.h"
#include "bench/process_runner.h"
#include "core/fd.h"
#include "workers/raw.h"
#include "workers/syscall_policy.h"

namespace hatchery::bench {
namespace {

/// One server process; ends when its socket is closed.
struct Server {
  UniqueFd socket;
  pid_t pid = -1;
};

class ForkServers : public Runner {
 public:
  explicit ForkServers(std::vector<Server> servers) : servers_(std::move(servers)) {
    for (const Server& server : servers_)
      polled_.push_back({.fd = server.socket.get(), .events = POLLIN, .revents = 0});
  }
  ~ForkServers() override {
    for (Server& server : servers_) {
      server.socket = UniqueFd();
      ::waitpid(server.pid, nullptr, 0);
    }
  }

  Result<void> run(unsigned count, std::vector<double>& latency_us) override {
    if (servers_.size() == 1) {
      for (unsigned i = 0; i < count; ++i) {
        const Clock::time_point start = Clock::now();
        HATCHERY_TRY(ask(0));
        HATCHERY_TRY(take_answer(0));
        latency_us.push_back(micros(Clock::now() - start));
      }
      return {};
    }
    unsigned started = 0;
    unsigned ended = 0;
    for (std::size_t i = 0; i < servers_.size() && started < count; ++i, ++started)
      HATCHERY_TRY(ask(i));
    while (ended < count) {
      if (::poll(polled_.data(), polled_.size(), -1) < 0) continue;
      for (std::size_t i = 0; i < polled_.size(); ++i) {
        if (polled_[i].revents == 0) continue;
        HATCHERY_TRY(take_answer(i));
        ++ended;
        if (started < count) HATCHERY_TRY(ask(i));
        if (started < count) ++started;
      }
    }
    return {};
  }

 private:
  Result<void> ask(std::size_t index) {
    if (::send(servers_[index].socket.get(), "", 1, MSG_NOSIGNAL) == 1) return {};
    return failure("fork_server", "a server is gone");
  }
  Result<void> take_answer(std::size_t index) {
    char answer = 1;
    if (::recv(servers_[index].socket.get(), &answer, 1, 0) == 1 && answer == 0) return {};
    return failure("fork_server", "a job failed");
  }

  std::vector<Server> servers_;
  std::vector<pollfd> polled_ = {};
};

/// Above what a server's descriptors are: dup2 to itself would be a call that does nothing and
/// leaves it close-on-exec.
constexpr int kOwnDescriptors = 10;

/// The built-in policy's filter, in a file without a name.
Result<UniqueFd> filter_file() {
  const CompiledPolicy policy = default_compiled_policy();
  UniqueFd file(raw::move_up(::memfd_create("filter", MFD_CLOEXEC), kOwnDescriptors));
  const std::size_t size = policy.instructions.size() * sizeof policy.instructions[0];
  if (::pwrite(file.get(), policy.instructions.data(), size, 0) != static_cast<ssize_t>(size))
    return failure("fenced_server", "no file for its filter");
  return file;
}

/// `filter`: its descriptor 4, where it is valid.
Result<Server> start_server(const std::vector<std::string>& args, const UniqueFd& filter) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
    return failure("fork_server", "no socket pair");
  Server server{.socket = UniqueFd(ends[0])};
  const UniqueFd theirs(raw::move_up(ends[1], kOwnDescriptors));
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, theirs.get(), 3);
  if (filter.valid()) ::posix_spawn_file_actions_adddup2(&actions, filter.get(), 4);
  const CStrings arguments(args);
  const CStrings environment(job_environment());
  const int errnum = ::posix_spawn(&server.pid, args[0].c_str(), &actions, nullptr, arguments.get(),
                                   environment.get());
  ::posix_spawn_file_actions_destroy(&actions);
  if (errnum != 0) return failure(args[0], errno_name(errnum), "build it: target hatchery-bench");
  return server;
}

}  // namespace

Result<std::unique_ptr<Runner>> make_fork_server(const Program& program, unsigned in_flight,
                                                 ForkServerChild child) {
  const bool exits = child == ForkServerChild::kExits;
  const bool fenced = child == ForkServerChild::kFenced;
  std::vector<std::string> args = {programs_directory() + "/fork_server",
                                   exits ? "exit" : (fenced ? "fenced" : "exec")};
  if (!exits) args.insert(args.end(), program.args.begin(), program.args.end());
  UniqueFd filter;
  if (fenced) {
    Result<UniqueFd> file = filter_file();
    if (!file) return std::move(file).error();
    filter = *std::move(file);
  }
  std::vector<Server> servers;
  for (unsigned i = 0; i < in_flight; ++i) {
    Result<Server> server = start_server(args, filter);
    if (!server) return std::move(server).error();
    servers.push_back(*std::move(server));
  }
  return std::unique_ptr<Runner>(std::make_unique<ForkServers>(std::move(servers)));
}

}  // namespace hatchery::bench
