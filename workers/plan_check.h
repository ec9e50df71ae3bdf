// The bounds of every plan, checked before anything walks it: an offset that points outside would
// make the launcher, as root, or a worker read and write whatever lies there. Pure, and fit for
// post-fork code: nothing here calls, allocates, locks or throws. Runs in: launcher, worker.
// Thread: the only one.
#pragma once

#include <linux/filter.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "workers/protocol.h"

namespace hatchery::plan_check {

inline constexpr std::uint32_t kMountsMax = 256;
inline constexpr std::uint32_t kRlimitsMax = 16;

/// True when `count` items of `item_size` bytes from `offset` on lie within `size` bytes. 64 bits
/// hold every product and sum of what a plan can say in 32.
constexpr bool is_inside(std::uint64_t offset, std::uint64_t count, std::uint64_t item_size,
                         std::uint64_t size) noexcept {
  return offset <= size && count * item_size <= size - offset;
}

// ---- slot plan: which rule it breaks, counted from 1; 0 for none

/// `mapped_size` bytes are mapped at `plan`, 8-aligned.
inline int broken_rule(const protocol::SlotPlan* plan, std::size_t mapped_size) noexcept {
  if (mapped_size < sizeof *plan || plan->version != protocol::kProtocolVersion ||
      plan->size != mapped_size)
    return 1;
  const auto* bytes = reinterpret_cast<const char*>(plan);
  // Every text ends inside the plan, since the plan ends in NUL.
  if (bytes[mapped_size - 1] != '\0' || plan->hostname >= mapped_size ||
      plan->root_directory >= mapped_size)
    return 2;
  if (plan->zygote_filter_count > BPF_MAXINSNS || plan->worker_filter_count > BPF_MAXINSNS ||
      plan->filters % alignof(std::uint64_t) != 0 ||
      !is_inside(plan->filters, plan->zygote_filter_count + plan->worker_filter_count,
                 sizeof(sock_filter), mapped_size))
    return 3;
  if (plan->mounts_count > kMountsMax || plan->mounts % alignof(protocol::MountOp) != 0 ||
      !is_inside(plan->mounts, plan->mounts_count, sizeof(protocol::MountOp), mapped_size))
    return 4;
  for (std::uint32_t i = 0; i < plan->mounts_count; ++i) {
    protocol::MountOp op;
    std::memcpy(&op, bytes + plan->mounts + i * sizeof op, sizeof op);
    if (op.kind < protocol::MountKind::kDirectory || op.kind > protocol::MountKind::kSeal) return 5;
    if (op.target >= mapped_size || bytes[op.target] != '/') return 6;
    if (op.source >= mapped_size || !is_inside(op.source, op.source_size, 1, mapped_size)) return 7;
  }
  return 0;
}

// ---- launcher's message

/// The descriptors that must come with it: socket, plan, two directories of v2, one file a v1
/// hierarchy. 0 for a message that is none.
inline std::size_t fds_wanted(const protocol::StartSlot& start) noexcept {
  if (start.kind != protocol::MessageKind::kStartSlot ||
      start.version != protocol::kProtocolVersion || start.has_v2 > 1 ||
      start.v1_count > protocol::kV1HierarchiesMax)
    return 0;
  return 2 + (start.has_v2 != 0 ? 2 : 0) + start.v1_count;
}

// ---- job plan: which rule it breaks, as in Failure::index; −1 for none

/// A datagram of `size` bytes, of which the first are `job`, and the rest its body if that is not
/// in a memfd, came with `fds_count` descriptors.
inline int broken_rule(const protocol::JobPlan& job, std::size_t size,
                       std::size_t fds_count) noexcept {
  if (size < sizeof job || job.kind != protocol::MessageKind::kJobPlan || job.body_in_memfd > 1 ||
      job.body_size < sizeof(std::uint64_t) || job.body_size > protocol::kPlanBytesMax)
    return 0;
  if (job.body_in_memfd == 0 && size - sizeof job != job.body_size) return 1;
  if (job.body_in_memfd == 1 && fds_count == 0) return 2;
  return -1;
}

/// Turns the offsets of a table, which a 0 ends, into pointers.
inline int relocate(char* body, std::uint32_t body_size, std::uint32_t offset) noexcept {
  constexpr std::uint32_t kEntry = sizeof(std::uint64_t);
  if (offset % kEntry != 0) return 3;
  for (;; offset += kEntry) {
    if (offset > body_size - kEntry) return 4;
    std::uint64_t entry = 0;
    std::memcpy(&entry, body + offset, kEntry);
    if (entry == 0) return -1;
    if (entry >= body_size) return 5;
    entry += reinterpret_cast<std::uintptr_t>(body);
    std::memcpy(body + offset, &entry, kEntry);
  }
}

/// An entry of JobPlan::fds, when `fds_count` descriptors for the job came.
constexpr bool is_sound(const protocol::FdEntry& entry, std::size_t fds_count) noexcept {
  const auto is_number = [](std::int32_t fd) noexcept {
    return fd >= 0 && fd < protocol::kJobFdsEnd;
  };
  if (!is_number(entry.target)) return false;
  if (entry.source >= 0) return static_cast<std::size_t>(entry.source) < fds_count;
  return entry.source == protocol::kFdNull ||
         (entry.source <= protocol::kFdSameAs && is_number(protocol::kFdSameAs - entry.source));
}

/// Checks and relocates `body`, job.body_size bytes of it, in place, and copies the descriptors'
/// entries to `entries`, out of reach of what the body says elsewhere. −1: every table and text may
/// be walked. `fds_count` is without the memfd's.
inline int prepare_body(const protocol::JobPlan& job, char* body, std::size_t fds_count,
                        protocol::FdEntry (&entries)[protocol::kFdsMax]) noexcept {
  const std::uint32_t size = job.body_size;
  // Every text ends inside the body, since the body ends in NUL. That stays so: the highest byte of
  // a pointer into user space is 0.
  if (body[size - 1] != '\0' || job.working_directory >= size || job.label >= size ||
      job.fds_count > protocol::kFdsMax || job.rlimits_count > kRlimitsMax ||
      !is_inside(job.fds, job.fds_count, sizeof(protocol::FdEntry), size) ||
      !is_inside(job.rlimits, job.rlimits_count, sizeof(protocol::Rlimit), size))
    return 6;
  for (std::uint32_t i = 0; i < job.fds_count; ++i) {
    std::memcpy(&entries[i], body + job.fds + i * sizeof entries[0], sizeof entries[0]);
    if (!is_sound(entries[i], fds_count)) return 7;
  }
  // Two tables in one place would be relocated twice: the second time an entry is a pointer, which
  // is no offset.
  for (const std::uint32_t table : {job.argv, job.envp, job.paths})
    if (const int rule = relocate(body, size, table); rule >= 0) return rule;
  return -1;
}

}  // namespace hatchery::plan_check
