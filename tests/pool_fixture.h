// PoolTest: a real pool on this host's kernel, and the check that nothing of it is left after each
// test.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "pool/pool.h"
#include "tests/host_features.h"
#include "tests/pipe.h"

namespace hatchery::testing {

inline constexpr std::uint64_t kKiB = 1ULL << 10;
inline constexpr std::uint64_t kMiB = 1ULL << 20;

/// What a pool could leave behind on the host, as text: a test compares before and after.
struct HostTraces {
  std::size_t descriptors = 0;         ///< Open in this process.
  std::vector<std::string> mounts;     ///< Of this mount namespace.
  std::vector<std::string> processes;  ///< Children of this process, and all with a slot's uid.
  std::vector<std::string> cgroups;    ///< Directories below hatchery/<pool name>.
  bool operator==(const HostTraces&) const = default;
};

/// `config` says which names and uids are the pool's.
HostTraces host_traces(const PoolConfig& config);

class PoolTest : public ::testing::Test {
 public:
  /// Two slots, a name and uids that no other test process has.
  static PoolConfig small_config();

 protected:
  void SetUp() override;
  /// Skips, or fails, on a host where no pool can be.
  static void require_features();
  /// Ends the pool and fails when it left something.
  void TearDown() override;

  /// The test's pool, made of `config` when it is first asked for.
  Pool& pool();
  /// Ends it; the next pool() makes another, of what `config` is then.
  void stop_pool() { pool_.reset(); }
  static std::unique_ptr<Pool> make_pool(const PoolConfig& of);
  /// Gives it up, to one who ends it; the next pool() makes another.
  std::unique_ptr<Pool> release_pool() { return std::move(pool_); }
  /// Makes this the test's, which ends it. It was made of `config`.
  void adopt_pool(std::unique_ptr<Pool> pool) { pool_ = std::move(pool); }
  /// What became of one job.
  Report run(JobSpec spec);
  /// The same of `sh -c script`, stdout and stderr collected as "stdout" and "stderr".
  Report run_shell(const std::string& script, Limits limits = {});
  static JobSpec shell(const std::string& script, Limits limits = {});

  /// To change before pool() is called.
  PoolConfig config = small_config();
  Profile& profile() { return config.profiles.front(); }
  /// As SetUp() found the host.
  HostTraces before_;

 private:
  std::unique_ptr<Pool> pool_;
};

/// A job that runs until its test lets it go: the test knows that it has started.
class Held {
 public:
  JobSpec job() const;
  /// Fails if the job ends before it starts. Once.
  void await_start() {
    started_.write_end.reset();  // The job has it; what it will not write, read() doesn't await.
    EXPECT_EQ(started_.read(2), "x\n");
  }
  void release() const { EXPECT_EQ(::write(go_.write_end.get(), "\n", 1), 1); }

 private:
  Pipe started_, go_;
};

/// A new, empty directory of the host; the caller removes it.
std::string make_temporary_directory();
/// The bytes of that output; fails the test when there is none.
std::string output_of(const Report& report, const std::string& name = "stdout");
/// For messages: outcome, exit, error and the outputs in a line.
std::string describe(const Report& report);

}  // namespace hatchery::testing

namespace hatchery {

/// What GoogleTest prints of one: not its bytes.
inline void PrintTo(const Report& report, std::ostream* out) { *out << testing::describe(report); }

}  // namespace hatchery
