// F: privilege, namespaces, system calls.
#include "tests/adversarial.h"

namespace hatchery::testing {
namespace {

using protocol::kWithoutFilter;
using ::testing::HasSubstr;
using ::testing::Not;

HATCHERY_ATTACKS(Privilege) {
  return {
      {.name = "UnshareUserNamespace",
       .source = "F82",
       .does = "unshares a user namespace",
       .answer = "EPERM",
       .layer = "seccomp filter",
       .job = sh("unshare -U echo inside"),
       .gets = Prints(Not(HasSubstr("inside"))),
       .control = without(kWithoutFilter | protocol::kWithoutUserNamespaceLimit,
                          "filter and namespace limit", Prints("inside"))},
  };
}

}  // namespace
}  // namespace hatchery::testing
