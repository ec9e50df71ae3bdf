// SELinux around a pool: types that may not be entered or have a file, an operator's own type, and
// a mode, a switch or a whole policy that changes while the pool runs.
#include <gmock/gmock.h>
#include <unistd.h>

#include <optional>

#include "tests/process.h"
#include "tests/selinux_fixture.h"
#include "workers/protocol.h"

namespace hatchery::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST_F(SelinuxJobs, ATypeThatMayNotBeEnteredRefusesTheProfile) {
  profile().selinux_type = "hatchery_closed_t";
  const auto refused = Pool::create(config);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().step, Step::kSelinuxLabel);
  EXPECT_EQ(refused.error().errnum, EACCES);
  EXPECT_THAT(refused.error().message(), HasSubstr("hatchery_closed_t"));
}

TEST_F(SelinuxJobs, ATypeThatIsClosedUnderARunningPoolStopsTheJobBeforeExec) {
  profile().selinux_type = "hatchery_switched_t";
  EXPECT_EQ(seen("echo began"), "began\n");
  {
    const PolicyBoolean closed("hatchery_test_closed", true);
    const Report report = run_shell("echo began");
    EXPECT_EQ(report.outcome, Outcome::kFileError) << describe(report);
    ASSERT_TRUE(report.error);
    EXPECT_EQ(report.error->step, Step::kWorkerExec);
    EXPECT_EQ(report.error->errnum, EACCES);
    EXPECT_THAT(report.error->message(), HasSubstr("SELinux"));
    EXPECT_EQ(output_of(report), "");
    EXPECT_NE(log_.denial(
                  {"{ transition }", "hatchery_zygote_t", "hatchery_switched_t", "tclass=process"}),
              "");
  }
  EXPECT_EQ(seen("echo began"), "began\n");
}

TEST_F(SelinuxJobs, AContextThatCantBeSetStopsTheJobBeforeExec) {
  profile().slots_max = 1;
  config.testing_faults = {
      {.step = static_cast<std::uint32_t>(Step::kWorkerLabel), .errnum = EXFULL}};
  const Report report = run_shell("echo began");
  EXPECT_EQ(report.outcome, Outcome::kInternalError) << describe(report);
  ASSERT_TRUE(report.error);
  EXPECT_EQ(report.error->step, Step::kWorkerLabel);
  EXPECT_EQ(report.error->errnum, EXFULL);
  EXPECT_EQ(output_of(report), "");
  // The control: only the pool's first slot has the fault.
  EXPECT_EQ(seen("echo began"), "began\n");
}

TEST_F(SelinuxJobs, AFileThatIsLentMustBeOneThatTheTypeMayHave) {
  LabelledFiles files;
  files.add("input", "lent\n", "user_home_t");
  JobSpec spec = shell("cat");
  spec.fds[0] = HostFileStream{.path = files.path() + "/input"};
  // By its number; by name it can't be opened.
  EXPECT_EQ(output_of(run(spec)), "lent\n");
  const PolicyBoolean off("hatchery_lend_files", false);
  // Or else the kernel would give it /dev/null in its place, and the job would read nothing.
  const auto refused = pool().submit(spec);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().errnum, EACCES);
  EXPECT_THAT(refused.error().message(), HasSubstr("user_home_t"));
}

/// A job that says its label, waits for a line, and says it again.
class JobAcross {
 public:
  explicit JobAcross(Pool& pool) {
    int pipe[2];
    HATCHERY_CHECK(::pipe2(pipe, O_CLOEXEC) == 0);
    const UniqueFd read_end(pipe[0]);
    go_ = UniqueFd(pipe[1]);
    int said[2];
    HATCHERY_CHECK(::pipe2(said, O_CLOEXEC) == 0);
    said_ = UniqueFd(said[0]);
    const UniqueFd write_end(said[1]);
    JobSpec spec{.args = {"/bin/sh", "-c",
                          std::string(kOwnLabel) + "; echo; read line; " + kOwnLabel +
                              "; cat /host/file 2>/dev/null || echo denied"}};
    spec.fds[0] = CallerFdStream{read_end.get()};
    spec.fds[1] = CallerFdStream{write_end.get()};
    auto report = pool.submit(std::move(spec));
    HATCHERY_CHECK(report.has_value());
    report_ = *std::move(report);
    char first[256];
    HATCHERY_CHECK(::read(said_.get(), first, sizeof first) > 0);
  }
  Report end() {
    EXPECT_EQ(::write(go_.get(), "\n", 1), 1);
    char text[1024];
    for (ssize_t size; (size = ::read(said_.get(), text, sizeof text)) > 0;)
      rest_.append(text, static_cast<std::size_t>(size));
    return report_.get();
  }
  const std::string& rest() const { return rest_; }

