// Reports in words, for people at a terminal.
#pragma once

#include <string>

#include "pool/job.h"

namespace hatchery::cli {

/// One line: "time limit: used 1.003 s of CPU time, allowed 1 s". `limits` are those that held.
std::string outcome_line(const Report& report, const Limits& limits);

/// All figures, a line each, aligned; ends with a newline. Figures that the host can't give are
/// "-".
std::string report_text(const Report& report);

/// "1.234 s", "56.7 ms", "8.9 µs": three digits, for people.
std::string readable_time(Nanoseconds time);
/// "12.3 MiB".
std::string readable_size(std::uint64_t bytes);

}  // namespace hatchery::cli
