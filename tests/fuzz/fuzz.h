// What every fuzz target is: bytes in, a CHECK, a crash or nothing out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace hatchery::fuzz {

inline std::string_view text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

}  // namespace hatchery::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
