// The fields of Limits as a table: key, range and meaning of each, for TOML, JSON, validation and
// help texts. Thread: any; nothing here has state.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/result.h"
#include "pool/job.h"

namespace hatchery {

using LimitMember =
    std::variant<std::optional<Nanoseconds> Limits::*, std::optional<std::uint64_t> Limits::*,
                 std::optional<std::uint32_t> Limits::*, std::optional<double> Limits::*,
                 std::optional<std::string> Limits::*>;

enum class LimitKind : std::uint8_t {
  kDuration,  ///< Nanoseconds.
  kBytes,     ///< std::uint64_t.
  kCount,     ///< std::uint32_t.
  kCpuRate,   ///< double.
  kCpuSet,    ///< std::string.
};

struct LimitField {
  const char* key;  ///< In TOML and JSON.
  LimitKind kind;
  LimitMember member;
  /// In nanoseconds, bytes or pieces; not used for kCpuRate and kCpuSet.
  std::uint64_t min;
  std::uint64_t max;
  const char* meaning;  ///< One line for comments and help.
};

/// Least cpu_rate, in CPUs.
inline constexpr double kCpuRateMin = 0.01;

/// All of them, in the order of Limits.
std::span<const LimitField> limit_fields();
/// Null when there is none of that key.
const LimitField* find_limit_field(std::string_view key);

/// "1ms to 87600h", "4 to 1048576".
std::string limit_range_text(const LimitField& field);

/// Sets a kDuration, kBytes or kCount field. The error has detail and remedy; step and object are
/// the caller's to fill.
Result<void> set_limit_number(Limits& limits, const LimitField& field, std::uint64_t value);

/// Every field present is in its range, cpu_rate and cpu_set against this machine's CPUs, and
/// memory_soft is not above memory. The error's object is `prefix` and the key.
Result<void> check_limits(const Limits& limits, Step step, std::string_view prefix);

/// CPUs that a job can come to use: those of its cpu_set, else all that this machine has, since it
/// may call sched_setaffinity(2) whatever this process's own affinity is.
std::uint32_t reachable_cpus(const Limits& limits);

/// CPUs that this process may run on, at least 1.
std::uint32_t usable_cpus();

/// Their numbers, ascending.
std::vector<std::uint32_t> usable_cpu_numbers();

/// The CPUs of a kernel list ("0-2,5"), ascending, without repetition. The error has detail and
/// remedy.
Result<std::vector<std::uint32_t>> parse_cpu_set(std::string_view text);

}  // namespace hatchery
