// Base64 of RFC 4648, section 4, canonical: one text for each sequence of bytes.
#include <array>
#include <cstdint>

#include "pool/job_json.h"

namespace hatchery {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::uint8_t kNoDigit = 255;

constexpr std::array<std::uint8_t, 256> make_digits() {
  std::array<std::uint8_t, 256> digits = {};
  for (std::uint8_t& digit : digits) digit = kNoDigit;
  for (std::size_t value = 0; value < kAlphabet.size(); ++value) {
    digits[static_cast<unsigned char>(kAlphabet[value])] = static_cast<std::uint8_t>(value);
  }
  return digits;
}
constexpr std::array<std::uint8_t, 256> kDigits = make_digits();

Error wrong(std::string detail) {
  return Error{Step::kValidateJob, "base64", 0, std::move(detail),
               "give standard base64 with padding and without line breaks"};
}

}  // namespace

std::string base64_encode(std::string_view bytes) {
  std::string text((bytes.size() + 2) / 3 * 4, '=');
  char* to = text.data();
  const auto* from = reinterpret_cast<const unsigned char*>(bytes.data());
  const auto digit = [](std::uint32_t bits) { return kAlphabet.data()[bits & 63U]; };
  std::size_t left = bytes.size();
  for (; left >= 3; left -= 3, from += 3) {
    const std::uint32_t group =
        std::uint32_t{from[0]} << 16U | std::uint32_t{from[1]} << 8U | from[2];
    *to++ = digit(group >> 18U);
    *to++ = digit(group >> 12U);
    *to++ = digit(group >> 6U);
    *to++ = digit(group);
  }
  if (left == 0) return text;
  const std::uint32_t second = left == 2 ? from[1] : 0U;
  const std::uint32_t group = std::uint32_t{from[0]} << 16U | second << 8U;
  *to++ = digit(group >> 18U);
  *to++ = digit(group >> 12U);
  if (left == 2) *to = digit(group >> 6U);
  return text;
}

Result<std::string> base64_decode(std::string_view text) {
  if (text.size() % 4 != 0) return wrong("is not a multiple of 4 characters long");
  std::size_t digits = text.size();
  while (digits > 0 && text.size() - digits < 2 && text[digits - 1] == '=') --digits;
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3);
  std::uint32_t bits = 0;
  std::uint32_t bits_count = 0;
  for (std::size_t index = 0; index < digits; ++index) {
    const std::uint8_t digit = kDigits[static_cast<unsigned char>(text[index])];
    if (digit == kNoDigit) return wrong("has a wrong character at byte " + std::to_string(index));
    bits = (bits << 6U | digit) & 0xFFFFU;
    bits_count += 6;
    if (bits_count < 8) continue;
    bits_count -= 8;
    bytes += static_cast<char>(static_cast<unsigned char>(bits >> bits_count & 0xFFU));
  }
  if ((bits & ((1U << bits_count) - 1U)) != 0) return wrong("has bits set after its last byte");
  return bytes;
}

}  // namespace hatchery
