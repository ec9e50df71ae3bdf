// Prints one anagram after the other, for ever: one would do.
#include <algorithm>
#include <iostream>
#include <string>

int main() {
  std::string word;
  std::cin >> word;
  for (;;) {
    std::next_permutation(word.begin(), word.end());
    std::cout << word << '\n';
  }
}
