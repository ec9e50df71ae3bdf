// The library's function takes care of large numbers.
#include <cmath>
#include <cstdio>

int main() {
  double a = 0, b = 0;
  if (std::scanf("%lf %lf", &a, &b) != 2) return 1;
  std::printf("%.9f\n", std::hypot(a, b));
}
