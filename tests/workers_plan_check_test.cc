// The bounds of the plans that launcher and worker walk: what the pool makes is accepted, and each
// way to point outside is refused by the rule that is about it.
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "pool/job_plan.h"
#include "pool/slot_plan.h"
#include "workers/plan_check.h"

namespace hatchery {
namespace {

using protocol::JobPlan;
using protocol::MountOp;
using protocol::SlotPlan;

/// The slot plan of the built-in profile, to spoil.
class SlotPlanBytes {
 public:
  SlotPlanBytes() {
    const auto policy = compile_syscall_policy(default_syscall_policy(SyscallAction::kErrno));
    bytes_ = encode_slot_plan(default_profile(), policy.value(), "/run/hatchery/overlay", 0);
  }
  SlotPlan& header() { return *reinterpret_cast<SlotPlan*>(bytes_.data()); }
  MountOp& mount(std::size_t index) {
    return reinterpret_cast<MountOp*>(bytes_.data() + header().mounts)[index];
  }
  std::uint32_t size() const { return static_cast<std::uint32_t>(bytes_.size()); }
  void cut(std::size_t size) { bytes_.resize(size); }
  char& last() { return bytes_.back(); }
  int broken_rule() { return plan_check::broken_rule(&header(), bytes_.size()); }

