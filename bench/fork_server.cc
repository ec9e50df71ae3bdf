#include "bench/fork_server.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <optional>

#include "bench/own_files.h"
#include "bench/process_runner.h"
#include "core/cgroup.h"
#include "core/fd.h"
#include "pool/config.h"
#include "pool/host_state.h"
#include "workers/raw.h"
#include "workers/syscall_policy.h"

namespace hatchery::bench {
namespace {

/// One server process, which ends when its socket is closed.
class ServerProcess {
 public:
  ServerProcess(UniqueFd socket, pid_t pid) : socket_(std::move(socket)), pid_(pid) {}
  ServerProcess(ServerProcess&&) = default;
  ServerProcess& operator=(ServerProcess&&) = delete;
  ~ServerProcess() {
    if (!socket_.valid()) return;
    socket_.reset();
    ::waitpid(pid_, nullptr, 0);
  }
  int socket() const noexcept { return socket_.get(); }

 private:
  UniqueFd socket_;
  pid_t pid_;
};

struct Server {
  std::optional<SlotCgroup> groups;
  ServerProcess process;
};

/// A pool's tree of control groups, with a pool's lock on its name: pools remove those that have
/// none. Destroyed after the servers in it have ended.
class Groups {
 public:
  static Result<std::unique_ptr<Groups>> find(const std::string& parent) {
    Result<CgroupHost> host = CgroupHost::find(parent);
    if (!host) return std::move(host).error();
    const PoolConfig config;
    Result<HostState> state = HostState::open(usable_state_directory(config.state_directory), "",
                                              *host, config.uid_base, config.uid_count);
    if (!state) return std::move(state).error();
    return std::unique_ptr<Groups>(new Groups(*std::move(host), *std::move(state)));
  }
  ~Groups() { static_cast<void>(remove_pool_cgroups(host_, state_.pool_name()).has_value()); }
  Groups(const Groups&) = delete;
  Groups& operator=(const Groups&) = delete;

  /// With the limits of the built-in profile.
  Result<SlotCgroup> make(std::uint32_t number) {
    Result<SlotCgroup> made = SlotCgroup::create(host_, state_.pool_name(), number, 0, &files_);
    if (!made) return made;
    const Limits limits = default_profile().defaults;
    HATCHERY_TRY(made->apply({.memory_bytes = limits.memory_bytes, .processes = limits.processes}));
    return made;
  }

 private:
  Groups(CgroupHost host, HostState state) : host_(std::move(host)), state_(std::move(state)) {}

  CgroupHost host_;
  HostState state_;
  CgroupFileBudget files_{1024, true};
};

class ForkServers : public Runner {
 public:
  ForkServers(std::unique_ptr<Groups> groups, std::vector<Server> servers)
      : groups_(std::move(groups)), servers_(std::move(servers)) {
    for (const Server& server : servers_)
      polled_.push_back({.fd = server.process.socket(), .events = POLLIN, .revents = 0});
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
    if (servers_[index].groups) servers_[index].groups->begin();
    if (::send(servers_[index].process.socket(), "", 1, MSG_NOSIGNAL) == 1) return {};
    return failure("fork_server", "a server is gone");
  }
  Result<void> take_answer(std::size_t index) {
    char answer = 1;
    if (::recv(servers_[index].process.socket(), &answer, 1, 0) != 1 || answer != 0)
      return failure("fork_server", "a job failed");
    if (servers_[index].groups && !servers_[index].groups->figures().cpu_ns)
      return failure("accounted_server", "its control groups have no figures");
    return {};
  }

