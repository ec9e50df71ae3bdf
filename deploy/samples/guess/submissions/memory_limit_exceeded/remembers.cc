// Remembers the first reply a little too often.
#include <iostream>
#include <string>
#include <vector>

int main() {
  std::cout << "? 500" << std::endl;
  std::string reply;
  std::cin >> reply;
  std::vector<std::string> memory;
  for (;;) memory.push_back(reply + " than five hundred, says the partner");
}
