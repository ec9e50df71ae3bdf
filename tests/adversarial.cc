#include "tests/adversarial.h"

#include <malloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

#include "core/cgroup.h"
#include "core/user_namespace.h"
#include "tests/await.h"
#include "tests/selinux_fixture.h"
#include "tests/slowness.h"

namespace hatchery::testing {
namespace {

struct Suite {
  std::string name;
  Attacks attacks;
};

std::vector<Suite>& suites() {
  static std::vector<Suite> all;
  return all;
}

std::string read_all(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Those that have a number out of the pool's range of uids.
std::string lines_of_slots(const std::string& text, const PoolConfig& config) {
  std::string found;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    for (std::string word; words >> word;) {
      const unsigned long number = std::strtoul(word.c_str(), nullptr, 10);
      if (number < config.uid_base || number - config.uid_base >= config.uid_count) continue;
      found += line + '\n';
      break;
    }
  }
  return found;
}

/// What of the host a job could have changed, if it got out (I1).
std::map<std::string, std::string> canary(const std::string& file, const PoolConfig& config) {
  std::map<std::string, std::string> seen;
  for (const char* path :
       {"/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/proc/sys/kernel/domainname",
        "/proc/sys/kernel/modprobe", "/proc/sys/kernel/sysrq", "/proc/sys/vm/overcommit_memory",
        "/proc/sys/kernel/randomize_va_space", "/proc/sysvipc/shm", "/proc/sysvipc/sem",
        "/proc/sysvipc/msg", "/etc/passwd", "/proc/net/route"})
    seen[path] = read_all(path);
  // Of the host's own IPC objects only those of a slot's owner tell of a job: others come and go.
  for (const char* path : {"/proc/sysvipc/shm", "/proc/sysvipc/sem", "/proc/sysvipc/msg"})
    seen[path] = lines_of_slots(seen[path], config);
  struct stat status {};
  EXPECT_EQ(::stat(file.c_str(), &status), 0);
  seen[file] = read_all(file) + ' ' + std::to_string(status.st_mode) + ' ' +
               std::to_string(status.st_uid) + ' ' + std::to_string(status.st_mtim.tv_nsec);
  return seen;
}

void expect_as_many(const HostTraces& now, const HostTraces& before) {
  EXPECT_EQ(now.processes.size(), before.processes.size());
  EXPECT_EQ(now.descriptors, before.descriptors);
  EXPECT_EQ(now.cgroups, before.cgroups);
  EXPECT_EQ(now.mounts, before.mounts);
}

std::size_t resident_bytes() {
  ::malloc_trim(0);
  std::istringstream statm(read_all("/proc/self/statm"));
  std::size_t total = 0;
  std::size_t resident = 0;
  statm >> total >> resident;
  return resident * static_cast<std::size_t>(::getpagesize());
}

}  // namespace

int register_attacks(const char* suite, Attacks attacks) {
  suites().push_back({suite, attacks});
  for (const Attack& attack : attacks()) {
    // The attack is made anew by the test, so that its JobSpec is nobody else's.
    const auto make = [attacks, name = attack.name] {
      for (Attack& one : attacks())
        if (one.name == name) return new AttackTest(std::move(one));
      HATCHERY_UNREACHABLE();
    };
    ::testing::RegisterTest(suite, attack.name.c_str(), nullptr, nullptr, __FILE__, __LINE__,
                            // Not as a plain Test: by its type the suite's end is found.
                            [make]() -> AttackTest* { return make(); });
  }
  return 0;
}

JobSpec payload(const std::string& name, std::vector<std::string> args, Limits limits) {
  JobSpec spec{.args = {std::string(kPayloads) + '/' + name}, .limits = std::move(limits)};
  spec.args.insert(spec.args.end(), args.begin(), args.end());
  spec.fds[1] = CollectorStream{.name = "stdout"};
  spec.fds[2] = CollectorStream{.name = "stderr"};
  return spec;
}

JobSpec sh(const std::string& script, Limits limits) {
  JobSpec spec = payload("", {"-c", script}, std::move(limits));
  spec.args[0] = "/bin/sh";
  return spec;
}

void two_slots(PoolConfig& config, JobSpec&) {
  config.profiles.front().slots_min = config.profiles.front().slots_max = 2;
}

void await_parked(Pool& pool) {
  // The next worker parks soon: the pool's own deadline for it bounds this loop.
  const std::uint32_t all = pool.config().profiles.front().slots_min;
  await([&] { return pool.stats().slots_ready >= all; });
}

PoolConfig config_beside(Pool& pool, const std::string& suffix) {
  PoolConfig config = pool.config();
  config.name += suffix;
  if (has_all_ids()) return config;
  // Those of an ordinary user's namespace, which no configuration could name, are chosen anew.
  const PoolConfig defaults;
  config.uid_base = defaults.uid_base;
  config.uid_count = defaults.uid_count;
  return config;
}

Report processes_after(Pool& pool, JobSpec spec) {
  Result<std::future<Report>> first = pool.submit(std::move(spec));
  HATCHERY_CHECK(first.has_value());
  const Report report = first->get();
  EXPECT_EQ(report.outcome, Outcome::kAccepted) << describe(report);
  Result<std::future<Report>> next =
      pool.submit(sh("n=0; for p in /proc/[0-9]*; do n=$((n+1)); done; echo $((n-1))"));
  HATCHERY_CHECK(next.has_value());
  return next->get();
}

JobSpec python(const std::string& script, Limits limits) {
  JobSpec spec = payload("", {"-c", script}, std::move(limits));
  spec.args[0] = "/usr/bin/python3";
  return spec;
}

namespace {

std::string text_of(const Report& report) {
  const Output* output = report.output("stdout");
  std::string text = output == nullptr ? "" : output->bytes;
  if (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

MATCHER_P(HasOutcome, outcome, std::string("ends with ") + outcome_name(outcome)) {
  *result_listener << "which is " << describe(arg) << ", stdout: " << text_of(arg);
  return arg.outcome == outcome;
}

MATCHER_P(HasText, text,
          std::string("prints text that ") + ::testing::DescribeMatcher<const std::string&>(text)) {
  *result_listener << "which is " << describe(arg) << ", stdout: " << text_of(arg);
  return ::testing::Matches(text)(text_of(arg));
}

}  // namespace

ReportMatcher Ends(Outcome outcome) { return HasOutcome(outcome); }

ReportMatcher EndsOutOfMemory() {
  if (slowness() == 1) return Ends(Outcome::kMemoryLimit);
  return ::testing::AnyOf(Ends(Outcome::kMemoryLimit), Ends(Outcome::kTimeLimit));
}

ReportMatcher Survives() {
  return ::testing::AnyOf(HasOutcome(Outcome::kAccepted), HasOutcome(Outcome::kNonzeroExit));
}

ReportMatcher Prints(::testing::Matcher<const std::string&> text) {
  return ::testing::AllOf(Survives(), HasText(text));
}

Control without(std::uint32_t protections, std::string off, ReportMatcher gets) {
  Control control{.off = std::move(off), .without = protections, .gets = std::move(gets)};
  // A second layer: with a group of its own for each job, the last one's is emptied and removed.
  if ((protections & protocol::kWithoutKillAll) != 0) control.needs = "job_group_kept";
  return control;
}

Control with(std::string off, std::function<void(PoolConfig&, JobSpec&)> change,
             ReportMatcher gets) {
  return {.off = std::move(off), .change = std::move(change), .gets = std::move(gets)};
}

Control no_control(std::string why) { return {.impossible = std::move(why)}; }

Fingerprint fingerprint(Pool& pool) {
  JobSpec spec = payload("fingerprint", {}, {.output_bytes = 16ULL << 20});
  Result<std::future<Report>> future = pool.submit(std::move(spec));
  HATCHERY_CHECK(future.has_value());
  const Report report = future->get();
  EXPECT_EQ(report.outcome, Outcome::kAccepted) << describe(report);
  Fingerprint facts;
  // mountinfo shows ids as the host has them, which are another slot's own.
  static const std::regex kHostIds("([ug]id)=[0-9]{6,}");
  std::istringstream lines(output_of(report));
  for (std::string line; std::getline(lines, line);) {
    if (line.find("id=") != std::string::npos)
      line = std::regex_replace(line, kHostIds, "$1=the slot's");
    const std::size_t space = line.find(' ');
    const std::string name = line.substr(0, space);
    facts[name] += (facts[name].empty() ? "" : "\n") +
                   (space == std::string::npos ? std::string() : line.substr(space + 1));
  }
  facts["(slot)"] = std::to_string(report.slot);
  return facts;
}

namespace {

/// Of two texts of many lines, those that only one of them has.
std::string lines_that_differ(const std::string& before, const std::string& after) {
  const auto lines_without = [](const std::string& text, const std::string& other) {
    std::string found;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);)
      if (('\n' + other + '\n').find('\n' + line + '\n') == std::string::npos)
        found += (found.empty() ? "" : "\n") + line;
    return found;
  };
  const std::string gone = lines_without(before, after);
  const std::string come = lines_without(after, before);
  if (gone.empty() && come.empty()) return "has another order";
  return '"' + gone + "\" is \"" + come + "\" now";
}

/// Whether SELinux confines jobs besides: it answers before most of the other protections, EACCES.
bool selinux_confines() {
  static const bool confines = missing_feature("selinux").empty();
  return confines;
}

/// Before the protection that the attack is made for came to answer: that one is left to the
/// control, which SELinux lets pass.
bool denied_by_selinux(const Report& report) {
  if (!selinux_confines()) return false;
  if (report.error && report.error->errnum == EACCES) return true;
  for (const Output& output : report.outputs)
    if (output.bytes.find("EACCES") != std::string::npos ||
        output.bytes.find("Permission denied") != std::string::npos)
      return true;
  return false;
}

}  // namespace

std::string differences(const Fingerprint& fresh, const Fingerprint& now) {
  // Categories are a slot's own, and name no job.
  static const std::regex kCategories(":c[0-9]+,c[0-9]+");
  const bool same_slot = fresh.at("(slot)") == now.at("(slot)");
  const auto seen = [same_slot](const std::string& value) {
    return same_slot ? value : std::regex_replace(value, kCategories, ":of the slot");
  };
  std::string text;
  for (const auto& [name, value] : fresh) {
    const auto found = now.find(name);
    if (found == now.end())
      text += name + " is gone\n";
    else if (found->second != value && seen(found->second) != seen(value) && !name.starts_with('('))
      text += name + ": " + lines_that_differ(value, found->second) + '\n';
  }
  for (const auto& [name, value] : now)
    if (!fresh.contains(name)) text += name + " is new: \"" + value + "\"\n";
  return text;
}

void AttackTest::skip_without_program(const JobSpec& spec) {
  if (spec.args[0] == "/usr/bin/python3") HATCHERY_REQUIRE_FEATURE("python3");
  if (!attack_.needs.empty()) HATCHERY_REQUIRE_FEATURE(attack_.needs);
}

Report AttackTest::play(JobSpec spec) {
  if (attack_.play) return attack_.play(pool(), std::move(spec));
  return run(std::move(spec));
}

void AttackTest::attack() {
  const std::string canary_file = ::testing::TempDir() + config.name + ".canary";
  std::ofstream(canary_file) << "sings\n";
  const auto host = canary(canary_file, config);
  await_parked(pool());
  if (fresh_.empty()) fresh_ = fingerprint(pool());
  await_parked(pool());
  const std::uint64_t replaced = pool().stats().slots_replaced;
  const HostTraces before = host_traces(config);
  const std::size_t resident = resident_bytes();

  const Report report = play(attack_.job);
  if (!denied_by_selinux(report)) {
    EXPECT_THAT(report, attack_.gets) << attack_.does;
  } else if (!attack_.control.off.empty()) {
    EXPECT_THAT(report, ::testing::Not(attack_.control.gets)) << "as if nothing were denied";
  }

  // I5: the pool was not kept from its own clock. A bound for a hung pool, not a measurement.
  const auto limit = attack_.job.limits.wall_time.value_or(
      profile().defaults.wall_time.value_or(std::chrono::seconds(30)));
  EXPECT_LT(report.wall_time.value_or(Nanoseconds(0)), limit + std::chrono::seconds(5));
  // I3: the next job sees a new world. I4: in the same slot, unless the attack was on it.
  const Fingerprint after = fingerprint(pool());
  EXPECT_EQ(differences(fresh_, after), "");
  if (!attack_.may_cost_the_slot) {
    if (profile().slots_max == 1) {
      EXPECT_EQ(after.at("(slot)"), fresh_.at("(slot)")) << "the slot was replaced";
    }
    EXPECT_EQ(pool().stats().slots_replaced, replaced);
  }
  fresh_ = after;
  await_parked(pool());
  EXPECT_EQ(pool().stats().slots_total, config.profiles.front().slots_min);
  // I2 and I7: zygote and parked worker are there, and nothing else.
  expect_as_many(host_traces(config), before);
#if !defined(HATCHERY_SANITIZED)
  EXPECT_LT(resident_bytes(), resident + (64ULL << 20));
#endif
  static_cast<void>(resident);
  // I1.
  EXPECT_EQ(canary(canary_file, config), host);
  ::unlink(canary_file.c_str());
}

void AttackTest::control() {
  const Control& control = attack_.control;
  if (control.off.empty()) {
    EXPECT_FALSE(control.impossible.empty()) << "neither a control nor the reason for none";
    return;
  }
  if (!control.needs.empty()) HATCHERY_REQUIRE_FEATURE(control.needs);
  config.testing_without = control.without;
  // One layer more, off as well: what it denies is only logged.
  if (selinux_confines()) config.profiles.front().selinux_type = kPermissiveType;
  JobSpec spec = attack_.job;
  if (control.change) control.change(config, spec);
  const Report report = play(std::move(spec));
  EXPECT_THAT(report, control.gets) << "the control, without " << control.off;
  EXPECT_THAT(report, ::testing::Not(attack_.gets)) << "attack and control come out alike";
}

namespace {

/// Of one suite's attacks.
struct SharedPool {
  HostTraces before;
  PoolConfig config;
  std::unique_ptr<Pool> pool;
  Fingerprint fresh;
};

SharedPool& shared() {
  static SharedPool of_suite;
  return of_suite;
}

}  // namespace

AttackTest::AttackTest(Attack attack) : attack_(std::move(attack)) {
  profile().slots_min = profile().slots_max = 1;
  profile().binds.push_back({.source = HATCHERY_PAYLOADS, .target = kPayloads});
}

void AttackTest::SetUp() {
  require_features();
  if (IsSkipped() || HasFatalFailure()) return;
  if (!attack_.prepare && !shared().pool) {
    shared().config = config;
    shared().config.name += "-shared";
    // Controls know their slot's owner as the first of their own.
    if (has_all_ids()) shared().config.uid_base += 2 * config.uid_count;
    shared().before = host_traces(shared().config);
    shared().pool = make_pool(shared().config);
    shared().fresh.clear();
  }
  if (shared().pool) await_parked(*shared().pool);
  before_ = host_traces(config);
}

void AttackTest::TearDown() {
  stop_pool();
  if (IsSkipped()) return;
  if (shared().pool) await_parked(*shared().pool);
  expect_as_many(host_traces(config), before_);
}

void AttackTest::TearDownTestSuite() {
  if (!shared().pool) return;
  shared().pool.reset();
  expect_as_many(host_traces(shared().config), shared().before);
}

void AttackTest::attack_in_shared_pool() {
  const PoolConfig own = std::exchange(config, shared().config);
  adopt_pool(std::move(shared().pool));
  fresh_ = std::move(shared().fresh);
  attack();
  if (HasFailure())
    stop_pool();  // The next test makes another, so that no test fails for one before it.
  else
    shared().pool = release_pool();
  shared().fresh = std::move(fresh_);
  config = own;
}

void AttackTest::TestBody() {
  if (IsSkipped()) return;
  skip_without_program(attack_.job);
  if (IsSkipped()) return;
  const PoolConfig plain = config;
  if (attack_.prepare) {
    attack_.prepare(config, attack_.job);
    attack();
    stop_pool();
  } else {
    attack_in_shared_pool();
  }
  control();
  stop_pool();
  config = plain;
}

namespace {

/// Attacks that take a test of their own: on the pool's life, not by one job.
struct Elsewhere {
  const char* source;
  const char* does;
  const char* suite;
  const char* test;
};

constexpr Elsewhere kElsewhere[] = {
    {"J134", "kills the pool at any moment of a batch", "BatchKilled",
     "APoolThatIsKilledAnywhereLeavesNoProcessAndTheNextStartRemovesTheRest"},
    {"J134", "kills the pool while a job runs", "PoolHeals",
     "NoProcessOutlivesAPoolThatIsKilledAndTheNextStartCleansUp"},
    {"J135", "kills zygotes, workers and the launcher at any moment", "PoolKilled",
     "HelpersThatAreKilledAnywhereCostNoJobItsOneReport"},
    {"J135", "stops a zygote", "PoolHeals", "AZygoteThatIsStoppedIsReplacedAndItsJobReported"},
    {"J137", "runs thousands of jobs in a row (a million: tests/soak)", "PoolSoak",
     "ThousandsOfSmallJobsLeaveNothingBehind"},
    {"J127", "sends the server a gigabyte, a million arguments, endless chunks", "ServerBehaviour",
     "OversizedAndDeepRequestsAreRefusedInBoundedMemory"},
    {"J127", "sends the server what is no HTTP", "ServerBehaviour",
     "WhatIsNoHttpIsToldSoAndClosed"},
    {"J127", "sends the server JSON that is no request", "GoJudge",
     "ARequestThatIsNoneIsRefusedWithAReason"},
    {"J128", "sends its request byte by byte, or half of it", "ServerBehaviour",
     "AClientThatIsTooSlowIsDroppedAndOthersAreNot"},
    {"J128", "holds ten thousand connections", "ServerBehaviour",
     "TenThousandIdleConnectionsCostLittleAndSlowNobody"},
    {"J128", "takes none of what it asked for", "ServerBehaviour",
     "AReaderThatLagsBehindAFloodIsDropped"},
    {"J129", "goes away while its command runs", "GoJudge",
     "AClientThatGoesEndsItsCommandAndFreesTheSlot"},
    {"J129", "loses its WebSocket while its commands run", "GoJudgeWs",
     "AConnectionThatIsLostCancelsItsRequests"},
    {"J130", "is a web page of another origin, or a name made to lead here", "GoJudge",
     "PagesOfOtherOriginsAreRefused"},
    {"J131", "fills the queue over HTTP", "GoJudge", "AFullQueueIsToldSo"},
    {"J132", "fills the server's store", "GoJudge", "AFullStoreRefusesThatUploadAlone"},
    {"J132", "leaves files in the store for ever", "ServerBehaviour",
     "StoredFilesThatNobodyUsesExpire"},
    {"J133", "has programs copied in and run at once, many at a time", "ServerBehaviour",
     "AProgramThatWasJustCopiedInIsNeverBusy"},
    {"J134", "kills the server while a request runs", "ServerBehaviour",
     "AKilledServersJobsDieAndTheNextOneCleansUp"},
    {"J135", "kills the zygote of a request", "ServerBehaviour",
     "AKilledZygoteIsAnInternalErrorOfThatRequestAlone"},
    {"J138", "asks the server for limits of nothing, and of all bits", "GoJudge",
     "ZeroAndHugeLimitsHaveADefinedAnswer"},
    {"J139", "starts a second server of the same name", "ServerBehaviour",
     "AKilledServersJobsDieAndTheNextOneCleansUp"},
    {"J139", "starts a second server at the same address", "ServerBehaviour",
     "ATakenAddressIsToldAtTheStart"},
};

/// Whether a file of tests/ defines it.
bool is_a_test(const Elsewhere& one) {
  const std::string head = std::string("TEST_F(") + one.suite + ", " + one.test + ")";
  for (const auto& entry : std::filesystem::directory_iterator(HATCHERY_SOURCE_DIR "/tests"))
    if (entry.path().extension() == ".cc" && read_all(entry.path()).find(head) != std::string::npos)
      return true;
  return false;
}

std::string table_of_elsewhere() {
  std::string table = "\n## Tests of their own\n\n| test | from | who |\n| --- | --- | --- |\n";
  for (const Elsewhere& one : kElsewhere) {
    EXPECT_TRUE(is_a_test(one)) << one.suite << '.' << one.test;
    table += std::string("| ") + one.suite + '.' + one.test + " | " + one.source + " | " +
             one.does + " |\n";
  }
  return table;
}

}  // namespace

std::string attack_page() {
  std::vector<Suite> sorted = suites();
  std::sort(sorted.begin(), sorted.end(),
            [](const Suite& a, const Suite& b) { return a.name < b.name; });
  std::size_t count = 0;
  std::size_t controls = 0;
  std::string tables;
  for (const Suite& suite : sorted) {
    tables += "\n## " + suite.name +
              "\n\n| test | from | a job that | gets | stopped by | control: without |\n"
              "| --- | --- | --- | --- | --- | --- |\n";
    for (const Attack& attack : suite.attacks()) {
      ++count;
      if (!attack.control.off.empty()) ++controls;
      const std::string control =
          attack.control.off.empty() ? "none: " + attack.control.impossible : attack.control.off;
      std::string row;
      for (const std::string& cell :
           {attack.name, attack.source, attack.does, attack.answer, attack.layer, control}) {
        std::string escaped;
        for (const char letter : cell) {
          if (letter == '|') escaped += '\\';
          escaped += letter;
        }
        row += "| " + escaped + ' ';
      }
      tables += row + "|\n";
    }
  }
  return "# Attacks\n\nWritten by `tests/run --attack-table` from the tests themselves; a test "
         "fails "
         "when it is out of date. \"From\" is the number in the\nproject's list of attacks, or "
         "own. " +
         std::to_string(count) + " attacks, " + std::to_string(controls) +
         " with a control: the same job with that one protection off\ncomes out differently, and "
         "that is asserted too. Run one: `ctest --preset dev -R NAME`.\n" +
         tables + table_of_elsewhere();
}

}  // namespace hatchery::testing
