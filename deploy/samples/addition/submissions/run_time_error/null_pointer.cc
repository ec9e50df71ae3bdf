// Writes through a null pointer: killed by SIGSEGV.
#include <iostream>

int main() {
  long long a = 0, b = 0;
  std::cin >> a >> b;
  long long* volatile sum = nullptr;
  *sum = a + b;
  std::cout << *sum << '\n';
}
