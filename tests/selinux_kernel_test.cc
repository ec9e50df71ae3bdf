// Jobs under SELinux: their labels, and what the policy of deploy/selinux denies them, each denial
// with its record in the kernel's log and beside its control.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <filesystem>
#include <map>
#include <set>

#include "tests/selinux_fixture.h"
#include "workers/protocol.h"

namespace hatchery::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

TEST_F(SelinuxJobs, AJobHasHatcherysTypeAndTwoCategories) {
  const char* pattern = "system_u:system_r:hatchery_job_t:s0:c[0-9]+,c[0-9]+";
  EXPECT_THAT(label_of_a_job(), MatchesRegex(pattern));
  EXPECT_THAT(seen_as(kPermissiveType, kOwnLabel),
              MatchesRegex("system_u:system_r:hatchery_control_t:s0:c[0-9]+,c[0-9]+"));
  // What a profile has that says nothing.
  EXPECT_THAT(seen_as(Profile().selinux_type, kOwnLabel), MatchesRegex(pattern));
}

TEST_F(SelinuxJobs, AProfileWithoutATypeIsRefusedInHatcherysDomain) {
  profile().selinux_type = "";
  const auto refused = Pool::create(config);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().step, Step::kSelinuxLabel);
  EXPECT_THAT(refused.error().message(), HasSubstr("selinux_type = \"auto\""));
}

TEST_F(SelinuxJobs, ATypeThatThePolicyDoesNotKnowIsRefused) {
  profile().selinux_type = "no_such_t";
  const auto refused = Pool::create(config);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().step, Step::kSelinuxLabel);
  EXPECT_THAT(refused.error().message(), HasSubstr("no_such_t"));
}

TEST_F(SelinuxJobs, SlotsThatAreAliveShareNoCategoryPair) {
  profile().slots_min = profile().slots_max = 3;
  std::vector<std::string> labels = labels_of_all_slots(pool(), 3);
  ASSERT_EQ(labels.size(), 3U);
  const std::set<std::string> first_pools(labels.begin(), labels.end());
  {
    // Another pool with ids and a state directory of its own: its first slot is not the host's
    // first.
    const std::string directory = make_temporary_directory();
    PoolConfig other = small_config();
    other.state_directory = directory + "/state";
    other.uid_base = config.uid_base + config.uid_count;
    other.profiles.front().slots_min = other.profiles.front().slots_max = 3;
    other.profiles.front().selinux_type = "hatchery_job_t";
    auto second = Pool::create(other);
    ASSERT_TRUE(second) << second.error().message();
    for (std::string& label : labels_of_all_slots(**second, 3)) labels.push_back(std::move(label));
    second->reset();
    std::filesystem::remove_all(directory);
  }
  std::set<std::string> pairs;
  for (const std::string& label : labels) pairs.insert(categories_of(label));
  EXPECT_EQ(pairs.size(), 6U) << ::testing::PrintToString(labels);
  // The control: once those slots are gone, their pairs are taken again.
  stop_pool();
  const std::vector<std::string> later = labels_of_all_slots(pool(), 3);
  EXPECT_EQ(std::set<std::string>(later.begin(), later.end()), first_pools);
}

TEST_F(SelinuxJobs, ThePairOfASlotGoesToTheNextJobWithNothingOfTheLast) {
  profile().slots_min = profile().slots_max = 1;
  const std::string first =
      seen(std::string(kOwnLabel) + "; echo; echo secret >/tmp/f; echo secret >/w/f; ls /tmp /w");
  const std::string second = seen(std::string(kOwnLabel) + "; echo; ls -A /tmp /w");
  EXPECT_THAT(first, HasSubstr("\nf\n"));
  EXPECT_EQ(second.substr(0, second.find('\n')), first.substr(0, first.find('\n')));
  EXPECT_EQ(second.substr(second.find('\n')), "\n/tmp:\n\n/w:\n");
  EXPECT_EQ(pool().stats().slots_replaced, 0U);
}

