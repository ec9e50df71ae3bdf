// Compares as unsigned: negative values come last.
#include <stdio.h>
#include <stdlib.h>

static int compare(const void* left, const void* right) {
  const unsigned a = *(const unsigned*)left, b = *(const unsigned*)right;
  return (a > b) - (a < b);
}

int main(void) {
  static int values[200000];
  int n;
  if (scanf("%d", &n) != 1) return 1;
  for (int i = 0; i < n; i++) {
    if (scanf("%d", &values[i]) != 1) return 1;
  }
  qsort(values, (size_t)n, sizeof values[0], compare);
  for (int i = 0; i < n; i++) printf("%d\n", values[i]);
  return 0;
}
