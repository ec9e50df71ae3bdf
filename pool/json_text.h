// JSON text to values, strictly: no duplicate keys, no half surrogates, bounded in size and depth.
// Only the JSON files of this folder include it.
#pragma once

#include <boost/json/value.hpp>
#include <string>
#include <string_view>

#include "core/result.h"

namespace hatchery {

/// Larger inputs and outputs of a job go by host file or the file store.
inline constexpr std::size_t kJsonBytesMax = 256U << 20U;
inline constexpr std::size_t kJsonDepthMax = 16;

/// One JSON document. The error's object is `where`.
Result<boost::json::value> parse_json(std::string_view text, const std::string& where);

}  // namespace hatchery
