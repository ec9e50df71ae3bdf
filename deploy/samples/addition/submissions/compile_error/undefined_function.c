// Compiles, but doesn't link: sum() is declared and nowhere defined.
#include <stdio.h>

long long sum(long long a, long long b);

int main(void) {
  long long a, b;
  if (scanf("%lld %lld", &a, &b) != 2) return 1;
  printf("%lld\n", sum(a, b));
  return 0;
}
