// @EXPECTED_RESULTS@: WRONG-ANSWER, RUN-ERROR
// The line above says what to expect, whatever the directory: here one of two bugs shows first.
#include <cstdlib>
#include <iostream>

int main() {
  long long a = 0, b = 0;
  std::cin >> a >> b;
  if (b < 0) std::abort();
  std::cout << a - b << '\n';
}
