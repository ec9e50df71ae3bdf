// An assertion that doesn't hold for zero: SIGABRT.
#include <cassert>
#include <cmath>
#include <iostream>

int main() {
  double a = 0, b = 0;
  std::cin >> a >> b;
  assert(a > 0 && b > 0);
  std::cout.precision(17);
  std::cout << std::hypot(a, b) << '\n';
}