  std::unique_ptr<Groups> groups_;
  std::vector<Server> servers_;
  std::vector<pollfd> polled_ = {};
};

/// Above what a server's descriptors are: dup2 to itself would be a call that does nothing and
/// leaves it close-on-exec.
constexpr int kOwnDescriptors = 32;

/// The built-in policy's filter, in a file without a name.
Result<UniqueFd> filter_file() {
  const CompiledPolicy policy = default_compiled_policy();
  UniqueFd file(raw::move_up(::memfd_create("filter", MFD_CLOEXEC), kOwnDescriptors));
  const std::size_t size = policy.instructions.size() * sizeof policy.instructions[0];
  if (::pwrite(file.get(), policy.instructions.data(), size, 0) != static_cast<ssize_t>(size))
    return failure("fenced_server", "no file for its filter");
  return file;
}

/// What a process writes 0 to, to join the groups.
Result<std::vector<UniqueFd>> files_to_join(const SlotCgroup& groups) {
  std::vector<UniqueFd> files;
  const auto add = [&files](int fd) {
    files.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, kOwnDescriptors));
    return files.back().valid();
  };
  bool all = true;
  for (const UniqueFd& tasks : groups.v1_tasks()) all = all && add(tasks.get());
  if (all && groups.job_dir_fd() >= 0) {
    const UniqueFd procs(::openat(groups.job_dir_fd(), "cgroup.procs", O_WRONLY | O_CLOEXEC));
    all = procs.valid() && add(procs.get());
  }
  if (!all) return failure("accounted_server", errno_name(errno));
  return files;
}

/// `filter`: its descriptor 4, where it is valid. `groups`: to join, from 5 on.
Result<Server> start_server(const std::vector<std::string>& args, const UniqueFd& filter,
                            std::optional<SlotCgroup> groups) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
    return failure("fork_server", "no socket pair");
  UniqueFd ours(ends[0]);
  const UniqueFd theirs(raw::move_up(ends[1], kOwnDescriptors));
  Result<std::vector<UniqueFd>> to_join = std::vector<UniqueFd>();
  if (groups) to_join = files_to_join(*groups);
  if (!to_join) return std::move(to_join).error();
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, theirs.get(), 3);
  if (filter.valid()) ::posix_spawn_file_actions_adddup2(&actions, filter.get(), 4);
  int number = 5;
  for (const UniqueFd& file : *to_join)
    ::posix_spawn_file_actions_adddup2(&actions, file.get(), number++);
  // The server tells by a descriptor that is closed that it has joined all.
  ::posix_spawn_file_actions_addclosefrom_np(&actions, number);
  const CStrings arguments(args);
  const CStrings environment(job_environment());
  pid_t pid = -1;
  const int errnum =
      ::posix_spawn(&pid, args[0].c_str(), &actions, nullptr, arguments.get(), environment.get());
  ::posix_spawn_file_actions_destroy(&actions);
  if (errnum != 0) return failure(args[0], errno_name(errnum), "build it: target hatchery-bench");
  return Server{.groups = std::move(groups), .process = ServerProcess(std::move(ours), pid)};
}

}  // namespace

Result<std::unique_ptr<Runner>> make_fork_server(const Program& program, unsigned in_flight,
                                                 ForkServerChild child,
                                                 const std::string& cgroup_parent) {
  const bool exits = child == ForkServerChild::kExits;
  const bool accounted = child == ForkServerChild::kAccounted;
  const bool fenced = child == ForkServerChild::kFenced || accounted;
  std::vector<std::string> args = {programs_directory() + "/fork_server",
                                   exits ? "exit" : (fenced ? "fenced" : "exec")};
  if (!exits) args.insert(args.end(), program.args.begin(), program.args.end());
  UniqueFd filter;
  if (fenced) {
    Result<UniqueFd> file = filter_file();
    if (!file) return std::move(file).error();
    filter = *std::move(file);
  }
  std::unique_ptr<Groups> groups;
  if (accounted) {
    Result<std::unique_ptr<Groups>> found = Groups::find(cgroup_parent);
    if (!found) return std::move(found).error();
    groups = *std::move(found);
  }
  std::vector<Server> servers;
  for (unsigned i = 0; i < in_flight; ++i) {
    std::optional<SlotCgroup> own;
    if (accounted) {
      Result<SlotCgroup> slot = groups->make(i);
      if (!slot) return std::move(slot).error();
      own.emplace(*std::move(slot));
    }
    Result<Server> server = start_server(args, filter, std::move(own));
    if (!server) return std::move(server).error();
    servers.push_back(*std::move(server));
  }
  return std::unique_ptr<Runner>(
      std::make_unique<ForkServers>(std::move(groups), std::move(servers)));
}

}  // namespace hatchery::bench
