#include "pool/random_id.h"

#include <sys/random.h>

#include <array>
#include <cerrno>
#include <string_view>

namespace hatchery {
namespace {

constexpr std::size_t kIdBytes = 16;

}  // namespace

Result<std::string> random_id() {
  std::array<unsigned char, kIdBytes> random = {};
  ssize_t got = 0;
  do {
    got = ::getrandom(random.data(), random.size(), 0);
  } while (got < 0 && errno == EINTR);
  // Up to 256 bytes come whole: getrandom(2).
  if (got != static_cast<ssize_t>(random.size()))
    return errno_error(Step::kStoreFile, "getrandom", errno);
  return hexadecimal(random.data(), random.size());
}

std::string hexadecimal(const unsigned char* bytes, std::size_t size) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (std::size_t i = 0; i < size; ++i) {
    text += kDigits[bytes[i] >> 4U];
    text += kDigits[bytes[i] & 15U];
  }
  return text;
}

}  // namespace hatchery
