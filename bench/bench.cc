#include "bench/bench.h"

#include <chrono>
#include <cstdio>

namespace hatchery::bench {

std::vector<const Way*> Bench::usable() const {
  std::vector<const Way*> usable;
  for (const Way& way : ways)
    if (way.refusal.empty()) usable.push_back(&way);
  return usable;
}

void register_measure(Bench& bench, const std::string& name, std::function<void()> measure) {
  if (!std::regex_search(name, bench.only)) return;
  bench.names.push_back(name);
  const auto body = [&bench, name, measure = std::move(measure)](benchmark::State& state) {
    const std::size_t first = bench.results.rows().size();
    const std::size_t first_trouble = bench.results.troubles().size();
    for ([[maybe_unused]] auto iteration : state) {
      const auto start = std::chrono::steady_clock::now();
      measure();
      const auto took = std::chrono::steady_clock::now() - start;
      state.SetIterationTime(std::chrono::duration<double>(took).count());
    }
    const std::vector<Row>& rows = bench.results.rows();
    for (std::size_t i = first; i < rows.size(); ++i)
      for (const auto& [figure, value] : rows[i].figures)
        state.counters[rows[i].way + "_" + figure] = value.estimate.value;
    std::fputs(table_text(name, rows, first).c_str(), stdout);
    for (std::size_t i = first_trouble; i < bench.results.troubles().size(); ++i) {
      const Trouble& trouble = bench.results.troubles()[i];
      std::printf("  %s: left out: %s\n", trouble.way.c_str(), trouble.reason.c_str());
    }
    std::fflush(stdout);
  };
  benchmark::RegisterBenchmark(name.c_str(), body)
      ->Iterations(1)
      ->UseManualTime()
      ->Unit(benchmark::kSecond);
}

}  // namespace hatchery::bench
