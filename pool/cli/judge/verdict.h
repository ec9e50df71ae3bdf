// Verdicts of a judge, and what a submission is expected to get.
// Runs in: pool. Thread: any; values only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/result.h"

namespace hatchery::judge {

enum class Verdict : std::uint8_t {
  kAccepted,
  kWrongAnswer,
  kTimeLimit,
  kRunTimeError,
  kMemoryLimit,
  kOutputLimit,
  kCompileError,
  /// The package, the validator or the pool is at fault, never the submission.
  kJudgeError,
};

inline constexpr std::size_t kVerdictCount = 8;

/// "AC", "WA", "TLE", "RTE", "MLE", "OLE", "CE" or "JE".
const char* verdict_code(Verdict verdict) noexcept;
/// "accepted", "wrong answer", ….
const char* verdict_name(Verdict verdict) noexcept;

/// A set of verdicts.
class VerdictSet {
 public:
  constexpr VerdictSet() noexcept = default;
  constexpr VerdictSet(std::initializer_list<Verdict> verdicts) noexcept {
    for (const Verdict verdict : verdicts) add(verdict);
  }
  constexpr void add(Verdict verdict) noexcept { bits_ |= 1U << static_cast<unsigned>(verdict); }
  constexpr bool has(Verdict verdict) const noexcept {
    return ((bits_ >> static_cast<unsigned>(verdict)) & 1U) != 0;
  }
  constexpr bool empty() const noexcept { return bits_ == 0; }
  bool operator==(const VerdictSet&) const = default;

 private:
  unsigned bits_ = 0;
};

/// What a submission's place or source says it should get.
struct Expectation {
  /// Any of these is as expected. Empty: nothing is expected.
  VerdictSet verdicts = {};
  /// For tables: "AC", "WA|TLE", "not AC"; "-" when nothing is expected.
  std::string text = "-";
  bool any() const noexcept { return verdicts.empty(); }
  bool met_by(Verdict verdict) const noexcept { return any() || verdicts.has(verdict); }
};

/// What the name of a directory below submissions/ stands for; nothing when the format has no such
/// name. The standard names cover what has no name of its own there: memory and output limit are
/// run-time errors too, as they are in the original format. `multiple` and `mixed` expect nothing
/// by themselves.
std::optional<Expectation> expectation_of_directory(std::string_view name);

/// The names that expectation_of_directory() knows, for messages.
std::string expected_directory_names();

/// Reads DOMjudge's "@EXPECTED_RESULTS@: WRONG-ANSWER, TIMELIMIT" in a source; nothing when it has
/// none. A word that is no result is an Error whose object is `where` with the line.
Result<std::optional<Expectation>> expectation_in_source(std::string_view source,
                                                         const std::string& where);

}  // namespace hatchery::judge
