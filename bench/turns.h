// Turns: ways take turns in one run, in an order drawn anew each round, so that whatever else the
// machine does falls on all of them. A lane is one way's seat in it.
#pragma once

#include <optional>

#include "bench/bench.h"

namespace hatchery::bench {

struct Lane {
  std::string name;
  std::unique_ptr<Runner> runner;
  bool whole_command = false;

  /// Jobs of one turn, and in how many rounds it has one: a way that is slow takes part less often,
  /// so that all get about the same time.
  unsigned jobs = 1;
  unsigned stride = 1;

  // Filled by run_turns(), a round each; empty where it had no turn.
  Rounds latency_us = {};
  Rounds jobs_per_s = {};    ///< [jobs, seconds]
  Rounds group_cpu_us = {};  ///< [µs, jobs], and so on
  Rounds machine_cpu_us = {};
  Rounds threads_cpu_us = {};
  std::optional<Error> trouble = {};

  std::size_t jobs_counted() const;
};

/// How long, and how, everything is measured.
struct TurnPlan {
  unsigned rounds = 1;
  double turn_s = 0.1;
  /// Jobs of a turn at least.
  unsigned jobs_min = 1;
  /// The first job of a turn pays for the caches that other ways' turns have emptied; it is no part
  /// of the latencies. Sparse arrival is about such jobs and counts them.
  bool drop_first = false;
  /// 0: one after the other; else one job each so many milliseconds.
  unsigned pace_ms = 0;
};

/// Makes a lane for each way that can run the program; why one can't goes to bench.results.
std::vector<Lane> make_lanes(Bench& bench, const std::string& measure, const Program& program,
                             unsigned in_flight, const std::vector<const Way*>& ways);

/// Finds out how many jobs make a turn, then lets all lanes have their turns. A lane that fails
/// gets its trouble and no more turns.
void run_turns(Bench& bench, std::vector<Lane>& lanes, const TurnPlan& plan);

/// The lane of that name, or null.
const Lane* lane_named(const std::vector<Lane>& lanes, const std::string& name);

/// CPU time of a job as figures of the row: of all processes by the control group, of the whole
/// machine, and of the pool's own threads where it is a pool.
void add_cpu(Row& row, const Lane& lane, const Lane* floor);

/// Reports the troubles of lanes to bench.results.
void add_troubles(Bench& bench, const std::string& measure, const std::string& program,
                  const std::vector<Lane>& lanes);

}  // namespace hatchery::bench
