// Counting sort with a counter for each possible value: 800 MB.
#include <iostream>
#include <vector>

int main() {
  constexpr int kLargest = 100'000'000;
  std::vector<int> count(2 * kLargest + 1);
  int n = 0, value = 0;
  std::cin >> n;
  while (std::cin >> value) ++count[static_cast<std::size_t>(value + kLargest)];
  for (value = -kLargest; value <= kLargest; ++value) {
    for (int i = 0; i < count[static_cast<std::size_t>(value + kLargest)]; ++i)
      std::cout << value << '\n';
  }
}
