// JSON forms of jobs and reports: the lines of `hatchery batch`, the file of `hatchery run --json`.
#pragma once

#include <string>
#include <string_view>

#include "core/result.h"
#include "pool/job.h"

namespace hatchery {

/// Reads one job. Unknown fields, wrong types and out-of-range numbers are errors whose object is
/// "where: field" and whose remedy says what is allowed. Fields are described in README, "Job
/// JSON".
Result<JobSpec> job_from_json(std::string_view json, const std::string& where);

/// One line without a newline; valid JSON whatever bytes the job wrote: an output that is valid
/// UTF-8, and at most twice as long when it is escaped, is {"name","text"}, any other
/// {"name","base64"}; both lossless. Absent figures are null.
std::string report_to_json(const Report& report);

/// Base64 without line breaks, and back. Back fails on anything that is not canonical base64.
std::string base64_encode(std::string_view bytes);
Result<std::string> base64_decode(std::string_view text);

}  // namespace hatchery
