// Binary search; std::endl flushes.
#include <iostream>
#include <string>

int main() {
  int low = 1, high = 1000;
  while (low < high) {
    const int middle = (low + high) / 2;
    std::cout << "? " << middle << std::endl;
    std::string reply;
    std::cin >> reply;
    if (reply == "same") low = high = middle;
    if (reply == "lower") high = middle - 1;
    if (reply == "higher") low = middle + 1;
  }
  std::cout << "! " << low << std::endl;
}
