#include "bench/floors.h"

#include <unistd.h>

#include "bench/fork_server.h"
#include "bench/process_runner.h"

namespace hatchery::bench {
namespace {

using Made = Result<std::unique_ptr<Runner>>;

/// Apart, because a function that calls vfork has as few variables as can be.
[[gnu::noinline]] pid_t vfork_exec(char* const* arguments, char* const* environment,
                                   const std::function<int()>& before_exec) {
  const pid_t pid = ::vfork();
  if (pid != 0) return pid;
  if (before_exec) {
    const int status = before_exec();
    if (status != 0) ::_exit(status);
  }
  ::execve(arguments[0], arguments, environment);
  ::_exit(127);
}

}  // namespace

std::unique_ptr<Runner> make_vfork_runner(const Program& program, unsigned in_flight,
                                          std::function<int()> before_exec) {
  auto arguments = std::make_shared<const CStrings>(program.args);
  auto environment = std::make_shared<const CStrings>(job_environment());
  return std::make_unique<ProcessRunner>(
      "vfork", in_flight, [arguments, environment, before_exec = std::move(before_exec)] {
        return vfork_exec(arguments->get(), environment->get(), before_exec);
      });
}

std::vector<Way> floors(const std::string& cgroup_parent) {
  return {Way{.name = "vfork",
              .what = "vfork + execve + waitpid",
              .make = [](const Program& program, unsigned in_flight) -> Made {
                return make_vfork_runner(program, in_flight);
              }},
          Way{.name = kFloor,
              .what = "posix_spawn + waitpid",
              .make = [](const Program& program, unsigned in_flight) -> Made {
                return made<ProcessRunner>(kFloor, in_flight, spawn_start(program.args));
              }},
          Way{.name = "fork_server",
              .what = "a small static process for each job in flight: fork + execve + waitpid, "
                      "one message each way",
              .make = [](const Program& program, unsigned in_flight) -> Made {
                return make_fork_server(program, in_flight, ForkServerChild::kExecutes);
              }},
          Way{.name = kFencedServer,
              .what = "such a server in namespaces; each child with an ipc namespace of its own "
                      "and the pool's seccomp filter",
              .make = [](const Program& program, unsigned in_flight) -> Made {
                return make_fork_server(program, in_flight, ForkServerChild::kFenced);
              }},
          Way{.name = kAccountedServer,
              .what = "the same, in control groups with limits, whose figures are read for each "
                      "job",
              .make = [cgroup_parent](const Program& program, unsigned in_flight) -> Made {
                return make_fork_server(program, in_flight, ForkServerChild::kAccounted,
                                        cgroup_parent);
              }},
          Way{.name = "fork_only",
              .what = "a bare fork server whose child ends without an exec",
              .without_exec = true,
              .make = [](const Program& program, unsigned in_flight) -> Made {
                return make_fork_server(program, in_flight, ForkServerChild::kExits);
              }}};
}

}  // namespace hatchery::bench
