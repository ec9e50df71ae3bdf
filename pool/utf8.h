// UTF-8: what may stand in JSON as it is.
#pragma once

#include <string>
#include <string_view>

namespace hatchery {

/// Well-formed as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF.
bool is_utf8(std::string_view bytes) noexcept;

/// `bytes` with every byte that isn't part of a well-formed character replaced by U+FFFD: for names
/// and messages, where a reader is better served than by base64.
std::string utf8_or_replaced(std::string_view bytes);

}  // namespace hatchery
