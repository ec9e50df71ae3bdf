#include "bench/bare_group.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

#include "core/fd.h"
#include "core/files.h"

namespace hatchery {
namespace {

struct Start {
  const char* program;
  const char* argument;
  int procs[2];
};

/// Shares the parent's memory, as posix_spawn(3) does it: what the exec must drop is not the
/// bench's.
int join_and_exec(void* argument) {
  const auto& start = *static_cast<const Start*>(argument);
  for (const int fd : start.procs)
    if (::write(fd, "0", 1) != 1) ::_exit(126);
  ::execl(start.program, start.program, start.argument, static_cast<char*>(nullptr));
  ::_exit(127);
}

std::string read_text(const std::string& path) {
  Result<std::string> text = read_whole_file(path);
  return text ? *std::move(text) : std::string();
}

[[noreturn]] void fail_errno(const std::string& what) {
  std::perror(what.c_str());
  std::exit(1);
}

}  // namespace

BareGroup::BareGroup(const CgroupHost& host) {
  const CgroupHierarchy* memory = host.with("memory");
  const CgroupHierarchy* cpu = host.v2() != nullptr ? host.v2() : host.with("cpuacct");
  if (memory == nullptr || cpu == nullptr) fail_errno("control groups for memory and CPU time");
  const std::string name = "/hatchery-bare-" + std::to_string(::getpid());
  cpu_v2_ = cpu->v2;
  memory_v2_ = memory->v2;
  cpu_group_ = cpu->mount + cpu->parent + name;
  memory_group_ = memory->mount + memory->parent + name;
}

BareGroup::~BareGroup() = default;

BareGroup::Cost BareGroup::run(const std::string& program, const std::string& argument) {
  for (const std::string& group : {cpu_group_, memory_group_})
    if (::mkdir(group.c_str(), 0755) < 0 && errno != EEXIST) fail_errno(group);
  const UniqueFd cpu(::open((cpu_group_ + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC));
  const UniqueFd memory(::open((memory_group_ + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC));
  Start start{program.c_str(), argument.c_str(), {memory.get(), cpu.get()}};
  std::vector<char> stack(65536);
  const int child =
      ::clone(join_and_exec, stack.data() + stack.size(), CLONE_VM | CLONE_VFORK | SIGCHLD, &start);
  int status = 0;
  if (child < 0 || ::waitpid(child, &status, 0) != child || status != 0) fail_errno(program);
  Cost cost;
  if (cpu_v2_)
    cost.cpu_us = static_cast<double>(
        keyed_number(read_text(cpu_group_ + "/cpu.stat"), "usage_usec").value_or(0));
  else
    cost.cpu_us =
        static_cast<double>(leading_number(read_text(cpu_group_ + "/cpuacct.usage")).value_or(0)) /
        1e3;
  const std::string peak = memory_v2_ ? "/memory.peak" : "/memory.max_usage_in_bytes";
  cost.memory_kib =
      static_cast<double>(leading_number(read_text(memory_group_ + peak)).value_or(0)) / 1024;
  // A new group for each run: nothing of the one before is in its figures.
  ::rmdir(cpu_group_.c_str());
  ::rmdir(memory_group_.c_str());
  return cost;
}

}  // namespace hatchery
