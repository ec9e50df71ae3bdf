// I: jobs wired by pipes, of which one is hostile to the other.
#include <csignal>

#include "tests/adversarial_host.h"
#include "tests/slowness.h"

namespace hatchery::testing {
namespace {

using std::chrono::milliseconds;

/// The job and a partner, each reading what the other writes; the job's report, with the partner's
/// outcome as "stdout".
std::function<Report(Pool&, JobSpec)> with_partner(const std::string& script) {
  return [script](Pool& pool, JobSpec job) {
    JobSpec partner = sh(script, {.wall_time = milliseconds(500)});
    job.fds[0] = PipeStream{.pipe = 0, .write = false};
    job.fds[1] = PipeStream{.pipe = 1, .write = true};
    partner.fds[0] = PipeStream{.pipe = 1, .write = false};
    partner.fds[1] = PipeStream{.pipe = 0, .write = true};
    std::vector<Report> reports =
        pool.submit_group({std::move(job), std::move(partner)}).value().get();
    reports[0].outputs.insert(reports[0].outputs.begin(),
                              Output{.name = "stdout", .bytes = outcome_name(reports[1].outcome)});
    return std::move(reports[0]);
  };
}

MATCHER_P2(Pair, own, partner,
           std::string(outcome_name(own)) + " beside " + outcome_name(partner)) {
  return arg.outcome == own && arg.outputs.front().bytes == outcome_name(partner);
}

Attack group(const std::string& name, const std::string& source, const std::string& does,
             const std::string& answer, const std::string& script, const std::string& partner,
             ReportMatcher gets, const std::string& why) {
  return {.name = name,
          .source = source,
          .does = does,
          .answer = answer,
          .layer = "each job's own limits",
          .job = sh(script,
                    {.cpu_time = milliseconds(200) * slowness(), .wall_time = milliseconds(300)}),
          .gets = std::move(gets),
          .control = no_control(why),
          .prepare = two_slots,
          .play = with_partner(partner)};
}

/// A pipe end that makes no sense: the group is refused, and the reason is the report's error.
Attack refused_pipe(const std::string& name, const std::string& does, std::size_t pipe,
                    const std::string& reason) {
  return {.name = name,
          .source = "I125",
          .does = does,
          .answer = "refused: " + reason,
          .layer = "validation",
          .job = sh(":"),
          .gets = Refused(reason),
          .control = no_control("nothing is started"),
          .play = [pipe](Pool& pool, JobSpec job) {
            job.fds[5] = PipeStream{.pipe = pipe, .write = false};
            auto refused = pool.submit_group({std::move(job)});
            return refused ? refused->get()[0] : Report{.error = refused.error()};
          }};
}

/// As many groups of two as given, at once, in two slots; the worst report.
Report groups_at_once(Pool& pool, const JobSpec& job, int count) {
  std::vector<std::future<std::vector<Report>>> all;
  for (int i = 0; i < count; ++i) {
    JobSpec writer = job;
    JobSpec reader = sh("read x");
    writer.fds[1] = PipeStream{.pipe = 0, .write = true};
    reader.fds[0] = PipeStream{.pipe = 0, .write = false};
    all.push_back(pool.submit_group({std::move(writer), std::move(reader)}).value());
  }
  Report worst{.outcome = Outcome::kAccepted};
  for (auto& group : all)
    for (Report& report : group.get())
      if (report.outcome != Outcome::kAccepted) worst = std::move(report);
  return worst;
}

Report group_of(Pool& pool, const JobSpec& job, std::size_t count) {
  auto submitted = pool.submit_group(std::vector<JobSpec>(count, job));
  return submitted ? submitted->get()[0] : Report{.error = submitted.error()};
}

/// Attacks on the start of a group.
std::vector<Attack> starts() {
  return {
      {.name = "PartnerThatCannotStart",
       .source = "I124",
       .does = "waits for a partner whose program does not exist",
       .answer = "both reported: a file error, and its partner cancelled at once",
       .layer = "the pool ends who would wait for nobody",
       .job = {.args = {"/w/none"}},
       .gets = Pair(Outcome::kFileError, Outcome::kCancelled),
       .control = with(
           "the error: the program exists",
           [](PoolConfig&, JobSpec& spec) { spec.args = {"/bin/true"}; },
           Pair(Outcome::kAccepted, Outcome::kWallLimit)),
       .prepare = two_slots,
       .play = with_partner("exec sleep 9")},
      {.name = "GroupLargerThanThePool",
       .source = "I126",
       .does = "is one of 64 that are to run together in two slots",
       .answer = "refused; the reason names the number of slots",
       .layer = "validation",
       .job = sh(":"),
       .gets = Refused("64"),
       .control = with(
           "the size: a group of two", [](PoolConfig&, JobSpec& spec) { spec.client = "two"; },
           Ends(Outcome::kAccepted)),
       .prepare = two_slots,
       .play =
           [](Pool& pool, const JobSpec& job) {
             return group_of(pool, job, job.client == "two" ? 2 : 64);
           }},
      {.name = "GroupsInEachOthersWay",
       .source = "I126",
       .does = "is one of 16 groups of two that all want the same two slots",
       .answer = "all accepted, one group after the other",
       .layer = "a group is placed whole, or not at all",
       .job = sh("echo x"),
       .gets = Ends(Outcome::kAccepted),
       .control = no_control("a group that is placed in part can't be put in"),
       .prepare = two_slots,
       .play = [](Pool& pool, const JobSpec& job) { return groups_at_once(pool, job, 16); }},
  };
}

HATCHERY_ATTACKS(Groups) {
  const std::string limits = "without limits both would wait for ever";
  std::vector<Attack> all = {
      group("Deadlock", "I118", "waits for its partner, which waits for it",
            "wall limit; the partner sees its end", "read x", "read x",
            Pair(Outcome::kWallLimit, Outcome::kNonzeroExit), limits),
      group("FloodOfRequests", "I119", "asks without end", "time limit or wall limit",
            "exec yes READ", "while :; do read x; done",
            ::testing::AnyOf(Ends(Outcome::kWallLimit), Ends(Outcome::kTimeLimit),
                             Ends(Outcome::kSignalled)),
            limits),
      group("NeverReads", "I121", "never reads what its partner writes", "wall limit",
            "exec sleep 9", "exec yes", Ends(Outcome::kWallLimit), limits),
      group("EndsWithoutOutput", "I122", "ends at once; its partner reads", "partner: end of file",
            ":", "read x || exit 0; exit 1", Pair(Outcome::kAccepted, Outcome::kAccepted),
            "the partner sees the end because nobody else holds it"),
      group("ClosesItsEndsAndLivesOn", "I123", "closes its ends and goes on", "wall limit",
            "exec <&- >&-; exec sleep 9", "cat >/dev/null",
            Pair(Outcome::kWallLimit, Outcome::kAccepted), limits),
      group("BrokenPipe", "I120", "writes to a partner that has judged and gone", "SIGPIPE",
            "exec yes", "exit 1", Pair(Outcome::kSignalled, Outcome::kNonzeroExit),
            "the kernel's doing"),
      refused_pipe("PipeOutOfRange", "reads pipe 1e9", 1'000'000'000, "out of range"),
      refused_pipe("PipeOfAllBits", "reads pipe 2^64 - 1", ~std::size_t{0}, "out of range"),
      refused_pipe("PipeWithOneEnd", "reads a pipe that nobody writes", 0, "0 writers"),
  };
  for (Attack& attack : starts()) all.push_back(std::move(attack));
  return all;
}

}  // namespace
}  // namespace hatchery::testing
