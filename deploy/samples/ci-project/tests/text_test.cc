// A plain test program: a line for each check, exit status 1 when one fails.
#include <iostream>

#include "text.h"

namespace {

int checks = 0;
int failures = 0;

template <typename Value, typename Expected>
void check_equal(const char* what, const Value& value, const Expected& expected) {
  const bool good = value == expected;
  ++checks;
  if (!good) ++failures;
  std::cout << (good ? "ok      " : "FAILED  ") << what << '\n';
}

void test_words() {
  check_equal("words: none", text::words(" ,;").size(), 0U);
  check_equal("words: two", text::words("one, two"), std::vector<std::string>{"one", "two"});
  check_equal("words: at both ends", text::words("a-b").size(), 2U);
}

void test_count_words() {
  const auto counts = text::count_words("The cat and the hat.");
  check_equal("count_words: kinds", counts.size(), 4U);
  check_equal("count_words: capitals", counts.at("the"), 2);
}

void test_trim() {
  check_equal("trim: nothing to do", text::trim("a b"), "a b");
  check_equal("trim: both ends", text::trim("\t a b \n"), "a b");
  check_equal("trim: only blanks", text::trim(" \n "), "");
}

void test_wrap() {
  check_equal("wrap: fits", text::wrap("a b", 3), "a b\n");
  check_equal("wrap: breaks", text::wrap("one two three", 8), "one two\nthree\n");
  check_equal("wrap: long word", text::wrap("a incomprehensible b", 5),
              "a\nincomprehensible\nb\n");
  check_equal("wrap: nothing", text::wrap("  ", 5), "");
}

}  // namespace

int main() {
  test_words();
  test_count_words();
  test_trim();
  test_wrap();
  std::cout << checks - failures << " of " << checks << " checks passed\n";
  return failures == 0 ? 0 : 1;
}
