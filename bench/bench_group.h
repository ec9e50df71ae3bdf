// BenchGroup: a control group for all that the benchmark runs, so that the kernel itself says what
// CPU time and memory a way takes: client, pool, zygotes, jobs, peers. Thread: one at a time.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace hatchery::bench {

class BenchGroup {
 public:
  /// Makes the groups and moves this process into the one that counts CPU time. Where that can't be
  /// done, nothing is made, and the figures are absent.
  BenchGroup();
  /// Moves this process back, and removes the groups.
  ~BenchGroup();
  BenchGroup(const BenchGroup&) = delete;
  BenchGroup& operator=(const BenchGroup&) = delete;

  /// CPU time of all in it since it was made.
  std::optional<double> cpu_us() const;
  /// Memory charged to all in it, the kernel's objects included.
  std::optional<double> memory_bytes() const;

  /// For PoolConfig::cgroup_parent and an OCI cgroupsPath: a group in every hierarchy, relative to
  /// its mount; "" when there is none.
  const std::string& path() const noexcept { return path_; }
  /// What counts CPU time: "cgroup v2", "cgroup v1", or why it can't be had.
  const std::string& what() const noexcept { return what_; }

 private:
  std::string path_;
  std::string what_;
  std::vector<std::string> directories_;
  std::string home_procs_;  // Where this process goes back to.
  std::string cpu_directory_;
  std::string memory_directory_;
  bool cpu_v2_ = false;
  bool memory_v2_ = false;
};

/// CPU time used so far, from three sources.
struct CpuReading {
  std::optional<double> group_us;  ///< All in the benchmark's control group.
  double machine_us = 0;  ///< The whole machine, others' work too; counted in ticks of 10 ms.
  double threads_us = 0;  ///< Other threads of this process: the pool's loop and porter.
};
CpuReading read_cpu(const BenchGroup& group);

}  // namespace hatchery::bench
