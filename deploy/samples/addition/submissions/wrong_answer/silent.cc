// Computes the sum and forgets to print it.
#include <iostream>

int main() {
  long long a = 0, b = 0;
  std::cin >> a >> b;
  a += b;
}
