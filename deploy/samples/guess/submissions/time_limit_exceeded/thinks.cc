// Ponders the last reply for ever.
#include <iostream>
#include <string>

int main() {
  std::cout << "? 1000" << std::endl;
  std::string reply;
  std::cin >> reply;
  volatile bool sure = reply == "same";
  while (!sure) {
  }
  std::cout << "! 1000" << std::endl;
}
