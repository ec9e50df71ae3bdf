// Suggestions for misspelt names in files that people write by hand.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace hatchery {

/// The remedy for an unknown `name`: `did you mean "memory"?` when one of `known` is a likely slip
/// away, else `known: a, b, c`.
std::string suggest_name(std::string_view name, const std::vector<std::string_view>& known);

/// `text` in double quotes for a message, cut to a bearable length, with control bytes as \xNN.
std::string quote(std::string_view text);

}  // namespace hatchery
