// Makes a seccomp filter smaller without changing an answer: every worker loads it, and loading
// costs the kernel time by the instruction. Runs in: pool. Thread: any.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace hatchery {

/// Replaces libseccomp's tree of single calls by a tree of ranges of calls with the same answer. A
/// filter that is not of the shape that libseccomp makes, or that treats `native` as one of several
/// architectures, comes back as it is.
std::vector<std::uint64_t> shrink_filter(std::span<const std::uint64_t> filter,
                                         std::uint32_t native);

/// Two filters that, both loaded, give the answers of one: where one of them decides, the other
/// allows, and the kernel takes the stronger answer (seccomp(2)).
struct SplitFilter {
  std::vector<std::uint64_t> rest;    ///< Decides all but the chosen calls.
  std::vector<std::uint64_t> chosen;  ///< Decides these.
};

/// `chosen`: numbers of native calls, sorted. nullopt for a filter that comes back from
/// shrink_filter() as it is. Not for one that notifies: a listener is of one filter alone.
std::optional<SplitFilter> split_filter(std::span<const std::uint64_t> filter, std::uint32_t native,
                                        std::span<const std::uint32_t> chosen);

}  // namespace hatchery
