// Insertion sort with the whole list on stderr after each step: debug output has a limit too.
#include <algorithm>
#include <iostream>
#include <vector>

int main() {
  std::ios::sync_with_stdio(false);  // Without it, clog would write each character by itself.
  std::size_t n = 0;
  std::cin >> n;
  std::vector<int> values;
  for (int value = 0; std::cin >> value;) {
    values.insert(std::upper_bound(values.begin(), values.end(), value), value);
    for (const int each : values) std::clog << each << ' ';
    std::clog << '\n';
  }
  for (const int value : values) std::cout << value << '\n';
}
