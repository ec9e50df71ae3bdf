// Slots: what one takes to set up, what it holds while it idles, the kernel's share included, and
// whether a job is as fast beside 2,000 of them as beside four.
#include <poll.h>

#include <chrono>
#include <sstream>

#include "bench/fork_server.h"
#include "bench/pool_runner.h"
#include "bench/process_runner.h"
#include "bench/turns.h"
#include "core/files.h"

namespace hatchery::bench {
namespace {

/// Four beside 2,000: their latencies are compared.
constexpr std::uint32_t kSlotCounts[] = {10, 100, 1'000, 4, 2'000};

struct Memory {
  double available = 0;  ///< MemAvailable
  double slab = 0;       ///< The kernel's objects.
  double anonymous = 0;
  double stacks_and_tables = 0;  ///< Kernel stacks and page tables.
  double percpu = 0;
  std::optional<double> charged = {};  ///< To the benchmark's control group.
};

Memory read_memory(const BenchGroup& group) {
  const Result<std::string> text = read_whole_file("/proc/meminfo");
  // "MemAvailable:   23389512 kB", proc(5)
  const auto bytes = [&text](const char* key) {
    const std::size_t line = text ? text->find(key) : std::string::npos;
    if (line == std::string::npos) return 0.0;
    const std::size_t digits = text->find_first_of("0123456789", line);
    const std::string_view number = std::string_view(*text).substr(digits);
    return 1024.0 * static_cast<double>(leading_number(number).value_or(0));
  };
  return {.available = bytes("MemAvailable:"),
          .slab = bytes("\nSlab:"),
          .anonymous = bytes("AnonPages:"),
          .stacks_and_tables = bytes("KernelStack:") + bytes("PageTables:"),
          .percpu = bytes("Percpu:"),
          .charged = group.memory_bytes()};
}

/// Until every slot has its worker parked, or none came in ten seconds.
bool wait_ready(Pool& pool, std::uint32_t slots) {
  std::uint32_t before = 0;
  auto last_news = Clock::now();
  for (std::uint32_t ready = 0; (ready = pool.stats().slots_ready) < slots;) {
    if (ready != before) last_news = Clock::now();
    before = ready;
    if (Clock::now() - last_news > std::chrono::seconds(10)) return false;
    ::poll(nullptr, 0, 1);
  }
  return true;
}

/// One figure without an interval: it was taken once.
void add_once(Row& row, const std::string& name, double value) {
  row.add(name, Estimate{value, value, value});
}

void add_memory(Row& row, const Memory& before, const Memory& after, double slots) {
  const double kib = 1024 * slots;
  // Memory that went: all that is not available any more, whoever holds it.
  add_once(row, "idle_slot_kib", (before.available - after.available) / kib);
  if (before.charged && after.charged)
    add_once(row, "charged_kib", (*after.charged - *before.charged) / kib);
  add_once(row, "anonymous_kib", (after.anonymous - before.anonymous) / kib);
  add_once(row, "slab_kib", (after.slab - before.slab) / kib);
  add_once(row, "stacks_and_tables_kib",
           (after.stacks_and_tables - before.stacks_and_tables) / kib);
  add_once(row, "percpu_kib", (after.percpu - before.percpu) / kib);
  add_once(row, "all_slots_mib", (before.available - after.available) / (1 << 20));
}

/// Latency in the pool beside the floor. The floor is a fork server, a process with few
/// descriptors: what this process would spawn pays for each of the pool's.
void add_latency(Bench& bench, Row& row, std::unique_ptr<Runner> pool, const Program& program) {
  Result<std::unique_ptr<Runner>> server = make_fork_server(program, 1, ForkServerChild::kExecutes);
  if (!server) return;
  std::vector<Lane> lanes;
  lanes.push_back({.name = "pool", .runner = std::move(pool)});
  lanes.push_back({.name = "fork_server", .runner = *std::move(server)});
  run_turns(bench, lanes,
            bench.quick
                ? TurnPlan{.rounds = 2, .turn_s = 0.01, .jobs_min = 3, .drop_first = true}
                : TurnPlan{.rounds = 120, .turn_s = 0.05, .jobs_min = 3, .drop_first = true});
  add_troubles(bench, "slots", program.name, lanes);
  if (lanes[0].trouble || lanes[1].trouble) return;
  for (const auto& [name, at] : {std::pair("p50_us", 0.5), std::pair("p99_us", 0.99)})
    row.add(name, estimate(lanes[0].latency_us, quantile_of(at)),
            compare(lanes[0].latency_us, lanes[1].latency_us, quantile_of(at), Comparison::kRatio));
  row.jobs = lanes[0].jobs_counted();
}

void measure_slots(Bench& bench, std::uint32_t slots) {
  const Program program = program_named("dynamic_true");
  Row row{
      .measure = "slots", .program = program.name, .way = "pool", .parameters = {{"slots", slots}}};
  const Memory before = read_memory(bench.group);
  const CpuReading cpu_before = read_cpu(bench.group);
  const Clock::time_point start = Clock::now();
  Result<std::unique_ptr<PoolRunner>> runner = PoolRunner::create(
      program, {.in_flight = 1, .slots = slots, .cgroup_parent = bench.group.path()});
  if (!runner) {
    bench.results.add(Trouble{"slots", program.name, "pool", error_text(runner.error())});
    return;
  }
  const double first_us = micros(Clock::now() - start);
  if (!wait_ready((*runner)->pool(), slots)) {
    bench.results.add(Trouble{
        "slots", program.name, "pool",
        "only " + std::to_string((*runner)->pool().stats().slots_ready) + " slots became ready"});
    return;
  }
  const double all_us = micros(Clock::now() - start);
  const CpuReading cpu_after = read_cpu(bench.group);
  add_once(row, "first_slot_us", first_us);
  add_once(row, "each_slot_us", (all_us - first_us) / (slots - 1));
  if (cpu_before.group_us && cpu_after.group_us)
    add_once(row, "each_slot_cpu_us", (*cpu_after.group_us - *cpu_before.group_us) / slots);
  add_memory(row, before, read_memory(bench.group), slots);
  add_latency(bench, row, *std::move(runner), program);
  bench.results.add(std::move(row));
}

}  // namespace

void register_slots(Bench& bench) {
  for (const std::uint32_t slots : kSlotCounts)
    if (!bench.quick || slots <= 10)
      register_measure(bench, "slots/" + std::to_string(slots),
                       [&bench, slots] { measure_slots(bench, slots); });
}

}  // namespace hatchery::bench
