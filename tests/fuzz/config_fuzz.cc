// A profile or pool file in TOML: an error, or a configuration that survives being written and
// read, and whose profiles a launcher accepts.
#include "core/check.h"
#include "pool/config.h"
#include "pool/slot_plan.h"
#include "tests/fuzz/fuzz.h"
#include "workers/plan_check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace hatchery;
  const Result<PoolConfig> config = config_from_toml(fuzz::text_of(data, size), "fuzz");
  if (!config) {
    HATCHERY_CHECK(!config.error().message().empty());
    return 0;
  }
  const std::string text = config_to_toml(*config);
  const Result<PoolConfig> again = config_from_toml(text, "again");
  HATCHERY_CHECK(again.has_value() && config_to_toml(*again) == text);
  for (const Profile& profile : config->profiles) {
    const std::string plan = encode_slot_plan(profile, {}, "/run/hatchery/overlay", 0);
    HATCHERY_CHECK(plan_check::broken_rule(reinterpret_cast<const protocol::SlotPlan*>(plan.data()),
                                           plan.size()) == 0);
  }
  return 0;
}