 private:
  UniqueFd go_;
  UniqueFd said_;
  std::string rest_;
  std::future<Report> report_;
};

class SelinuxChanges : public SelinuxJobs {
 protected:
  void SetUp() override {
    SelinuxJobs::SetUp();
    if (IsSkipped()) return;
    files_.emplace();
    files_->add("file", "contents\n", "user_home_t");
    profile().slots_min = profile().slots_max = 2;
    profile().binds.push_back({.source = files_->path(), .target = "/host"});
  }
  void TearDown() override {
    if (!IsSkipped()) write_text("/sys/fs/selinux/enforce", "1");
    files_.reset();
    SelinuxJobs::TearDown();
  }
  /// Both slots, with the right labels and a denial that works.
  void expect_confined(const char* when) {
    EXPECT_EQ(labels_of_all_slots(pool(), 2), labels_) << when;
    EXPECT_THAT(seen("cat /host/file"), HasSubstr("Permission denied")) << when;
  }
  std::optional<LabelledFiles> files_;
  std::vector<std::string> labels_;
};

TEST_F(SelinuxChanges, SwitchingEnforcingOffAndOnLeavesThePoolWell) {
  labels_ = labels_of_all_slots(pool(), 2);
  expect_confined("before");
  JobAcross both_ways(pool());
  write_text("/sys/fs/selinux/enforce", "0");
  EXPECT_EQ(seen("cat /host/file"), "contents\n");
  JobAcross back(pool());
  write_text("/sys/fs/selinux/enforce", "1");
  for (JobAcross* job : {&both_ways, &back}) {
    EXPECT_EQ(job->end().outcome, Outcome::kAccepted);
    EXPECT_THAT(job->rest(), HasSubstr(":hatchery_job_t:s0:c"));
    EXPECT_THAT(job->rest(), HasSubstr("denied"));
  }
  expect_confined("after");
  EXPECT_EQ(pool().stats().slots_replaced, 0U);
}

TEST_F(SelinuxChanges, AReloadOfThePolicyLeavesThePoolWell) {
  labels_ = labels_of_all_slots(pool(), 2);
  expect_confined("before");
  JobAcross across(pool());
  Process reload({"/usr/sbin/load_policy"}, "", std::chrono::minutes(5));
  EXPECT_EQ(seen("echo during"), "during\n");
  const ProcessResult loaded = reload.wait();
  ASSERT_EQ(loaded.status, 0) << loaded.err;
  EXPECT_EQ(across.end().outcome, Outcome::kAccepted);
  EXPECT_THAT(across.rest(), HasSubstr(":hatchery_job_t:s0:c"));
  EXPECT_THAT(across.rest(), HasSubstr("denied"));
  expect_confined("after");
  EXPECT_EQ(pool().stats().slots_replaced, 0U);
}

TEST_F(SelinuxJobs, AJobCantBecomeAnotherTypeThoughItMayAskForIt) {
  profile().selinux_type = "hatchery_asking_t";
  config.testing_without = protocol::kWithoutReadOnlyProc;
  const std::string script = "c=$(" + std::string(kOwnLabel) +
                             " | sed s/asking/control/); printf %s \"$c\" >/proc/self/attr/exec && "
                             "echo asked; exec " +
                             kOwnLabel;
  const std::string denied = seen(script);
  EXPECT_THAT(denied, HasSubstr("asked\n"));
  EXPECT_THAT(denied, Not(HasSubstr("hatchery_control_t")));
  EXPECT_NE(log_.denial({"{ transition }", "hatchery_asking_t", "hatchery_control_t"}), "");
  const PolicyBoolean allowed("hatchery_test_moving", true);
  EXPECT_THAT(seen(script), HasSubstr("asked\nsystem_u:system_r:hatchery_control_t:s0:c"));
}

TEST_F(SelinuxJobs, JobsCanHaveAnOperatorsOwnType) {
  profile().selinux_type = "operators_own_t";
  const std::string lines = seen(": >/w/f; stat -c %C /w/f; " + std::string(kOwnLabel));
  const std::string categories = categories_of(lines);
  EXPECT_EQ(lines, "system_u:object_r:operators_own_file_t:s0:" + categories +
                       "\nsystem_u:system_r:operators_own_t:s0:" + categories);
  // Its own policy confines it: it has no right to /etc.
  EXPECT_THAT(seen("cat /etc/services"), HasSubstr("Permission denied"));
  EXPECT_NE(log_.denial({"operators_own_t", "object_r:etc_t:s0", "tclass=file"}), "");
  EXPECT_NE(seen_as("hatchery_job_t", "cat /etc/services"), "");
}

}  // namespace
}  // namespace hatchery::testing
