// A set keeps each value once only.
#include <iostream>
#include <set>

int main() {
  int n = 0, value = 0;
  std::cin >> n;
  std::set<int> values;
  while (std::cin >> value) values.insert(value);
  for (const int each : values) std::cout << each << '\n';
}
