#include "pool/validator.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "pool/nearest_name.h"

namespace hatchery::judge {
namespace {

/// isspace(3) of the C locale.
bool is_space(char byte) { return byte == ' ' || (byte >= '\t' && byte <= '\r'); }

char lower(char byte) {
  return byte >= 'A' && byte <= 'Z' ? static_cast<char>(byte - 'A' + 'a') : byte;
}

/// One of the two texts, read from front to back.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  bool at_end() const { return position_ == text_.size(); }
  bool at_space() const { return !at_end() && is_space(text_[position_]); }
  char peek() const { return text_[position_]; }
  std::size_t line() const { return line_; }

  void skip_byte() {
    if (text_[position_] == '\n') ++line_;
    ++position_;
  }
  void skip_spaces() {
    while (at_space()) skip_byte();
  }
  /// Precondition: not at a space. Empty at the end only.
  std::string_view token() {
    const std::size_t start = position_;
    while (!at_end() && !at_space()) ++position_;
    return text_.substr(start, position_ - start);
  }

 private:
  std::string_view text_;
  std::size_t position_ = 0;
  std::size_t line_ = 1;
};

Comparison difference(std::size_t line, const std::string& what) {
  return Comparison{false, fmt::format("line {}: {}", line, what)};
}

/// "a space", "a newline", "the end" or the byte in quotes.
std::string byte_text(const Reader& reader) {
  if (reader.at_end()) return "the end";
  switch (reader.peek()) {
    case ' ': return "a space";
    case '\n': return "a newline";
    case '\t': return "a tab";
    case '\r': return "a carriage return";
    default: return quote(std::string_view(std::string(1, reader.peek())));
  }
}

std::optional<long double> number(std::string_view token) {
  // strtold() would skip white space, but a token has none; an embedded NUL ends the number early.
  const std::string text(token);
  char* end = nullptr;
  const long double value = std::strtold(text.c_str(), &end);
  if (text.empty() || end != text.c_str() + text.size()) return std::nullopt;
  return value;
}

bool same_text(std::string_view answer, std::string_view output, bool case_sensitive) {
  if (case_sensitive) return answer == output;
  return std::equal(answer.begin(), answer.end(), output.begin(), output.end(),
                    [](char left, char right) { return lower(left) == lower(right); });
}

bool numbers_match(long double answer, long double output, const ValidatorOptions& options) {
  if (std::isnan(answer)) return std::isnan(output);
  if (std::isinf(answer)) return answer == output;
  // Each comparison is false for an output that is not a number or infinite.
  const long double distance = std::fabs(answer - output);
  if (!std::isfinite(distance)) return false;
  if (options.float_absolute.has_value() && distance <= *options.float_absolute) return true;
  return options.float_relative.has_value() &&
         distance <= *options.float_relative * std::fabs(answer);
}

/// Empty when the tokens match, else what is wrong.
std::string token_difference(std::string_view answer, std::string_view output,
                             const ValidatorOptions& options) {
  if (answer == output) return {};
  const bool floats = options.float_absolute.has_value() || options.float_relative.has_value();
  if (floats) {
    if (const std::optional<long double> expected = number(answer); expected.has_value()) {
      const std::optional<long double> got = number(output);
      if (!got.has_value()) {
        return fmt::format("expected the number {}, got {}", quote(answer), quote(output));
      }
      if (numbers_match(*expected, *got, options)) return {};
      return fmt::format("expected {}, got {}, which differs by {:.6g}", quote(answer),
                         quote(output), static_cast<double>(std::fabs(*expected - *got)));
    }
  }
  if (same_text(answer, output, options.case_sensitive)) return {};
  return fmt::format("expected {}, got {}", quote(answer), quote(output));
}

/// Steps over white space of both. True when it differs although it must not.
bool spaces_differ(Reader& answer, Reader& output, bool sensitive) {
  if (!sensitive) {
    answer.skip_spaces();
    output.skip_spaces();
    return false;
  }
  while (answer.at_space()) {
    if (output.at_end() || output.peek() != answer.peek()) return true;
    answer.skip_byte();
    output.skip_byte();
  }
  return output.at_space();
}

/// A tolerance that makes sense: finite and not negative.
Result<long double> parse_tolerance(const std::string& flag, const std::string* text) {
  constexpr const char* kRemedy = "give a number from 0 up, as in 1e-6";
  if (text == nullptr) return Error{Step::kReadPackage, {}, 0, flag + " has no value", kRemedy};
  const std::optional<long double> value = number(*text);
  if (!value.has_value() || !std::isfinite(*value) || *value < 0) {
    return Error{Step::kReadPackage, {}, 0, quote(*text) + " is no " + flag, kRemedy};
  }
  return *value;
}

}  // namespace

Result<ValidatorOptions> parse_validator_flags(const std::vector<std::string>& flags) {
  ValidatorOptions options;
  for (std::size_t index = 0; index < flags.size(); ++index) {
    const std::string& flag = flags[index];
    if (flag == "case_sensitive") {
      options.case_sensitive = true;
      continue;
    }
    if (flag == "space_change_sensitive") {
      options.space_change_sensitive = true;
      continue;
    }
    const bool both = flag == "float_tolerance";
    const bool absolute = both || flag == "float_absolute_tolerance";
    const bool relative = both || flag == "float_relative_tolerance";
    if (!absolute && !relative) {
      return Error{
          Step::kReadPackage,
          {},
          0,
          quote(flag) + " is no flag of the default validator",
          suggest_name(flag, {"case_sensitive", "space_change_sensitive", "float_tolerance",
                              "float_absolute_tolerance", "float_relative_tolerance"})};
    }
    const bool last = index + 1 == flags.size();
    Result<long double> tolerance = parse_tolerance(flag, last ? nullptr : &flags[index + 1]);
    if (!tolerance) return std::move(tolerance).error();
    if (absolute) options.float_absolute = *tolerance;
    if (relative) options.float_relative = *tolerance;
    ++index;
  }
  return options;
}

Comparison compare_outputs(std::string_view answer_text, std::string_view output_text,
                           const ValidatorOptions& options) {
  Reader answer(answer_text);
  Reader output(output_text);
  while (true) {
    if (spaces_differ(answer, output, options.space_change_sensitive)) {
      return difference(output.line(), fmt::format("white space differs: expected {}, got {}",
                                                   byte_text(answer), byte_text(output)));
    }
    if (answer.at_end() && output.at_end()) return {};
    const std::size_t line = output.line();
    if (output.at_end()) {
      return difference(line, "the output ends, expected " + quote(answer.token()));
    }
    if (answer.at_end()) {
      return difference(line, "expected the end, got " + quote(output.token()));
    }
    const std::string_view expected = answer.token();
    const std::string_view got = output.token();
    const std::string what = token_difference(expected, got, options);
    if (!what.empty()) return difference(line, what);
  }
}

}  // namespace hatchery::judge
