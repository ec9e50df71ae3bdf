// Takes memory without end and writes to it, so that it is really used.
#include <stdlib.h>
#include <string.h>

int main(void) {
  const size_t size = 1 << 20;
  for (;;) {
    char* const block = malloc(size);
    if (block != NULL) memset(block, 1, size);
  }
}
