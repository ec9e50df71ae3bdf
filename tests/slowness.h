// How patient tests are.
#pragma once

#include <cstdlib>

namespace hatchery::testing {

/// How many times longer than usual a thing may take: HATCHERY_TEST_SLOWNESS, which tests/vm/guest
/// sets, since a start of a program takes ten times as long under emulation. For bounds that only
/// what hangs should reach, and for what scripts may use; never for what is measured.
inline int slowness() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): tests set no environment while threads run.
  const char* text = std::getenv("HATCHERY_TEST_SLOWNESS");
  const int times = text == nullptr ? 1 : std::atoi(text);
  return times > 0 ? times : 1;
}

}  // namespace hatchery::testing
