// <cmath> is not included under any name.
int main() { return std::hypot(3, 4) == 5; }
