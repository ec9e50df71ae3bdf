// Gives up with abort() in the middle of the game.
#include <cstdlib>
#include <iostream>

int main() {
  std::cout << "? 500" << std::endl;
  std::abort();
}
