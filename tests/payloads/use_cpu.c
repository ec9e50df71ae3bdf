// Uses argv[1] milliseconds of CPU time by its own clock, and ends.
#include <stdlib.h>
#include <time.h>

int main(int argc, char** argv) {
  const double wanted_s = argc > 1 ? atof(argv[1]) / 1000 : 0;
  struct timespec used;
  do {
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  } while ((double)used.tv_sec + (double)used.tv_nsec / 1e9 < wanted_s);
  return 0;
}
