// Durations and sizes as people write them: exact, without a locale, in both directions. The
// readers are parse_duration() and parse_bytes() of config.h.
#pragma once

#include <cstdint>
#include <string>

#include "core/result.h"
#include "pool/job.h"

namespace hatchery {

/// The shortest text that parse_duration() reads back as the same value: "10s", "1500ms", "24h".
/// Precondition: not negative.
std::string format_duration(Nanoseconds duration);
/// The same for parse_bytes(): "64MiB", "1000B".
std::string format_bytes(std::uint64_t bytes);

/// Seconds as a JSON or TOML number, rounded to the nanosecond. Errors: negative, not a number, or
/// more than a Nanoseconds holds (292 years).
Result<Nanoseconds> duration_from_seconds(double seconds);

}  // namespace hatchery
