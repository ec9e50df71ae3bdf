// Makes a seccomp filter smaller without changing an answer: every worker loads it, and loading
// costs the kernel time by the instruction. Runs in: pool. Thread: any.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace hatchery {

/// Replaces libseccomp's tree of single calls by a tree of ranges of calls with the same answer. A
/// filter that is not of the shape that libseccomp makes, or that treats `native` as one of several
/// architectures, comes back as it is.
std::vector<std::uint64_t> shrink_filter(std::span<const std::uint64_t> filter,
                                         std::uint32_t native);

}  // namespace hatchery
