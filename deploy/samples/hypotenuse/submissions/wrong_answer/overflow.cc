// The square of a large number is infinite, and its root is no better.
#include <cmath>
#include <iostream>

int main() {
  double a = 0, b = 0;
  std::cin >> a >> b;
  std::cout.precision(15);
  std::cout << std::sqrt(a * a + b * b) << '\n';
}
