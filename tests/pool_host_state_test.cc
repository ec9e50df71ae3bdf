// What pools on one host lease from each other.
#include <gtest/gtest.h>

#include "pool/host_state.h"

namespace hatchery {
namespace {

TEST(CategoryNames, NoTwoHoldersHaveAPairAtOnceAndOneThatIsReleasedIsTakenAgain) {
  CategoryNames one;
  CategoryNames other;
  const std::optional<std::uint32_t> first = *one.lease();
  const std::optional<std::uint32_t> second = *other.lease();
  const std::optional<std::uint32_t> third = *one.lease();
  ASSERT_TRUE(first && second && third);
  // Other pools of this host may have some, too.
  EXPECT_LT(*first, *second);
  EXPECT_LT(*second, *third);
  one.release(*first);
  EXPECT_EQ(*other.lease(), first);
}

TEST(CategoryNames, EndWithWhoeverHasThem) {
  std::optional<std::uint32_t> pair;
  {
    CategoryNames gone;
    pair = *gone.lease();
  }
  CategoryNames later;
  EXPECT_EQ(*later.lease(), pair);
}

}  // namespace
}  // namespace hatchery
