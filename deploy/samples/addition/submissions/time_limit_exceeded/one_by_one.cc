// Adds one at a time: quick for small numbers, thirty years for the largest.
#include <iostream>

int main() {
  long long a = 0, b = 0;
  std::cin >> a >> b;
  volatile long long sum = a;
  for (; b > 0; --b) sum = sum + 1;
  for (; b < 0; ++b) sum = sum - 1;
  std::cout << sum << '\n';
}
