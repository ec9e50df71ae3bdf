// What launcher and worker are told: a slot plan, the message that brings it, or a job plan is
// refused, or all that it points to can be walked, by the walk that launcher, zygote and worker
// make. The first byte chooses, and mends what a random input would hardly hit.
#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "core/check.h"
#include "tests/fuzz/fuzz.h"
#include "workers/plan_check.h"

namespace {

using namespace hatchery;

constexpr std::uint8_t kMend = 0x80;

/// A text that a walk would read: AddressSanitizer watches both ends of the buffer.
void read_text(const char* text) { HATCHERY_CHECK(std::strlen(text) <= protocol::kPlanBytesMax); }

/// Exactly `size` bytes, 8-aligned, as a mapping or the worker's buffer are.
std::unique_ptr<std::uint64_t[]> copy_of(const std::uint8_t* data, std::size_t size) {
  auto words = std::make_unique<std::uint64_t[]>((size + 7) / 8);
  std::memcpy(words.get(), data, size);
  return words;
}

void slot_plan(std::uint8_t choice, const std::uint8_t* data, std::size_t size) {
  const auto words = copy_of(data, size);
  auto* plan = reinterpret_cast<protocol::SlotPlan*>(words.get());
  if ((choice & kMend) != 0 && size >= sizeof *plan) {
    plan->version = protocol::kProtocolVersion;
    plan->size = static_cast<std::uint32_t>(size);
    reinterpret_cast<char*>(plan)[size - 1] = '\0';
  }
  if (plan_check::broken_rule(plan, size) != 0) return;
  const auto* bytes = reinterpret_cast<const char*>(plan);
  read_text(bytes + plan->hostname);
  read_text(bytes + plan->root_directory);
  const auto* filter = reinterpret_cast<const sock_filter*>(bytes + plan->filters);
  std::uint32_t sum = 0;
  const std::uint32_t count = plan->zygote_filter_count + plan->worker_filter_count;
  for (std::uint32_t i = 0; i < count; ++i) sum += filter[i].k;
  const auto* mounts = reinterpret_cast<const protocol::MountOp*>(bytes + plan->mounts);
  for (std::uint32_t i = 0; i < plan->mounts_count; ++i) {
    read_text(bytes + mounts[i].source);
    read_text(bytes + mounts[i].target);
    for (std::uint32_t at = 0; at < mounts[i].source_size; ++at)
      sum += static_cast<unsigned char>(bytes[mounts[i].source + at]);
  }
  __asm__ volatile("" : : "r"(sum));  // Or the reads would be left out.
}

void start_slot(const std::uint8_t* data, std::size_t size) {
  protocol::StartSlot start;
  std::memcpy(&start, data, std::min(size, sizeof start));
  HATCHERY_CHECK(plan_check::fds_wanted(start) <= 4 + protocol::kV1HierarchiesMax);
}

void read_table(const char* body, std::uint32_t table) {
  for (const auto* entry = reinterpret_cast<const std::uint64_t*>(body + table); *entry != 0;
       ++entry)
    read_text(reinterpret_cast<const char*>(*entry));
}

/// A header, a byte for the number of descriptors, and the body.
void job_plan(std::uint8_t choice, const std::uint8_t* data, std::size_t size) {
  protocol::JobPlan job;
  if (size < sizeof job + 2) return;
  std::memcpy(&job, data, sizeof job);
  const std::size_t body_size = size - sizeof job - 1;
  std::size_t fds = data[sizeof job] % (protocol::kFdsMax + 1);
  const auto words = copy_of(data + sizeof job + 1, body_size);
  auto* body = reinterpret_cast<char*>(words.get());
  if ((choice & kMend) != 0) {
    job.kind = protocol::MessageKind::kJobPlan;
    job.body_size = static_cast<std::uint32_t>(body_size);
    job.body_in_memfd &= 1;
    body[body_size - 1] = '\0';
  }
  const std::size_t inline_size = job.body_in_memfd == 0 ? body_size : 0;
  if (plan_check::broken_rule(job, sizeof job + inline_size, fds) >= 0) return;
  if (job.body_in_memfd != 0) {
    if (job.body_size > body_size) return;  // A mapping has all that the header says.
    --fds;
  }
  protocol::FdEntry entries[protocol::kFdsMax];
  if (plan_check::prepare_body(job, body, fds, entries) >= 0) return;
  for (const std::uint32_t table : {job.argv, job.envp, job.paths}) read_table(body, table);
  read_text(body + job.working_directory);
  read_text(body + job.label);
  for (std::uint32_t i = 0; i < job.fds_count; ++i) {
    HATCHERY_CHECK(entries[i].target >= 0 && entries[i].target < protocol::kJobFdsEnd);
    HATCHERY_CHECK(entries[i].source < static_cast<std::int32_t>(fds));
  }
  std::vector<protocol::Rlimit> limits(job.rlimits_count);
  if (!limits.empty())
    std::memcpy(limits.data(), body + job.rlimits, limits.size() * sizeof limits[0]);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  switch (data[0] % 3) {
    case 0: slot_plan(data[0], data + 1, size - 1); break;
    case 1: start_slot(data + 1, size - 1); break;
    default: job_plan(data[0], data + 1, size - 1);
  }
  return 0;
}
