#include "pool/cli/judge/java_source.h"

#include <cstddef>

namespace hatchery::judge {
namespace {

bool is_word(char byte) {
  const bool letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
  const bool digit = byte >= '0' && byte <= '9';
  return letter || digit || byte == '_' || byte == '$' || static_cast<unsigned char>(byte) >= 0x80;
}

/// Words and single punctuation bytes of Java, without comments and literals.
class Tokens {
 public:
  explicit Tokens(std::string_view text) : text_(text) {}

  /// Empty at the end.
  std::string_view next() {
    while (skip_one()) {
    }
    const std::size_t start = position_;
    if (start >= text_.size()) return {};
    if (!is_word(text_[position_])) return text_.substr(position_++, 1);
    while (position_ < text_.size() && is_word(text_[position_])) ++position_;
    return text_.substr(start, position_ - start);
  }

 private:
  bool starts(std::string_view what) const { return text_.substr(position_, what.size()) == what; }
  void skip_past(std::string_view end, std::size_t from) {
    const std::size_t found = text_.find(end, from);
    position_ = found == std::string_view::npos ? text_.size() : found + end.size();
  }
  void skip_literal(char closing) {
    ++position_;
    while (position_ < text_.size() && text_[position_] != closing && text_[position_] != '\n') {
      position_ += text_[position_] == '\\' ? 2U : 1U;
    }
    ++position_;
  }
  /// Skips one blank, comment or literal; false when there is none here.
  bool skip_one() {
    if (position_ >= text_.size()) return false;
    const char byte = text_[position_];
    if (byte == ' ' || (byte >= '\t' && byte <= '\r')) {
      ++position_;
    } else if (starts("//")) {
      skip_past("\n", position_);
    } else if (starts("/*")) {
      skip_past("*/", position_ + 2);
    } else if (starts("\"\"\"")) {
      skip_past("\"\"\"", position_ + 3);
    } else if (byte == '"' || byte == '\'') {
      skip_literal(byte);
    } else {
      return false;
    }
    return true;
  }

  std::string_view text_;
  std::size_t position_ = 0;
};

bool is_type_keyword(std::string_view word) {
  return word == "class" || word == "interface" || word == "enum" || word == "record";
}

/// Follows the tokens of one source: how deep in braces, in which top-level type.
class JavaReading {
 public:
  void take(std::string_view token) {
    if (token == "{") {
      ++depth_;
    } else if (token == "}") {
      --depth_;
      is_public_ = false;
    } else if (depth_ == 0) {
      take_at_top(token);
    } else if (depth_ == 1 && token == "(" && last_ == "main" && before_last_ == "void") {
      if (found_.main_type.empty()) found_.main_type = type_;
    }
    before_last_ = last_;
    last_ = token;
  }
  const JavaSource& found() const { return found_; }

 private:
  void take_at_top(std::string_view token) {
    if (in_package_) {
      if (token == ";") {
        in_package_ = false;
      } else {
        found_.package += token;
      }
    } else if (token == "package") {
      in_package_ = true;
    } else if (token == "public") {
      is_public_ = true;
    } else if (is_type_keyword(last_) && is_word(token.front())) {
      type_ = token;
      if (is_public_ && found_.public_type.empty()) found_.public_type = type_;
      is_public_ = false;
    }
  }

  JavaSource found_;
  std::string type_;
  std::string_view last_, before_last_;
  int depth_ = 0;
  bool in_package_ = false;
  bool is_public_ = false;
};

}  // namespace

JavaSource read_java_source(std::string_view text) {
  Tokens tokens(text);
  JavaReading reading;
  for (std::string_view token = tokens.next(); !token.empty(); token = tokens.next()) {
    reading.take(token);
  }
  return reading.found();
}

}  // namespace hatchery::judge
