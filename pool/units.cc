#include "pool/units.h"

#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <string_view>

#include "core/check.h"
#include "pool/config.h"
#include "pool/nearest_name.h"

namespace hatchery {
namespace {

__extension__ typedef unsigned __int128 Wide;

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::uint64_t kKibi = 1024;

// Largest first, so that formatting takes the first unit that divides.
constexpr std::array<Unit, 6> kTimeUnits = {{{"h", 3600 * kSecond},
                                             {"m", 60 * kSecond},
                                             {"s", kSecond},
                                             {"ms", 1'000'000},
                                             {"us", 1'000},
                                             {"ns", 1}}};
constexpr std::array<Unit, 5> kByteUnits = {{{"TiB", kKibi* kKibi* kKibi* kKibi},
                                             {"GiB", kKibi* kKibi* kKibi},
                                             {"MiB", kKibi* kKibi},
                                             {"KiB", kKibi},
                                             {"B", 1}}};
constexpr std::uint64_t kDurationMax = std::numeric_limits<std::int64_t>::max();
// What a fraction may have at most: 10^18 times the largest factor fits into Wide.
constexpr std::size_t kFractionDigitsMax = 18;

constexpr const char* kDurationForms =
    "write a number and ns, us, ms, s, m or h, like \"1.5s\"; without a unit it is seconds";
constexpr const char* kBytesForms =
    "write a number and B, K, M, G or T (also KB, KiB, …: powers of 1024), like \"64MiB\"; "
    "without a unit it is bytes";

Error bad_text(std::string_view text, std::string detail, const char* remedy) {
  return Error{Step::kValidateJob, quote(text), 0, std::move(detail), remedy};
}

char lower(char character) {
  return character >= 'A' && character <= 'Z' ? static_cast<char>(character - 'A' + 'a')
                                              : character;
}

/// A decimal number split into its digits; `unit` is what follows it.
struct Decimal {
  std::string_view whole;
  std::string_view fraction;
  std::string_view unit;
};

std::optional<Decimal> split_decimal(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789";
  const std::size_t whole_end = std::min(text.find_first_not_of(kDigits), text.size());
  if (whole_end == 0) return std::nullopt;
  Decimal decimal = {text.substr(0, whole_end), {}, text.substr(whole_end)};
  if (!decimal.unit.starts_with('.')) return decimal;
  const std::string_view rest = decimal.unit.substr(1);
  const std::size_t fraction_end = std::min(rest.find_first_not_of(kDigits), rest.size());
  if (fraction_end == 0) return std::nullopt;
  decimal.fraction = rest.substr(0, fraction_end);
  decimal.unit = rest.substr(fraction_end);
  while (decimal.fraction.ends_with('0')) decimal.fraction.remove_suffix(1);
  return decimal;
}

/// decimal × factor. Precondition: the fraction has at most kFractionDigitsMax digits. Absent when
/// it is more than `max`; `exact` becomes false when it is not a whole number.
std::optional<std::uint64_t> scale(const Decimal& decimal, std::uint64_t factor, std::uint64_t max,
                                   bool& exact) {
  Wide value = 0;
  for (const char digit : decimal.whole) {
    value = value * 10 + static_cast<unsigned>(digit - '0');
    if (value > max) return std::nullopt;
  }
  value *= factor;
  Wide fraction = 0;
  Wide divisor = 1;
  for (const char digit : decimal.fraction) {
    fraction = fraction * 10 + static_cast<unsigned>(digit - '0');
    divisor *= 10;
  }
  fraction *= factor;
  exact = fraction % divisor == 0;
  value += fraction / divisor;
  if (value > max) return std::nullopt;
  return static_cast<std::uint64_t>(value);
}

struct NumberRules {
  std::uint64_t max;
  const char* smallest;  ///< Name of one of what is counted.
  const char* forms;
};

Result<std::uint64_t> scaled_number(std::string_view text, const Decimal& decimal,
                                    std::uint64_t factor, const NumberRules& rules) {
  const std::string not_whole = std::string("is not a whole number of ") + rules.smallest;
  if (decimal.fraction.size() > kFractionDigitsMax) return bad_text(text, not_whole, rules.forms);
  bool exact = true;
  const std::optional<std::uint64_t> value = scale(decimal, factor, rules.max, exact);
  if (!value.has_value()) return bad_text(text, "is too large", rules.forms);
  if (!exact) return bad_text(text, not_whole, rules.forms);
  return *value;
}

std::optional<std::uint64_t> time_factor(std::string_view unit) {
  if (unit.empty()) return kSecond;
  for (const Unit& known : kTimeUnits) {
    if (known.name == unit) return known.factor;
  }
  return std::nullopt;
}

std::optional<std::uint64_t> byte_factor(std::string_view unit) {
  if (unit.empty()) return 1;
  std::string lowered;
  for (const char character : unit) lowered += lower(character);
  for (const Unit& known : kByteUnits) {
    const std::string first(1, lower(known.name.front()));
    if (lowered == first) return known.factor;
    if (known.factor > 1 && (lowered == first + "b" || lowered == first + "ib")) {
      return known.factor;
    }
  }
  return std::nullopt;
}

std::string what_is_wrong(std::string_view text, const char* kind) {
  if (text.empty()) return "is empty";
  if (text.front() == '-') return "is negative";
  return std::string("is not a ") + kind;
}

}  // namespace

Result<Nanoseconds> parse_duration(std::string_view text) {
  const std::optional<Decimal> decimal = split_decimal(text);
  if (!decimal.has_value()) return bad_text(text, what_is_wrong(text, "duration"), kDurationForms);
  const std::optional<std::uint64_t> factor = time_factor(decimal->unit);
  if (!factor.has_value()) {
    return bad_text(text, "has the unknown unit " + quote(decimal->unit), kDurationForms);
  }
  Result<std::uint64_t> value =
      scaled_number(text, *decimal, *factor, {kDurationMax, "nanoseconds", kDurationForms});
  if (!value) return std::move(value).error();
  return Nanoseconds(static_cast<std::int64_t>(*value));
}

Result<std::uint64_t> parse_bytes(std::string_view text) {
  const std::optional<Decimal> decimal = split_decimal(text);
  if (!decimal.has_value()) return bad_text(text, what_is_wrong(text, "size"), kBytesForms);
  const std::optional<std::uint64_t> factor = byte_factor(decimal->unit);
  if (!factor.has_value()) {
    return bad_text(text, "has the unknown unit " + quote(decimal->unit), kBytesForms);
  }
  return scaled_number(text, *decimal, *factor,
                       {std::numeric_limits<std::uint64_t>::max(), "bytes", kBytesForms});
}

Result<Nanoseconds> duration_from_seconds(double seconds) {
  const std::string text = std::to_string(seconds);
  if (std::isnan(seconds)) return bad_text(text, "is not a number", kDurationForms);
  if (seconds < 0) return bad_text(text, "is negative", kDurationForms);
  const double nanoseconds = std::round(seconds * static_cast<double>(kSecond));
  // 2^63 is exact as a double; all below it fits.
  if (nanoseconds >= 9223372036854775808.0) return bad_text(text, "is too large", kDurationForms);
  return Nanoseconds(static_cast<std::int64_t>(nanoseconds));
}

std::string format_duration(Nanoseconds duration) {
  HATCHERY_CHECK(duration.count() >= 0);
  const auto count = static_cast<std::uint64_t>(duration.count());
  if (count == 0) return "0s";
  for (const Unit& unit : kTimeUnits) {
    if (count % unit.factor == 0) return std::to_string(count / unit.factor) += unit.name;
  }
  HATCHERY_UNREACHABLE();
}

std::string format_bytes(std::uint64_t bytes) {
  if (bytes == 0) return "0B";
  for (const Unit& unit : kByteUnits) {
    if (bytes % unit.factor == 0) return std::to_string(bytes / unit.factor) += unit.name;
  }
  HATCHERY_UNREACHABLE();
}

}  // namespace hatchery
