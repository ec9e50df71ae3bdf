// Settings of the host that turn a job's own doings into the host's: swap, core_pattern, the
// environment of the pool. Each is changed for the attack alone, and put back.
#include <sys/swap.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "core/check.h"
#include "tests/adversarial_host.h"

namespace hatchery::testing {
namespace {

using protocol::kWithoutFilter;
using protocol::kWithoutSwapLimit;

/// Writes a file of /proc/sys; what it had comes back at the end.
class Sysctl {
 public:
  Sysctl(std::string path, const std::string& value) : path_(std::move(path)) {
    std::getline(std::ifstream(path_), before_);
    EXPECT_TRUE(set(value)) << path_;
  }
  ~Sysctl() { EXPECT_TRUE(set(before_)) << path_; }
  Sysctl(const Sysctl&) = delete;
  Sysctl& operator=(const Sysctl&) = delete;

 private:
  bool set(const std::string& value) const {
    return static_cast<bool>(std::ofstream(path_) << value << std::flush);
  }
  std::string path_;
  std::string before_;
};

/// 64 MiB of swap for the host.
class SwapFile {
 public:
  SwapFile() : path_(host_file("swap", std::string(64 * kMiB, '\0'), 0600)) {
    // The header that mkswap(8) writes: version 1, number of the last page, no bad ones; and the
    // signature at the end of the first page.
    const std::uint32_t header[] = {1, static_cast<std::uint32_t>(64 * kMiB / page()) - 1, 0};
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(1024).write(reinterpret_cast<const char*>(header), sizeof header);
    file.seekp(static_cast<std::streamoff>(page()) - 10).write("SWAPSPACE2", 10);
    file.close();
    EXPECT_EQ(::swapon(path_.c_str(), 0), 0) << std::strerror(errno);
  }
  ~SwapFile() {
    EXPECT_EQ(::swapoff(path_.c_str()), 0);
    ::unlink(path_.c_str());
  }
  SwapFile(const SwapFile&) = delete;
  SwapFile& operator=(const SwapFile&) = delete;

 private:
  static std::size_t page() { return static_cast<std::size_t>(::getpagesize()); }
  std::string path_;
};

Report beside_swap(Pool& pool, JobSpec spec) {
  const SwapFile swap;
  return run_or_refusal(pool, std::move(spec));
}

/// Runs the job while every core goes to a program of the host; whether that ran is "host". With a
/// limit on such programs the kernel waits for their end before it lets the dying one go (core(5)).
Report dumping(Pool& pool, JobSpec spec) {
  const std::string ran = scratch() + "/dumped";
  ::unlink(ran.c_str());
  const std::string program =
      host_file("dumper", "#!/bin/sh\ncat >/dev/null\necho ran >" + ran + "\n", 0755);
  const Sysctl limit("/proc/sys/kernel/core_pipe_limit", "4");
  const Sysctl pattern("/proc/sys/kernel/core_pattern", "|" + program);
  Report report = run_or_refusal(pool, std::move(spec));
  return with_output(std::move(report), "host", bytes_of(ran));
}

HATCHERY_ATTACKS(Settings) {
  return {
      {.name = "SwapOfTheHost",
       .source = "B30",
       .does = "touches 32 MiB with 16 MiB of memory, on a host with 64 MiB of swap",
       .answer = "memory limit: swap is no memory to it",
       .layer = "memory and swap of the job's cgroup",
       .job = payload("hoard", {"private", "32"}, {.memory_bytes = 16 * kMiB}),
       .gets = Ends(Outcome::kMemoryLimit),
       .control = without(kWithoutSwapLimit, "limit on swap", Ends(Outcome::kAccepted)),
       .play = beside_swap,
       .may_cost_the_slot = true,
       .needs = "swap"},
      // At a limit of 0 such a program runs, too.
      {.name = "PipedCore",
       .source = "E79",
       .does = "lowers its core limit to 0 and crashes, where core_pattern is a program of the "
               "host's",
       .answer = "signalled; the program does not run",
       .layer = "RLIMIT_CORE of 1, and a filter that keeps it there",
       .job = sh("(ulimit -c 0; exec sh -c 'kill -SEGV $$'); kill -SEGV $$"),
       .gets = Both(DiesOf(SIGSEGV), Gives("host", "")),
       .control = without(kWithoutFilter, "filter", Gives("host", "ran\n")),
       .play = dumping,
       .needs = "core_pattern"},
      {.name = "EnvironmentOfThePool",
       .source = "G108",
       .does = "looks for a secret in its environment, and in all that it sees of others",
       .answer = "nothing",
       .layer = "an environment of its own, pid namespace, hidepid",
       .job = sh("{ env; cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline; } | "
                 "grep -ac 'trea[s]ure'"),
       .gets = Prints("0"),
       .control = with(
           "that: it gets what the pool has",
           [](PoolConfig&, JobSpec& spec) {
             spec.env = {"PATH=/usr/bin:/bin", std::string("SECRET=") + std::getenv("SECRET")};
           },
           Prints(::testing::Not("0"))),
       .prepare = [](PoolConfig&, JobSpec&) { ::setenv("SECRET", "treasure", 1); }},
  };
}

}  // namespace
}  // namespace hatchery::testing
