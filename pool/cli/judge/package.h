// A problem package of the ICPC format (the original one of Kattis and DOMjudge, and what is common
// of its successors): read from disk, checked, bounded. Test data stays on disk until it is needed.
// Runs in: pool. Thread: any; values only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/result.h"
#include "pool/cli/judge/language.h"
#include "pool/cli/judge/package_yaml.h"
#include "pool/cli/judge/verdict.h"
#include "pool/validator.h"

namespace hatchery::judge {

/// Bounds of what is read; more is an error that names the place.
inline constexpr std::size_t kTestsMax = 100'000;
inline constexpr std::size_t kSubmissionsMax = 10'000;
inline constexpr std::size_t kSourceFilesMax = 1'000;
inline constexpr std::uint64_t kSourceBytesMax = 16ULL << 20U;
inline constexpr unsigned kDepthMax = 16;

struct TestCase {
  /// "sample/1", "secret/group1/03".
  std::string name;
  std::string input_path;
  /// "" where an interactive problem has none.
  std::string answer_path;
  std::uint64_t input_bytes = 0;
  /// Of problem.yaml, then of the closest testdata.yaml; for a validator of the package.
  std::vector<std::string> validator_flags;
  /// The same flags for the default validator.
  ValidatorOptions options;
};

struct Submission {
  /// "accepted/sum.cc" within the package, else the path as given.
  std::string name;
  std::string path;
  std::vector<SourceFile> files;
  Expectation expectation;
};

struct Package {
  std::string directory;
  std::string name;
  Validation validation = Validation::kDefault;
  PackageLimits limits;
  /// Where the time limit comes from: "problem.yaml", ".timelimit", …; "" when there is none.
  std::string time_limit_source;
  std::vector<TestCase> tests;
  /// Where validation is not the default one.
  std::vector<SourceFile> validator_files;
  std::vector<Submission> submissions;
  std::vector<std::string> warnings;
};

/// Reads problem.yaml, test data, validator and submissions.
Result<Package> read_package(const std::string& directory);

/// Reads one more submission, a file or a directory. It has the expectation of its source, or of
/// its directory where that lies in a directory named "submissions".
Result<Submission> read_submission(const std::string& path);

}  // namespace hatchery::judge
