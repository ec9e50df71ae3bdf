// Divides by the larger side first, so that no square overflows; prints powers of ten.
#include <math.h>
#include <stdio.h>

int main(void) {
  double a, b;
  if (scanf("%lf %lf", &a, &b) != 2) return 1;
  const double scale = fmax(a, b);
  if (scale == 0) return puts("0.0") < 0;
  printf("%.12e\n", scale * sqrt((a / scale) * (a / scale) + (b / scale) * (b / scale)));
  return 0;
}
