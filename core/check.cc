#include "core/check.h"

#include <unistd.h>

#include <cstdlib>
#include <cstring>

namespace hatchery {

void check_failed(const char* file, int line, const char* condition) noexcept {
  char text[512];
  std::size_t size = 0;
  auto append = [&](const char* part) {
    for (; *part != '\0' && size < sizeof text - 1; ++part) text[size++] = *part;
  };
  append(file);
  append(":");
  char digits[12];
  int count = 0;
  for (unsigned rest = static_cast<unsigned>(line); count == 0 || rest != 0; rest /= 10)
    digits[count++] = static_cast<char>('0' + rest % 10);
  while (count > 0 && size < sizeof text - 1) text[size++] = digits[--count];
  append(": CHECK failed: ");
  append(condition);
  append("\n");
  // The result is of no use: the process ends here either way.
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text, size);
  std::abort();
}

}  // namespace hatchery
