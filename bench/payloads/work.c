// The same work every time: argv[1] rounds over 64 KiB of memory, without a system call. 0: for ever.
#include <stdint.h>
#include <stdlib.h>

static uint32_t cells[16384];

int main(int argc, char** argv) {
  const long rounds = argc > 1 ? atol(argv[1]) : 1;
  uint32_t state = 1;
  for (long round = 0; rounds == 0 || round < rounds; ++round)
    for (uint32_t i = 0; i < sizeof cells / sizeof *cells; ++i) {
      state = state * 1664525 + 1013904223;
      cells[(state >> 18) & 16383] += state;
    }
  return cells[1] == 42 && cells[2] == 42 ? 1 : 0;
}
