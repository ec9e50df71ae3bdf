// main() of every test program: an ordinary user's tests run as the user's pools do.
#include <gtest/gtest.h>

#include <cstdio>

#include "core/user_namespace.h"

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  // Failed: the feature "root" is missing, and says so in each test that needs it.
  if (const hatchery::Result<void> entered = hatchery::enter_user_namespace(); !entered)
    std::fprintf(stderr, "%s\n", entered.error().message().c_str());
  return RUN_ALL_TESTS();
}
