// The YAML files of a problem package, checked key by key. The only place that includes yaml-cpp,
// whose exceptions end here. Runs in: pool. Thread: any; text in, values out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "pool/job.h"

namespace hatchery::judge {

enum class Validation : std::uint8_t {
  kDefault,      ///< Tokens compared in our process.
  kCustom,       ///< A program of the package judges each output.
  kInteractive,  ///< A program of the package talks to the submission.
};

/// The format's defaults, for what a package leaves out.
struct PackageLimits {
  /// CPU time of one test, before the language's multiplier. The format lets a judge measure it;
  /// absent here means that the package names none.
  std::optional<Nanoseconds> time = {};
  std::uint64_t memory_bytes = 2048ULL << 20U;
  std::uint64_t output_bytes = 8ULL << 20U;
  Nanoseconds compile_time = std::chrono::seconds(60);
  std::uint64_t compile_memory_bytes = 2048ULL << 20U;
  Nanoseconds validation_time = std::chrono::seconds(60);
  std::uint64_t validation_memory_bytes = 2048ULL << 20U;
  std::uint64_t validation_output_bytes = 8ULL << 20U;
};

/// problem.yaml.
struct ProblemYaml {
  std::string name = {};
  /// Absent: the package's directories say (formats from 2023 on).
  std::optional<Validation> validation = {};
  std::vector<std::string> validator_flags = {};
  PackageLimits limits = {};
  /// What was ignored although it looks like a slip, "file:line: …".
  std::vector<std::string> warnings = {};
};

/// Errors have kReadPackage and "file:line:column: key".
Result<ProblemYaml> read_problem_yaml(std::string_view text, const std::string& file);

/// output_validator_flags (or output_validator_args) of a testdata.yaml (or test_group.yaml);
/// nothing when it has none.
Result<std::optional<std::vector<std::string>>> read_test_group_yaml(std::string_view text,
                                                                     const std::string& file);

/// Seconds, more than 0 and at most a day, from what a file or an option says. The error has detail
/// and remedy.
Result<Nanoseconds> parse_limit_seconds(std::string_view text);

}  // namespace hatchery::judge