TEST_F(SelinuxJobs, WhatAJobMakesHasTheCategoriesOfItsSlot) {
  const std::string script =
      ": >/tmp/f; mkdir /w/d; : >/w/d/f; mkfifo /dev/shm/p; ln -s x /tmp/l\n"
      "stat -c %C /tmp /tmp/f /w /w/d /w/d/f /dev/shm/p /tmp/l | sort -u; " +
      std::string(kOwnLabel);
  const std::string lines = seen(script);
  const std::string made = lines.substr(0, lines.find('\n'));
  const std::string own = lines.substr(lines.find('\n') + 1);
  EXPECT_EQ(made, "system_u:object_r:hatchery_job_file_t:s0:" + categories_of(own));
}

TEST_F(SelinuxJobs, AMemoryFileOfAJobHasTheCategoriesOfItsSlot) {
  HATCHERY_REQUIRE_FEATURE("python3");
  const std::string label = seen(
      "python3 -c \"import os; print(os.getxattr(os.memfd_create('m'), 'security.selinux')"
      ".decode()[:-1], end='')\"");
  EXPECT_EQ(label, "system_u:object_r:hatchery_job_file_t:s0:" + categories_of(label_of_a_job()));
}

TEST_F(SelinuxJobs, AProgramThatIsHandedInRunsAsTheJob) {
  JobSpec handed_in{.args = {"./p"},
                    .files_in = {{.path = "p",
                                  .source = FileIn::Bytes{std::string("#!/bin/sh\n") + kOwnLabel},
                                  .mode = 0755}}};
  handed_in.fds[1] = CollectorStream{.name = "stdout"};
  const Report report = pool().submit(std::move(handed_in))->get();
  EXPECT_EQ(report.outcome, Outcome::kAccepted) << (report.error ? report.error->message() : "");
  EXPECT_THAT(output_of(report), HasSubstr(":hatchery_job_t:"));
}

TEST_F(SelinuxJobs, FilesOfOtherCategoriesCantBeRead) {
  LabelledFiles files;
  profile().slots_max = 1;
  profile().binds.push_back({.source = files.path(), .target = "/host"});
  const std::string own = categories_of(label_of_a_job());
  files.add("own", "own\n", "hatchery_job_file_t", "s0:" + own);
  files.add("all", "all\n", "hatchery_job_file_t", "s0");
  // What another slot's jobs make; only one of the two in common, and none.
  files.add("half", "half\n", "hatchery_job_file_t", "s0:c0,c1023");
  files.add("other", "other\n", "hatchery_job_file_t", "s0:c1022,c1023");
  EXPECT_EQ(seen("cat /host/own /host/all"), "own\nall\n");
  for (const char* name : {"half", "other"}) {
    EXPECT_THAT(seen(std::string("cat /host/") + name), HasSubstr("Permission denied"));
    EXPECT_NE(log_.denial({"hatchery_job_t:s0:" + own, "hatchery_job_file_t:s0:c", ",c1023",
                           "tclass=file"}),
              "")
        << name;
  }
  EXPECT_EQ(seen_as(kPermissiveType, "cat /host/half /host/other"), "half\nother\n");
}

struct TypedFile {
  const char* type;
  bool readable;
};

/// For GoogleTest's names.
void PrintTo(const TypedFile& file, std::ostream* out) { *out << file.type; }

std::string type_name(const ::testing::TestParamInfo<TypedFile>& info) {
  std::string name = info.param.type;
  std::erase(name, '_');
  return name;
}

class SelinuxFiles : public SelinuxJobs, public ::testing::WithParamInterface<TypedFile> {};

TEST_P(SelinuxFiles, CanBeReadByAJobOnlyWhereContainersMayToo) {
  LabelledFiles files;
  files.add("right", "right\n", "usr_t");
  files.add("file", "contents\n", GetParam().type);
  // An overlay is read with the rights of who mounted it, too: here a job's alone are the question.
  profile().share_inodes = true;
  profile().binds.push_back({.source = files.path(), .target = "/host"});
  EXPECT_EQ(seen("cat /host/right"), "right\n");
  if (GetParam().readable) {
    EXPECT_EQ(seen("cat /host/file"), "contents\n");
    return;
  }
  EXPECT_THAT(seen("cat /host/file"), HasSubstr("Permission denied"));
  EXPECT_NE(log_.denial({"scontext=system_u:system_r:hatchery_job_t",
                         std::string("object_r:") + GetParam().type + ":s0", "tclass=file"}),
            "");
  EXPECT_EQ(seen_as(kPermissiveType, "cat /host/file"), "contents\n");
}

