// Waits to be greeted first: both sides read, and the wall limit ends it.
#include <iostream>
#include <string>

int main() {
  std::string greeting;
  std::cin >> greeting;
  std::cout << "? 500" << std::endl;
}
