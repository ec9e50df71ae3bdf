// Asks once and ends well, without naming anything.
#include <stdio.h>

int main(void) {
  puts("? 500");
  return 0;
}
