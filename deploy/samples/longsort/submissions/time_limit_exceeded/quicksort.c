// Quicksort that puts all equal values on one side: O(n^2) when there are no others.
#include <stdio.h>

static int a[200000];

static void sort(int low, int high) {
  while (low < high) {
    const int pivot = a[high];
    int end = low;
    for (int i = low; i < high; i++) {
      if (a[i] > pivot) continue;
      const int value = a[i];
      a[i] = a[end];
      a[end++] = value;
    }
    a[high] = a[end];
    a[end] = pivot;
    sort(end + 1, high);
    high = end - 1;
  }
}

int main(void) {
  int n;
  if (scanf("%d", &n) != 1) return 1;
  for (int i = 0; i < n; i++) {
    if (scanf("%d", &a[i]) != 1) return 1;
  }
  sort(0, n - 1);
  for (int i = 0; i < n; i++) printf("%d\n", a[i]);
  return 0;
}
