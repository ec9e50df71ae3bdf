#include "pool/nearest_name.h"

#include <algorithm>
#include <array>
#include <cstddef>

namespace hatchery {
namespace {

/// Names longer than this are nobody's slip, and the distance costs the product of both lengths.
constexpr std::size_t kNameLengthMax = 64;
constexpr std::size_t kQuotedLengthMax = 80;

/// Levenshtein distance: insertions, deletions and replacements.
std::size_t edit_distance(std::string_view left, std::string_view right) {
  std::array<std::size_t, kNameLengthMax + 1> row = {};
  for (std::size_t column = 0; column <= right.size(); ++column) row[column] = column;
  for (std::size_t line = 1; line <= left.size(); ++line) {
    std::size_t diagonal = row[0];
    row[0] = line;
    for (std::size_t column = 1; column <= right.size(); ++column) {
      const std::size_t replaced = diagonal + (left[line - 1] == right[column - 1] ? 0U : 1U);
      diagonal = row[column];
      row[column] = std::min({replaced, row[column] + 1, row[column - 1] + 1});
    }
  }
  return row[right.size()];
}

/// Two neighbours changed places, the commonest slip: two edits, but one mistake.
bool is_swap(std::string_view left, std::string_view right) {
  if (left.size() != right.size()) return false;
  const auto [first, second] = std::mismatch(left.begin(), left.end(), right.begin());
  if (left.end() - first < 2 || first[0] != second[1] || first[1] != second[0]) return false;
  return std::equal(first + 2, left.end(), second + 2);
}

/// "memory" for "memory_bytes", "wall_time" for "wall": one begins with the other.
bool one_begins_the_other(std::string_view left, std::string_view right) {
  const std::size_t size = std::min(left.size(), right.size());
  return size >= 3 && left.substr(0, size) == right.substr(0, size);
}

}  // namespace

std::string suggest_name(std::string_view name, const std::vector<std::string_view>& known) {
  std::string_view best;
  std::size_t best_distance = kNameLengthMax;
  for (const std::string_view candidate : known) {
    if (name.size() > kNameLengthMax || candidate.size() > kNameLengthMax) continue;
    std::size_t distance = is_swap(name, candidate) ? 1 : edit_distance(name, candidate);
    const std::size_t slips_max = std::max<std::size_t>(1, candidate.size() / 3);
    if (distance > slips_max || distance >= candidate.size()) {
      if (!one_begins_the_other(name, candidate)) continue;
      distance += kNameLengthMax / 2;  // A slip of the keyboard is the better guess.
    }
    if (distance >= best_distance) continue;
    best = candidate;
    best_distance = distance;
  }
  if (!best.empty()) return "did you mean \"" + std::string(best) + "\"?";
  std::string text = "known: ";
  for (const std::string_view candidate : known) {
    if (candidate != known.front()) text += ", ";
    text += candidate;
  }
  return text;
}

std::string quote(std::string_view text) {
  constexpr std::string_view kHexDigits = "0123456789abcdef";
  std::string result = "\"";
  std::size_t size = std::min(text.size(), kQuotedLengthMax);
  // Not between the bytes of one UTF-8 character: 10xxxxxx continues one.
  while (size < text.size() && size > 0 && (static_cast<unsigned char>(text[size]) >> 6U) == 2)
    --size;
  for (const char character : text.substr(0, size)) {
    const auto byte = static_cast<unsigned char>(character);
    if (byte < 0x20 || byte == 0x7f) {
      result += "\\x";
      result += kHexDigits[byte >> 4U];
      result += kHexDigits[byte & 15U];
    } else {
      result += character;
    }
  }
  result += size < text.size() ? "…\"" : "\"";
  return result;
}

}  // namespace hatchery
