// Attacks as data: what a hostile job does, what it must get, and the control that shows which
// protection it was: the same job with that one protection off gets something else. One test an
// attack; around each, the invariants of facts/attacks.md (I1 to I7) are checked. The table of all
// of them, tests/ATTACKS.md, is written from the same data.
#pragma once

#include <gmock/gmock.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tests/pool_fixture.h"
#include "workers/protocol.h"

namespace hatchery::testing {

using ReportMatcher = ::testing::Matcher<const Report&>;

/// The same job, with one protection off.
struct Control {
  /// What is off, in words for the table. Empty: there is no control, `impossible` says why.
  std::string off = {};
  /// Protections left out (protocol::Protection).
  std::uint32_t without = 0;
  /// Whatever else must change: the profile, a limit of the job.
  std::function<void(PoolConfig&, JobSpec&)> change = {};
  ReportMatcher gets = ::testing::_;
  /// Feature of the host without which the control can't come out otherwise; "" for none.
  std::string needs = {};
  /// Why there can be no control.
  std::string impossible = {};
};

struct Attack {
  /// Of the test; letters and digits.
  std::string name;
  /// Number in facts/attacks.md ("A3", "E55"), or "own".
  std::string source;
  /// What the job does; a phrase for the table.
  std::string does;
  /// What it gets; a phrase for the table.
  std::string answer;
  /// What stops it; a phrase for the table.
  std::string layer;
  JobSpec job;
  ReportMatcher gets;
  Control control;
  /// Changes the profile, or the job, for the attack and its control alike.
  std::function<void(PoolConfig&, JobSpec&)> prepare = {};
  /// For attacks that take more than one submit(): the report that `gets` looks at. Default:
  /// submits `job` and waits.
  std::function<Report(Pool&, JobSpec)> play = {};
  /// The attack is on the slot's own processes, which a pool may answer by replacing the slot.
  bool may_cost_the_slot = false;
  /// Feature of the host (tests/host_features.h) without which the test is skipped; "" for none.
  std::string needs = {};
};

using Attacks = std::vector<Attack> (*)();

/// Registers a suite's attacks for tests and table alike; use HATCHERY_ATTACKS.
int register_attacks(const char* suite, Attacks attacks);

// ---- jobs

/// `sh -c script`, stdout and stderr collected. One process at the least: sh.
JobSpec sh(const std::string& script, Limits limits = {});
/// Why an attack has no control.
inline constexpr const char* kNothingDenied = "nothing is denied; the invariants are the test";
void two_slots(PoolConfig& config, JobSpec&);
/// What the pool holds while it is idle (I7): descriptors change by chance with what a slot that
/// parks just then has sent.
void await_parked(Pool& pool);
/// What a second pool beside this one may be made of.
PoolConfig config_beside(Pool& pool, const std::string& suffix);
/// After the job: how many processes the next one sees, itself not counted.
Report processes_after(Pool& pool, JobSpec spec);
/// `python3 -c script`, the same way. The test is skipped, or fails, where there is no python3.
JobSpec python(const std::string& script, Limits limits = {});
/// A program of tests/payloads with its arguments, the same way.
JobSpec payload(const std::string& name, std::vector<std::string> args = {}, Limits limits = {});

/// Where the sandbox has tests/payloads.
inline constexpr const char* kPayloads = "/payloads";

// ---- what reports are

/// The outcome.
ReportMatcher Ends(Outcome outcome);
/// Memory limit, by many small things. At it the kernel looks for memory before each of them, under
/// emulation for minutes: there the CPU limit may come first.
ReportMatcher EndsOutOfMemory();
/// Ended by itself, whatever its status, and printed this on stdout. The last newline is cut.
ReportMatcher Prints(::testing::Matcher<const std::string&> text);
/// Accepted, or nonzero exit, and any of stdout.
ReportMatcher Survives();
/// All of them.
template <typename... Matchers>
ReportMatcher Both(Matchers... matchers) {
  return ::testing::AllOf(matchers...);
}

// ---- controls

/// The same without these protections.
Control without(std::uint32_t protections, std::string off, ReportMatcher gets);
/// The same with a limit, or anything else of job and profile, changed.
Control with(std::string off, std::function<void(PoolConfig&, JobSpec&)> change,
             ReportMatcher gets);
/// There is none, and why.
Control no_control(std::string why);

/// All that a job can see and reach: facts by their names.
using Fingerprint = std::map<std::string, std::string>;

/// A pool with one slot and the payloads in it; runs attacks. Those of a suite that change nothing
/// of the pool share one, in which each finds the world that the one before it left; controls have
/// pools of their own.
class AttackTest : public PoolTest {
 public:
  explicit AttackTest(Attack attack);
  static void TearDownTestSuite();
  void SetUp() override;
  void TearDown() override;
  void TestBody() override;

 private:
  void attack();
  void attack_in_shared_pool();
  void control();
  Report play(JobSpec spec);
  void skip_without_program(const JobSpec& spec);
  Attack attack_;
  /// What its pool looked like before any attack; empty: not known yet.
  Fingerprint fresh_;
};

/// By a job in it, tests/payloads/fingerprint.
Fingerprint fingerprint(Pool& pool);
/// Lines that differ, for a message; "" when none does.
std::string differences(const Fingerprint& fresh, const Fingerprint& now);

/// The page: a table a suite.
std::string attack_page();

}  // namespace hatchery::testing

/// A function that returns the suite's attacks, and its registration.
#define HATCHERY_ATTACKS(suite)                                        \
  static std::vector<::hatchery::testing::Attack> suite##_attacks();   \
  [[maybe_unused]] static const int suite##_registered =               \
      ::hatchery::testing::register_attacks(#suite, &suite##_attacks); \
  static std::vector<::hatchery::testing::Attack> suite##_attacks()
