// Asks nothing and names the wrong number.
#include <iostream>

int main() { std::cout << "! 500" << std::endl; }
