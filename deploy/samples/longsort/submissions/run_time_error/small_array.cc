// Room for 1000 values only; at() throws, and nothing catches it: SIGABRT.
#include <algorithm>
#include <array>
#include <iostream>

int main() {
  std::array<int, 1000> values{};
  std::size_t n = 0;
  std::cin >> n;
  for (std::size_t i = 0; i < n; ++i) std::cin >> values.at(i);
  std::sort(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(n));
  for (std::size_t i = 0; i < n; ++i) std::cout << values[i] << '\n';
}
