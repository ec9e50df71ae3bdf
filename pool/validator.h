// The default output validator: compares a submission's output with the judge's answer token by
// token, with the flags of the problem package format. Pure: bytes in, verdict out; memory use is
// that of one token. Runs in: pool. Thread: any.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace hatchery::judge {

/// The flags of the default validator, as in problem.yaml's validator_flags.
struct ValidatorOptions {
  /// "case_sensitive": 'A' is not 'a' (ASCII only).
  bool case_sensitive = false;
  /// "space_change_sensitive": white space must be the same, byte for byte.
  bool space_change_sensitive = false;
  /// "float_absolute_tolerance X"; "float_tolerance X" sets both. With either one, an answer token
  /// that is a number is compared as a number, and must meet one of the given tolerances.
  std::optional<long double> float_absolute = {};
  std::optional<long double> float_relative = {};

  bool operator==(const ValidatorOptions&) const = default;
};

/// Reads flags; later ones win. The error has detail and remedy; step and object are the caller's.
Result<ValidatorOptions> parse_validator_flags(const std::vector<std::string>& flags);

struct Comparison {
  bool equal = true;
  /// The first difference: "line 3: expected "7", got "8"". Printable, at most a few hundred bytes.
  /// Empty when equal.
  std::string message = {};
};

/// Tokens are separated by the C locale's white space. Numbers are what strtold(3) takes whole,
/// hexadecimal ones and infinities included. Where the answer is infinite or not a number, the
/// output must be the same infinity or not a number: no tolerance reaches it.
Comparison compare_outputs(std::string_view answer, std::string_view output,
                           const ValidatorOptions& options);

}  // namespace hatchery::judge
