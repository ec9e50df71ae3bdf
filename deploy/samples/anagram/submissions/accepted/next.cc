// The next word in the dictionary of all permutations, or the first one after the last.
#include <algorithm>
#include <iostream>
#include <string>

int main() {
  std::string word;
  std::cin >> word;
  const std::string before = word;
  std::next_permutation(word.begin(), word.end());
  std::cout << (word == before ? "-" : word) << '\n';
}
