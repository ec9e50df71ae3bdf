// main() of every test program: an ordinary user's tests run as the user's pools do.
#include <gtest/gtest.h>

#include <cstdio>

#include "core/user_namespace.h"

#ifdef __SANITIZE_THREAD__
/// A node of Boost.Lockfree's that is free is looked at by whoever had it before, atomically, while
/// its next owner writes it; what was read then is thrown away.
extern "C" const char* __tsan_default_suppressions() {  // NOLINT(bugprone-reserved-identifier)
  return "race:boost::lockfree::queue\n";
}
#endif

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  // Failed: the feature "root" is missing, and says so in each test that needs it.
  if (const hatchery::Result<void> entered = hatchery::enter_user_namespace(); !entered)
    std::fprintf(stderr, "%s\n", entered.error().message().c_str());
  return RUN_ALL_TESTS();
}
