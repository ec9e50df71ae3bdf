// Bench: what all measures share. Each measure registers its benchmarks with Google Benchmark,
// which selects them, runs them and writes their counters; the loop inside is our own, because ways
// take turns.
#pragma once

#include <benchmark/benchmark.h>

#include <functional>
#include <regex>
#include <string>
#include <vector>

#include "bench/bench_group.h"
#include "bench/results.h"
#include "bench/way.h"

namespace hatchery::bench {

struct Bench {
  bool quick = false;
  /// Names of the measures that are wanted.
  std::regex only = {};
  /// Those that are registered: all that are wanted.
  std::vector<std::string> names = {};
  BenchGroup group = {};
  std::vector<Way> ways = {};
  Results results = {};

  /// Those that can run here.
  std::vector<const Way*> usable() const;
};

/// Registers a benchmark that runs once, if it is wanted: `measure` adds rows to bench.results,
/// which are printed and become counters.
void register_measure(Bench& bench, const std::string& name, std::function<void()> measure);

// One file each.
void register_latency(Bench& bench);
void register_sparse(Bench& bench);
void register_throughput(Bench& bench);
void register_slots(Bench& bench);
void register_cold(Bench& bench);
void register_pool_protections(Bench& bench);
void register_kernel_protections(Bench& bench);
void register_queue(Bench& bench);
void register_data(Bench& bench);
void register_http(Bench& bench);

}  // namespace hatchery::bench
