// std::sort, and streams that don't wait for C's.
#include <algorithm>
#include <iostream>
#include <vector>

int main() {
  std::ios::sync_with_stdio(false);
  std::cin.tie(nullptr);
  std::size_t n = 0;
  std::cin >> n;
  std::vector<int> values(n);
  for (int& value : values) std::cin >> value;
  std::sort(values.begin(), values.end());
  for (const int value : values) std::cout << value << '\n';
}
