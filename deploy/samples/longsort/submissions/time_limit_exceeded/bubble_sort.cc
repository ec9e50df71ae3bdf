// O(n^2) comparisons for random values; fast where nothing is to do.
#include <iostream>
#include <utility>
#include <vector>

int main() {
  std::ios::sync_with_stdio(false);
  std::size_t n = 0;
  std::cin >> n;
  std::vector<int> values(n);
  for (int& value : values) std::cin >> value;
  for (bool swapped = true; swapped;) {
    swapped = false;
    for (std::size_t i = 1; i < n; ++i) {
      if (values[i - 1] <= values[i]) continue;
      std::swap(values[i - 1], values[i]);
      swapped = true;
    }
  }
  for (const int value : values) std::cout << value << '\n';
}
