#include "pool/utf8.h"

#include <cstdint>
#include <cstring>

namespace hatchery {
namespace {

bool is_continuation(unsigned char byte) { return (byte & 0xC0U) == 0x80U; }

/// Size of the well-formed character that `bytes` begins with; 0 when it begins with none.
/// Precondition: not empty.
std::size_t character_size(std::string_view bytes) noexcept {
  const auto byte = [&bytes](std::size_t index) {
    return static_cast<unsigned char>(bytes[index]);
  };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t size = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || bytes.size() < size) return 0;
  for (std::size_t index = 1; index < size; ++index) {
    if (!is_continuation(byte(index))) return 0;
  }
  // The first byte alone allows overlong forms (E0, F0), surrogates (ED) and numbers too large
  // (F4).
  if (first == 0xE0 && byte(1) < 0xA0) return 0;
  if (first == 0xED && byte(1) > 0x9F) return 0;
  if (first == 0xF0 && byte(1) < 0x90) return 0;
  if (first == 0xF4 && byte(1) > 0x8F) return 0;
  return size;
}

/// Bytes at the start that are ASCII, in whole words: most outputs are nothing else.
std::size_t ascii_words(std::string_view bytes) noexcept {
  constexpr std::uint64_t kHighBits = 0x8080'8080'8080'8080ULL;
  std::size_t size = 0;
  std::uint64_t word = 0;
  for (; size + sizeof word <= bytes.size(); size += sizeof word) {
    std::memcpy(&word, bytes.data() + size, sizeof word);
    if ((word & kHighBits) != 0) break;
  }
  return size;
}

}  // namespace

bool is_utf8(std::string_view bytes) noexcept {
  while (!bytes.empty()) {
    bytes.remove_prefix(ascii_words(bytes));
    if (bytes.empty()) break;
    const std::size_t size = character_size(bytes);
    if (size == 0) return false;
    bytes.remove_prefix(size);
  }
  return true;
}

std::string utf8_or_replaced(std::string_view bytes) {
  std::string text;
  while (!bytes.empty()) {
    const std::size_t size = character_size(bytes);
    if (size == 0) {
      text += "\xEF\xBF\xBD";
    } else {
      text += bytes.substr(0, size);
    }
    bytes.remove_prefix(size == 0 ? 1 : size);
  }
  return text;
}

}  // namespace hatchery