INSTANTIATE_TEST_SUITE_P(
    Types, SelinuxFiles,
    ::testing::Values(TypedFile{"usr_t", true}, TypedFile{"lib_t", true}, TypedFile{"bin_t", true},
                      TypedFile{"etc_t", true}, TypedFile{"locale_t", true},
                      TypedFile{"shadow_t", false}, TypedFile{"user_home_t", false},
                      TypedFile{"tmp_t", false}, TypedFile{"var_log_t", false},
                      TypedFile{"var_lib_t", false}, TypedFile{"etc_runtime_t", false},
                      TypedFile{"ssh_home_t", false}, TypedFile{"boot_t", false},
                      TypedFile{"hatchery_tmpfs_t", false}),
    type_name);

TEST_F(SelinuxJobs, WritableFilesOfOthersCantBeWrittenOrExecuted) {
  LabelledFiles files;
  ASSERT_EQ(::chmod(files.path().c_str(), 0777), 0);
  const std::string program = "#!/bin/sh\necho executed\n";
  profile().binds.push_back({.source = files.path(), .target = "/host", .writable = true});
  profile().slots_max = 1;
  const std::string own = categories_of(label_of_a_job());
  files.add("own", program, "hatchery_job_file_t", "s0:" + own, 0777);
  files.add("other", program, "hatchery_job_file_t", "s0:c1022,c1023", 0777);
  files.add("tmp", program, "tmp_t", "s0", 0777);
  EXPECT_EQ(seen("/host/own; echo '#' >>/host/own && echo written"), "executed\nwritten\n");
  // By a number a job may be lent what is of type tmp_t: opening it is what it may not.
  const std::map<std::string, std::string> writing = {{"other", "append"}, {"tmp", "{ open }"}};
  for (const auto& [name, permission] : writing) {
    const std::string file = "/host/" + name;
    EXPECT_THAT(seen(file), Not(HasSubstr("executed"))) << name;
    EXPECT_NE(log_.denial({"{ execute }", "hatchery_job_t", "tclass=file"}), "") << name;
    EXPECT_THAT(seen("echo '#' >>" + file + " && echo written"), Not(HasSubstr("written"))) << name;
    EXPECT_NE(log_.denial({permission, "hatchery_job_t", "tclass=file"}), "") << name;
  }
  EXPECT_EQ(
      seen_as(kPermissiveType, "/host/other; /host/tmp; echo '#' | tee -a /host/other /host/tmp"),
      "executed\nexecuted\n#\n");
}

TEST_F(SelinuxJobs, NoneOfItsSecurityAttributesCanBeSet) {
  const std::vector<std::pair<std::string, std::string>> attributes = {
      {"exec", "setexec"},
      {"current", "setcurrent"},
      {"fscreate", "setfscreate"},
      {"keycreate", "setkeycreate"},
      {"sockcreate", "setsockcreate"}};
  // To the context that it has: not the change is refused, but the asking.
  const auto script = [](const std::string& attribute) {
    return "c=$(" + std::string(kOwnLabel) + "); printf %s $c >/proc/self/attr/" + attribute +
           " && echo set";
  };
  // The read-only /proc is the first wall, the policy the one behind it.
  EXPECT_THAT(seen(script("exec")), HasSubstr("Read-only file system"));
  stop_pool();
  config.testing_without = protocol::kWithoutReadOnlyProc;
  for (const auto& [attribute, permission] : attributes) {
    EXPECT_THAT(seen(script(attribute)), Not(HasSubstr("set\n"))) << attribute;
    EXPECT_NE(log_.denial({"{ " + permission + " }", "hatchery_job_t", "tclass=process"}), "")
        << attribute;
  }
  stop_pool();
  profile().selinux_type = kPermissiveType;
  for (const auto& [attribute, permission] : attributes)
    EXPECT_EQ(seen(script(attribute)), "set\n") << permission;
}

}  // namespace
}  // namespace hatchery::testing
