// The smallest C++ job: dynamic, with the library's streams set up at start and flushed at exit.
#include <iostream>

int main() { return std::cout.good() && std::cin.good() ? 0 : 1; }
