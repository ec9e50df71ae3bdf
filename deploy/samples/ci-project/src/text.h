// A few functions on texts: what this project delivers.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace text {

// Words in the order of the text; everything but ASCII letters and digits separates them.
std::vector<std::string> words(std::string_view text);

// How often each word occurs, in small letters.
std::map<std::string, int> count_words(std::string_view text);

// Without white space at both ends.
std::string_view trim(std::string_view text);

// Lines of at most `width` characters, broken between words; a longer word has a line of its own.
std::string wrap(std::string_view text, std::size_t width);

}  // namespace text
