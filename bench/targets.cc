#include "bench/targets.h"

#include <initializer_list>

#include "bench/floors.h"

namespace hatchery::bench {
namespace {

constexpr const char* kProgram = "dynamic_true";

std::optional<Estimate> value_of(const Row* row, const char* figure) {
  const Figure* found = row != nullptr ? row->figure(figure) : nullptr;
  if (found == nullptr) return {};
  return found->estimate;
}

std::optional<Estimate> ratio_of(const Row* row, const char* figure) {
  const Figure* found = row != nullptr ? row->figure(figure) : nullptr;
  if (found == nullptr) return {};
  return found->ratio;
}

/// The interval is the widest that both allow.
std::optional<Estimate> quotient(const std::optional<Estimate>& one,
                                 const std::optional<Estimate>& other) {
  if (!one || !other || other->low <= 0) return {};
  return Estimate{one->value / other->value, one->low / other->high, one->high / other->low};
}

std::optional<Estimate> scaled(const std::optional<Estimate>& one, double factor) {
  if (!one) return {};
  return Estimate{one->value * factor, one->low * factor, one->high * factor};
}

}  // namespace

std::vector<Target> targets_of(const Results& results, unsigned cpus) {
  // The least number in flight, of those measured, that keeps all cores busy.
  double busy = 32;
  for (const double in_flight : {8.0, 4.0, 2.0, 1.0})
    if (in_flight >= cpus) busy = in_flight;
  const auto throughput = [&](const char* program, const char* way) {
    return results.find("throughput", program, way, {{"in_flight", busy}});
  };
  const auto rate = [&](const char* program, const char* way) {
    return value_of(throughput(program, way), "jobs_per_s");
  };
  const auto slots = [&](double count) {
    return results.find("slots", kProgram, "pool", {{"slots", count}});
  };
  const Row* latency = results.find("latency", kProgram, "pool");
  const Row* floor_latency = results.find("latency", kProgram, kAccountedServer);
  const Row* sparse = results.find("sparse", kProgram, "pool");
  const Row* floor_sparse = results.find("sparse", kProgram, kAccountedServer);
  const Row* busy_pool = throughput(kProgram, "pool");
  const Row* busy_floor = throughput(kProgram, kAccountedServer);
  const Row* http = results.find("http", kProgram, "server", {{"in_flight", 1}});
  const Row* unix_http = results.find("http", kProgram, "server_unix", {{"in_flight", 1}});
  const Row* busy_http = results.find("http", kProgram, "server", {{"in_flight", 8}});
  const Row* cold = results.find("cold", kProgram, "run_to_report");
  return {
      {"latency p50 of /bin/true, by posix_spawn's", 1.0, true, "x", ratio_of(latency, "p50_us"),
       ratio_of(floor_latency, "p50_us")},
      {"latency p99 of /bin/true, by posix_spawn's", 1.5, true, "x", ratio_of(latency, "p99_us"),
       ratio_of(floor_latency, "p99_us")},
      {"sparse arrival, p99, by posix_spawn's", 2.0, true, "x", ratio_of(sparse, "p99_us"),
       ratio_of(floor_sparse, "p99_us")},
      {"throughput of /bin/true, all cores busy, by posix_spawn's", 0.85, false, "x",
       ratio_of(busy_pool, "jobs_per_s"), ratio_of(busy_floor, "jobs_per_s")},
      {"CPU time of a job, all cores busy, by posix_spawn's", 1.2, true, "x",
       ratio_of(busy_pool, "machine_cpu_us"), ratio_of(busy_floor, "machine_cpu_us")},
      {"throughput of /bin/true, by bubblewrap's", 8, false, "x",
       quotient(rate(kProgram, "pool"), rate(kProgram, "bubblewrap")),
       quotient(rate(kProgram, kAccountedServer), rate(kProgram, "bubblewrap"))},
      {"throughput of /bin/true, by runc's", 50, false, "x",
       quotient(rate(kProgram, "pool"), rate(kProgram, "runc")),
       quotient(rate(kProgram, kAccountedServer), rate(kProgram, "runc"))},
      {"throughput of a program without libc, by a fork server's without exec", 0.6, false, "x",
       quotient(rate("bare_c", "pool"), rate("bare_c", "fork_only")),
       quotient(rate("bare_c", kAccountedServer), rate("bare_c", "fork_only"))},
      {"an idle slot, all in, of 2,000", 256, true, "KiB", value_of(slots(2000), "idle_slot_kib")},
      {"2,000 slots, all in", 512, true, "MiB", value_of(slots(2000), "all_slots_mib")},
      {"latency p50 at 2,000 slots, by that at 4 (both by the floor's)", 1.1, true, "x",
       quotient(ratio_of(slots(2000), "p50_us"), ratio_of(slots(4), "p50_us"))},
      {"cold pool: first report of `hatchery run`, p50", 20, true, "ms",
       scaled(value_of(cold, "p50_us"), 1e-3)},
      {"CPU time of the pool's threads a job, all cores busy", 30, true, "us",
       value_of(busy_pool, "pool_threads_us")},
      {"what HTTP adds to the library's p50", 150, true, "us", value_of(http, "p50_more_us")},
      {"the same over a Unix socket", 150, true, "us", value_of(unix_http, "p50_more_us")},
      {"throughput over HTTP, by the library's", 0.85, false, "x",
       ratio_of(busy_http, "jobs_per_s")}};
}

}  // namespace hatchery::bench
