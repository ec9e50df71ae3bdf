// A submission may be a directory: all its sources are compiled together.
#include <iostream>

#include "sum.h"

int main() {
  long long a = 0, b = 0;
  std::cin >> a >> b;
  std::cout << "\n   " << sum(a, b);  // White space makes no difference to the default validator.
}
