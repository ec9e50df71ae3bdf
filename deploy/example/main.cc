// Runs one job through libhatchery: makes a pool, submits /bin/echo, prints output and report.
#include <chrono>
#include <cstdio>
#include <future>
#include <utility>

#include "pool/pool.h"

namespace {
int fail(const hatchery::Error& error) {
  std::fprintf(stderr, "%s\n", error.message().c_str());
  return 1;
}
}  // namespace

int main() {
  auto pool = hatchery::Pool::create({});
  if (!pool) return fail(pool.error());

  hatchery::JobSpec job;
  job.args = {"/bin/echo", "hello from a sandbox"};
  job.fds[1] = hatchery::CollectorStream{.name = "stdout"};
  job.limits.cpu_time = std::chrono::seconds(1);
  job.limits.memory_bytes = 64ULL << 20;

  // The other form of submit() takes a callback instead, which the pool's loop calls.
  auto future = (*pool)->submit(std::move(job));
  if (!future) return fail(future.error());
  const hatchery::Report report = future->get();
  if (report.error) return fail(*report.error);

  if (const hatchery::Output* output = report.output("stdout")) {
    std::printf("%s", output->bytes.c_str());
  }
  const auto microseconds = [](auto time) { return time ? time->count() / 1000 : -1; };
  std::printf("%s, CPU %ld us, wall %ld us\n", hatchery::outcome_name(report.outcome),
              microseconds(report.cpu_time), microseconds(report.wall_time));
}
