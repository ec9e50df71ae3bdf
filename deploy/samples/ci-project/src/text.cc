#include "text.h"

#include <cctype>

namespace text {
namespace {

bool is_letter(char byte) { return std::isalnum(static_cast<unsigned char>(byte)) != 0; }

bool is_blank(char byte) { return std::isspace(static_cast<unsigned char>(byte)) != 0; }

std::vector<std::string> split(std::string_view text, bool (*belongs)(char)) {
  std::vector<std::string> parts;
  bool inside = false;
  for (const char byte : text) {
    if (belongs(byte)) {
      if (!inside) parts.emplace_back();
      parts.back() += byte;
    }
    inside = belongs(byte);
  }
  return parts;
}

}  // namespace

std::vector<std::string> words(std::string_view text) { return split(text, is_letter); }

std::map<std::string, int> count_words(std::string_view text) {
  std::map<std::string, int> counts;
  for (std::string& word : words(text)) {
    for (char& letter : word)
      letter = static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
    ++counts[word];
  }
  return counts;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

std::string wrap(std::string_view text, std::size_t width) {
  std::string lines, line;
  for (const std::string& part : split(text, [](char byte) { return !is_blank(byte); })) {
    if (!line.empty() && line.size() + 1 + part.size() > width) {
      lines += line + '\n';
      line.clear();
    }
    line += (line.empty() ? "" : " ") + part;
  }
  return line.empty() ? lines : lines + line + '\n';
}

}  // namespace text