 private:
  std::string bytes_;
};

TEST(PlanCheck, TheSlotPlanOfTheBuiltInProfileIsSound) {
  EXPECT_EQ(SlotPlanBytes().broken_rule(), 0);
}

TEST(PlanCheck, EveryProfileThatIsValidFitsIntoASlotPlan) {
  for (const char* root : {"", "/srv/root"}) {
    PoolConfig config;
    Profile& profile = config.profiles.front();
    profile.root_directory = root;
    profile.network = NetworkMode::kHost;  // One mount more.
    while (config.validate()) {
      const std::string bytes = encode_slot_plan(profile, {}, "", 0);
      const auto* plan = reinterpret_cast<const SlotPlan*>(bytes.data());
      ASSERT_EQ(plan_check::broken_rule(plan, bytes.size()), 0) << plan->mounts_count;
      profile.masked_paths.push_back("/proc/" + std::to_string(profile.masked_paths.size()));
    }
    EXPECT_EQ(config.validate().error().object, "profile[0].bind") << "more than fit are refused";
  }
}

TEST(PlanCheck, ASlotPlanThatPointsOutsideIsRefused) {
  struct Case {
    const char* name;
    int rule;
    std::function<void(SlotPlanBytes&)> spoil;
  };
  const Case cases[] = {
      {"other version", 1, [](SlotPlanBytes& plan) { ++plan.header().version; }},
      {"size beyond the mapping", 1, [](SlotPlanBytes& plan) { ++plan.header().size; }},
      {"shorter than its header", 1, [](SlotPlanBytes& plan) { plan.cut(sizeof(SlotPlan) - 1); }},
      {"last text without end", 2, [](SlotPlanBytes& plan) { plan.last() = 'x'; }},
      {"hostname", 2, [](SlotPlanBytes& plan) { plan.header().hostname = plan.size(); }},
      {"root", 2, [](SlotPlanBytes& plan) { plan.header().root_directory = UINT32_MAX; }},
      {"filter", 3, [](SlotPlanBytes& plan) { plan.header().filters = plan.size() / 8 * 8; }},
      {"filter not aligned", 3, [](SlotPlanBytes& plan) { ++plan.header().filters; }},
      {"filter too long", 3, [](SlotPlanBytes& plan) { plan.header().worker_filter_count = 4097; }},
      {"zygote's filter too long", 3,
       [](SlotPlanBytes& plan) { plan.header().zygote_filter_count = 4097; }},
      {"mounts", 4, [](SlotPlanBytes& plan) { plan.header().mounts = plan.size() / 4 * 4; }},
      {"mounts not aligned", 4, [](SlotPlanBytes& plan) { plan.header().mounts += 2; }},
      {"too many mounts", 4, [](SlotPlanBytes& plan) { plan.header().mounts_count = 257; }},
      {"no such mount", 5,
       [](SlotPlanBytes& plan) { plan.mount(3).kind = protocol::MountKind(0); }},
      {"target", 6, [](SlotPlanBytes& plan) { plan.mount(0).target = plan.size(); }},
      {"relative target", 6, [](SlotPlanBytes& plan) { ++plan.mount(0).target; }},
      {"source", 7, [](SlotPlanBytes& plan) { plan.mount(1).source = plan.size(); }},
      {"content", 7, [](SlotPlanBytes& plan) { plan.mount(1).source_size = UINT32_MAX; }},
  };
  for (const Case& tested : cases) {
    SlotPlanBytes plan;
    tested.spoil(plan);
    EXPECT_EQ(plan.broken_rule(), tested.rule) << tested.name;
  }
}

TEST(PlanCheck, AStartMessageSaysHowManyDescriptorsItHas) {
  protocol::StartSlot start;
  EXPECT_EQ(plan_check::fds_wanted(start), 2U);
  start.has_v2 = 1;
  start.v1_count = protocol::kV1HierarchiesMax;
  EXPECT_EQ(plan_check::fds_wanted(start), 4U + protocol::kV1HierarchiesMax);
  ++start.v1_count;
  EXPECT_EQ(plan_check::fds_wanted(start), 0U);
  start.v1_count = 0;
  ++start.version;
  EXPECT_EQ(plan_check::fds_wanted(start), 0U);
}

/// A job with two descriptors, the first of them sent, to spoil.
struct JobPlanBytes {
  JobPlanBytes() {
    JobSpec spec{.args = {"/bin/echo", "hi"}};
    spec.fds[1] = CollectorStream{.name = "stdout"};
    spec.fds[2] = NullStream{};
    Limits limits;
    limits.file_bytes = 1;
    job = encode_job(spec, default_profile(), limits);
    job.fds[0].source = 0;
    store_fd_entries(job);
  }
  void set_entry(std::size_t index, protocol::FdEntry entry) {
    job.fds[index] = entry;
    store_fd_entries(job);
  }
  std::uint32_t size() const { return job.header.body_size; }
  int broken_rule() {
    const int rule = plan_check::broken_rule(job.header, sizeof(JobPlan) + job.body.size(), 1);
    protocol::FdEntry entries[protocol::kFdsMax];
    return rule >= 0 ? rule : plan_check::prepare_body(job.header, job.body.data(), 1, entries);
  }
  EncodedJob job;
};

TEST(PlanCheck, AJobPlanOfThePoolIsSoundAndItsTablesBecomePointers) {
  JobPlanBytes plan;
  ASSERT_EQ(plan.broken_rule(), -1);
  const auto* argv =
      reinterpret_cast<const char* const*>(plan.job.body.data() + plan.job.header.argv);
  EXPECT_STREQ(argv[0], "/bin/echo");
  EXPECT_STREQ(argv[1], "hi");
  EXPECT_EQ(argv[2], nullptr);
}

TEST(PlanCheck, AJobPlanThatPointsOutsideIsRefused) {
  struct Case {
    const char* name;
    int rule;
    std::function<void(JobPlanBytes&)> spoil;
  };
  const Case cases[] = {
      {"other message", 0,
       [](JobPlanBytes& plan) { plan.job.header.kind = protocol::MessageKind::kReset; }},
      {"empty", 0, [](JobPlanBytes& plan) { plan.job.header.body_size = 0; }},
      {"too long", 0, [](JobPlanBytes& plan) { plan.job.header.body_size = UINT32_MAX; }},
      {"longer than sent", 1, [](JobPlanBytes& plan) { ++plan.job.header.body_size; }},
      {"table not aligned", 3, [](JobPlanBytes& plan) { ++plan.job.header.argv; }},
      {"table", 4, [](JobPlanBytes& plan) { plan.job.header.envp = plan.size() / 8 * 8; }},
      {"entry", 5,
       [](JobPlanBytes& plan) {
         const std::uint64_t entry = plan.size();
         std::memcpy(plan.job.body.data() + plan.job.header.paths, &entry, sizeof entry);
       }},
      {"two tables in one place", 5,
       [](JobPlanBytes& plan) { plan.job.header.envp = plan.job.header.argv; }},
      {"last text without end", 6, [](JobPlanBytes& plan) { plan.job.body.back() = 'x'; }},
      {"directory", 6, [](JobPlanBytes& plan) { plan.job.header.working_directory = plan.size(); }},
      {"label", 6, [](JobPlanBytes& plan) { plan.job.header.label = UINT32_MAX; }},
      {"rlimits", 6, [](JobPlanBytes& plan) { plan.job.header.rlimits = plan.size() - 23; }},
      {"too many rlimits", 6, [](JobPlanBytes& plan) { plan.job.header.rlimits_count = 17; }},
      {"descriptors", 6, [](JobPlanBytes& plan) { plan.job.header.fds = UINT32_MAX - 7; }},
      {"too many descriptors", 6, [](JobPlanBytes& plan) { plan.job.header.fds_count = 81; }},
      {"number below 0", 7,
       [](JobPlanBytes& plan) {
         plan.set_entry(0, {-1, 0});
       }},
      {"private number", 7,
       [](JobPlanBytes& plan) {
         plan.set_entry(0, {protocol::kJobFdsEnd, 0});
       }},
      {"descriptor not sent", 7,
       [](JobPlanBytes& plan) {
         plan.set_entry(0, {1, 1});
       }},
      {"copy of a private number", 7,
       [](JobPlanBytes& plan) {
         plan.set_entry(1, {2, protocol::kFdSameAs - 1024});
       }},
      {"neither null nor a copy", 7,
       [](JobPlanBytes& plan) {
         plan.set_entry(1, {2, -2});
       }},
  };
  for (const Case& tested : cases) {
    JobPlanBytes plan;
    tested.spoil(plan);
    EXPECT_EQ(plan.broken_rule(), tested.rule) << tested.name;
  }
}

}  // namespace
}  // namespace hatchery
