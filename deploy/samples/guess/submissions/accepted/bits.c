// Finds x bit by bit, with fflush() after each question.
#include <stdio.h>
#include <string.h>

int main(void) {
  int x = 1;
  for (int bit = 512; bit > 0; bit /= 2) {
    char reply[8];
    if (x + bit > 1000) continue;
    printf("? %d\n", x + bit);
    fflush(stdout);
    if (scanf("%7s", reply) != 1) return 1;
    if (strcmp(reply, "lower") != 0) x += bit;
  }
  printf("! %d\n", x);
  return 0;
}
