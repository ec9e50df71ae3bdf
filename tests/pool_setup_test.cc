// What a pool checks of a job before anything is set up for it.
#include "pool/pool_setup.h"

#include <gmock/gmock.h>

namespace hatchery {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;

struct NeededController {
  const char* controller;
  Limits limits;
};

TEST(ControllersOfAHost, ALimitWhoseControllerIsMissingIsRefusedAndNotDropped) {
  const std::set<std::string> all = {"memory", "pids", "cpu", "cpuset", "io"};
  const NeededController needed[] = {{"memory", {.memory_bytes = 64 << 20}},
                                     {"memory", {.memory_soft_bytes = 64 << 20}},
                                     {"pids", {.processes = 8}},
                                     {"cpu", {.cpu_rate = 0.5}},
                                     {"cpu", {.cpu_weight = 50}},
                                     {"cpuset", {.cpu_set = "0"}}};
  for (const auto& [controller, limits] : needed) {
    CgroupHost host;
    host.hierarchies.push_back(
        {.mount = "/sys/fs/cgroup", .parent = "", .v2 = true, .controllers = all});
    EXPECT_TRUE(check_controllers(limits, host, CgroupUse::kAuto)) << controller;
    host.hierarchies.front().controllers.erase(controller);
    const Result<void> refused = check_controllers(limits, host, CgroupUse::kAuto);
    ASSERT_FALSE(refused) << controller;
    EXPECT_EQ(refused.error().errnum, ENOTSUP);
    EXPECT_THAT(refused.error().message(), HasSubstr('"' + std::string(controller) + '"'));
  }
}

TEST(ControllersOfAHost, CpuTimeIsOfAnyV2HierarchyOrOfV1sCpuacct) {
  CgroupHost host;
  host.hierarchies.push_back(
      {.mount = "/cgroup/memory", .parent = "", .controllers = {"memory", "pids"}});
  const Limits limits{.cpu_time = seconds(1)};
  const Result<void> refused = check_controllers(limits, host, CgroupUse::kAuto);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(), HasSubstr("cpuacct"));
  host.hierarchies.front().controllers.insert("cpuacct");
  EXPECT_TRUE(check_controllers(limits, host, CgroupUse::kAuto));
  host.hierarchies.front() = {
      .mount = "/sys/fs/cgroup", .parent = "", .v2 = true, .controllers = {}};
  EXPECT_TRUE(check_controllers(limits, host, CgroupUse::kAuto));
}

}  // namespace
}  // namespace hatchery
