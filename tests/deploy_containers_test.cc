// deploy/containers: the system calls of a container with a pool are what the pool needs and all
// that its jobs may have, and no more. What it does on a kernel is shown by tests/vm/containers.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <set>

#include "workers/syscall_policy.h"

namespace hatchery {
namespace {

std::set<std::string> allowed_names(const SyscallPolicy& policy) {
  std::set<std::string> names;
  for (const SyscallRule& rule : policy.rules)
    if (rule.action == SyscallAction::kAllow) names.insert(rule.names.begin(), rule.names.end());
  return names;
}

class ContainerPolicy : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string path = HATCHERY_SOURCE_DIR "/deploy/containers/seccomp.json";
    std::ifstream file(path);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    const Result<SyscallPolicy> policy = syscall_policy_from_json(text, path);
    ASSERT_TRUE(policy) << policy.error().message();
    EXPECT_EQ(policy->default_action, SyscallAction::kErrno);
    names_ = allowed_names(*policy);
  }
  std::set<std::string> names_;
};

TEST_F(ContainerPolicy, AllowsWhatJobsMayCall) {
  for (const std::string& name : allowed_names(default_syscall_policy(SyscallAction::kErrno)))
    EXPECT_TRUE(names_.contains(name)) << name;
}

TEST_F(ContainerPolicy, AllowsWhatThePoolNeeds) {
  for (const char* name : {"io_uring_setup", "io_uring_enter", "io_uring_register", "clone3",
                           "unshare", "open_tree", "move_mount", "fsopen", "fsconfig", "fsmount",
                           "mount_setattr", "mount", "umount2", "pivot_root", "seccomp"})
    EXPECT_TRUE(names_.contains(name)) << name;
}

TEST_F(ContainerPolicy, AllowsNothingOfTheHosts) {
  for (const char* name : {"add_key",
                           "keyctl",
                           "request_key",
                           "bpf",
                           "perf_event_open",
                           "ptrace",
                           "process_vm_readv",
                           "process_vm_writev",
                           "userfaultfd",
                           "init_module",
                           "finit_module",
                           "delete_module",
                           "kexec_load",
                           "kexec_file_load",
                           "reboot",
                           "swapon",
                           "swapoff",
                           "acct",
                           "quotactl",
                           "iopl",
                           "ioperm",
                           "settimeofday",
                           "clock_settime",
                           "clock_adjtime",
                           "adjtimex",
                           "syslog",
                           "open_by_handle_at",
                           "nfsservctl",
                           "lookup_dcookie",
                           "move_pages",
                           "mbind"})
    EXPECT_FALSE(names_.contains(name)) << name;
}

}  // namespace
}  // namespace hatchery
