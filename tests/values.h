// What unit tests put in and say of results.
#pragma once

#include <string>

#include "core/result.h"

namespace hatchery {

inline std::string all_bytes() {
  std::string bytes;
  for (int value = 0; value < 256; ++value) bytes += static_cast<char>(value);
  return bytes;
}

template <class T>
std::string message_of(const Result<T>& result) {
  return result ? std::string("no error") : result.error().message();
}

}  // namespace hatchery
