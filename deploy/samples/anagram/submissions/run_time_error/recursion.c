// Recursion without an end: stack and memory are used up together, so it is SIGSEGV or the memory
// limit; "run_time_error" stands for both.
#include <stdio.h>

static int depth(volatile char* letter) {
  volatile char page[4096];
  page[0] = *letter;
  return depth(page) + page[0];
}

int main(void) {
  char letter = 'a';
  return printf("%d\n", depth(&letter)) < 0;
}
