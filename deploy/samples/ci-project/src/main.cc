// Prints the words of its standard input with their counts.
#include <iostream>
#include <iterator>

#include "text.h"

int main() {
  const std::string input{std::istreambuf_iterator<char>(std::cin), {}};
  for (const auto& [word, count] : text::count_words(input))
    std::cout << count << '\t' << word << '\n';
}
