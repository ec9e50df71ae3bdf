// Small whole-file helpers for kernel interface files and configuration.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/fd.h"
#include "core/result.h"

namespace hatchery {

/// The whole file. Files of unknown size (/proc, cgroup) are fine. EFBIG beyond `bytes_max`.
Result<std::string> read_whole_file(const std::string& path, std::size_t bytes_max = 64U << 20);

/// Reads from offset 0 of an open kernel file into `buffer`; −1 with errno, or the size.
long pread_all(int fd, char* buffer, std::size_t size) noexcept;

/// The unsigned number that follows "key " at the start of a line of `text`.
std::optional<std::uint64_t> keyed_number(std::string_view text, std::string_view key) noexcept;

/// The unsigned number that `text` starts with.
std::optional<std::uint64_t> leading_number(std::string_view text) noexcept;

}  // namespace hatchery
