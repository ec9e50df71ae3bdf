// Division of integers by zero: SIGFPE.
#include <math.h>
#include <stdio.h>

int main(void) {
  double a, b;
  if (scanf("%lf %lf", &a, &b) != 2) return 1;
  volatile int side = (int)fmin(a, 1000);
  volatile int ratio = 1000 / side;
  printf("%.9f\n", ratio < 0 ? 0 : hypot(a, b));
  return 0;
}
