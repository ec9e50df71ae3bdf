// What a judge found out: values for tables, JSON and exit statuses.
// Runs in: pool. Thread: any.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pool/cli/judge/verdict.h"
#include "pool/job.h"

namespace hatchery::judge {

/// Absent: not run, or this host can't tell.
struct Figures {
  std::optional<Nanoseconds> cpu_time;
  std::optional<Nanoseconds> wall_time;
  std::optional<std::uint64_t> memory_peak_bytes;
};

struct TestResult {
  /// Absent: not run, or stopped because the verdict was known.
  std::optional<Verdict> verdict;
  std::string message;
  /// Of the submission's run, not the validator's.
  Figures figures;
};

struct SubmissionResult {
  std::string name;
  /// "-" when no language is known.
  std::string language = "-";
  Expectation expectation;
  /// Absent: interrupted before it was known.
  std::optional<Verdict> verdict;
  /// Why, in one line; may be empty.
  std::string message;
  /// Index of the test whose verdict it is.
  std::optional<std::size_t> deciding_test;
  Figures compile;
  /// The beginning of what the compiler wrote.
  std::string diagnostics;
  /// The largest of all tests that were run.
  Figures largest;
  std::size_t tests_run = 0;
  /// By index of the package's tests; empty when it was not compiled.
  std::vector<TestResult> tests;

  bool as_expected() const noexcept {
    return verdict.has_value() && *verdict != Verdict::kJudgeError && expectation.met_by(*verdict);
  }
};

struct Summary {
  std::vector<SubmissionResult> submissions;
  std::size_t as_expected = 0;
  /// Reports that came, compilers and validators included.
  std::uint64_t jobs = 0;
  Nanoseconds elapsed = {};
  /// The signal that stopped it, or 0.
  int interrupted = 0;
};

}  // namespace hatchery::judge
