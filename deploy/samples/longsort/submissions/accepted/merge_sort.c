// Merge sort from the bottom up, by hand.
#include <stdio.h>
#include <string.h>

static int a[200000], b[200000];

int main(void) {
  int n;
  if (scanf("%d", &n) != 1) return 1;
  for (int i = 0; i < n; i++) {
    if (scanf("%d", &a[i]) != 1) return 1;
  }
  for (int width = 1; width < n; width *= 2) {
    for (int low = 0; low < n; low += 2 * width) {
      const int mid = low + width < n ? low + width : n;
      const int high = mid + width < n ? mid + width : n;
      int left = low, right = mid;
      for (int k = low; k < high; k++) {
        b[k] = right == high || (left < mid && a[left] <= a[right]) ? a[left++] : a[right++];
      }
    }
    memcpy(a, b, (size_t)n * sizeof a[0]);
  }
  for (int i = 0; i < n; i++) printf("%d\n", a[i]);
  return 0;
}
