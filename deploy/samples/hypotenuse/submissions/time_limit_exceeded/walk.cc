// Walks from the longer side to the result in tiny steps: sure to arrive, but not today.
#include <algorithm>
#include <cstdio>

int main() {
  double a = 0, b = 0;
  if (std::scanf("%lf %lf", &a, &b) != 2) return 1;
  double length = std::max(a, b);
  while (length * length < a * a + b * b) length += 1e-12;
  std::printf("%.9f\n", length);
}
