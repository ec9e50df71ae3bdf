// Runs a seccomp filter as the kernel would: so that a policy can be checked, and shrunk, without
// loading it. Runs in: pool. Thread: any.
#pragma once

#include <linux/filter.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "workers/raw.h"

namespace hatchery {

/// The instruction that 8 bytes of a CompiledPolicy hold.
sock_filter unpack_instruction(std::uint64_t word) noexcept;
std::uint64_t pack_instruction(sock_filter instruction) noexcept;

/// Where a filter gets without looking at a call's arguments.
struct FilterStop {
  /// The filter's answer; nullopt when it wants an argument (or can't be followed) first.
  std::optional<std::uint32_t> result;
  /// Index of the instruction where it stopped.
  std::size_t instruction = 0;
};

/// The filter's answer, SECCOMP_RET_*. A filter that the kernel would not load gives
/// SECCOMP_RET_KILL_PROCESS.
std::uint32_t run_filter(std::span<const std::uint64_t> filter, const seccomp_data& call) noexcept;

/// Follows the filter, from instruction `from` on, as far as it asks for no argument; this is what
/// the kernel does for its cache of calls that are always allowed (since 5.11).
FilterStop run_filter_without_arguments(std::span<const std::uint64_t> filter, std::uint32_t arch,
                                        std::uint32_t number, std::size_t from = 0) noexcept;

/// The answer to every call of that architecture; nullopt when the filter asks for more than the
/// architecture first.
std::optional<std::uint32_t> answer_to_architecture(std::span<const std::uint64_t> filter,
                                                    std::uint32_t arch) noexcept;

}  // namespace hatchery
