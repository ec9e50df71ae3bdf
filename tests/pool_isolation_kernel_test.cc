// The walls of a slot, each beside the same program with that wall left out.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <unistd.h>

#include <filesystem>

#include "pool/file_transfer.h"
#include "tests/pool_fixture.h"
#include "workers/protocol.h"

namespace hatchery::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class PoolIsolation : public PoolTest {
 protected:
  /// stdout and stderr of the script, in a pool without these protections.
  std::string seen(const std::string& script, std::uint32_t without = 0) {
    stop_pool();
    config.testing_without = without;
    const Report report = run_shell("{ " + script + "\n} 2>&1");
    EXPECT_TRUE(report.exit_code.has_value()) << describe(report);
    return output_of(report);
  }
  std::string status_line(const std::string& name, std::uint32_t without = 0) {
    const std::string line = seen("grep ^" + name + ": /proc/self/status", without);
    return line.substr(std::min(line.size(), name.size() + 2));
  }
};

TEST_F(PoolIsolation, AJobHasNoCapabilities) {
  for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"})
    EXPECT_EQ(status_line(set), "0000000000000000\n") << set;
  EXPECT_NE(status_line("CapBnd", protocol::kWithoutCapabilityDrop), "0000000000000000\n");
  EXPECT_NE(status_line("CapEff", protocol::kWithoutCapabilityDrop | protocol::kWithoutIdChange),
            "0000000000000000\n");
}

TEST_F(PoolIsolation, AJobCanNeverGainPrivileges) {
  EXPECT_EQ(status_line("NoNewPrivs"), "1\n");
  // A filter may only be loaded with it.
  EXPECT_EQ(status_line("NoNewPrivs", protocol::kWithoutNoNewPrivileges | protocol::kWithoutFilter),
            "0\n");
}

TEST_F(PoolIsolation, AJobIsFiltered) {
  EXPECT_EQ(status_line("Seccomp"), "2\n");
  EXPECT_EQ(status_line("Seccomp", protocol::kWithoutFilter), "0\n");
}

TEST_F(PoolIsolation, AJobIsAnOrdinaryUserHereAndNobodyOutside) {
  EXPECT_EQ(seen("id -u; id -g; id -G; cat /proc/self/uid_map | tr -s ' '"),
            "1000\n1000\n1000\n 0 " + std::to_string(pool().config().uid_base) + " 1\n 1000 " +
                std::to_string(pool().config().uid_base + 1) + " 1\n");
  EXPECT_EQ(seen("id -u", protocol::kWithoutIdChange), "0\n");
}

TEST_F(PoolIsolation, NestedUserNamespacesAreForbidden) {
  // The filter would refuse first.
  const std::string script = "unshare -U echo inside";
  EXPECT_THAT(seen(script, protocol::kWithoutFilter), Not(HasSubstr("inside")));
  EXPECT_EQ(seen(script, protocol::kWithoutFilter | protocol::kWithoutUserNamespaceLimit),
            "inside\n");
}

TEST_F(PoolIsolation, NothingOfTheRootCanBeWritten) {
  // As the root of the slot, so that file permissions don't answer first.
  const std::string script = "touch /planted && echo written";
  EXPECT_THAT(seen(script, protocol::kWithoutIdChange), HasSubstr("Read-only file system"));
  const std::uint32_t writable = protocol::kWithoutIdChange | protocol::kWithoutReadOnly;
  EXPECT_EQ(seen(script, writable), "written\n");
  // Below it SELinux is a second layer. The root itself has the label of message queues' roots.
  const bool selinux = missing_feature("selinux").empty();
  EXPECT_EQ(seen("touch /var/planted && echo written", writable),
            selinux ? "touch: cannot touch '/var/planted': Permission denied\n" : "written\n");
  EXPECT_THAT(seen("touch /etc/passwd", protocol::kWithoutIdChange),
              HasSubstr(selinux ? "Permission denied" : "Read-only file system"));
  EXPECT_THAT(seen("touch /usr/bin/true"), HasSubstr("cannot touch"));
  EXPECT_EQ(seen("touch /tmp/x /w/x /dev/shm/x"), "");
}

TEST_F(PoolIsolation, OnlyWhatTheProfileBindsIsThere) {
  EXPECT_EQ(seen("ls / | grep -v lib.*32"),
            "bin\ndev\netc\nhome\nlib\nlib64\nproc\nrun\nsbin\ntmp\nusr\nvar\nw\n");
  EXPECT_EQ(seen("ls -A /home /run"), "/home:\n\n/run:\n");
  EXPECT_THAT(seen("ls /root /etc/shadow /sys " HATCHERY_SOURCE_DIR), Not(HasSubstr("CMakeLists")));
  EXPECT_THAT(seen("cat /proc/self/mountinfo"), Not(HasSubstr(" - cgroup")));
}

TEST_F(PoolIsolation, FilesOfTheKernelThatTellOfTheHostAreMasked) {
  const std::string script = "cat /proc/cmdline >/dev/null && echo read";
  EXPECT_THAT(seen(script), Not(HasSubstr("read\n")));
  EXPECT_EQ(seen(script, protocol::kWithoutMasks), "read\n");
}

TEST_F(PoolIsolation, TheOnlyNetworkIsLoopbackAndItIsUp) {
  const std::string script = "grep -c : /proc/net/dev";
  EXPECT_EQ(seen(script), "1\n");
  EXPECT_NE(seen("cat /proc/net/route; cat /proc/net/dev", protocol::kWithoutNetworkNamespace),
            seen("cat /proc/net/route; cat /proc/net/dev"));
  EXPECT_EQ(seen("python3 -c \"import socket; s=socket.socket(); s.bind(('127.0.0.1',0)); "
                 "s.listen(); socket.create_connection(s.getsockname()); print('connected')\""),
            "connected\n");
}

TEST_F(PoolIsolation, SharedMemoryOfTheHostIsInvisible) {
  const int segment = ::shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0666);
  ASSERT_GE(segment, 0);
  const std::string script = "cat /proc/sysvipc/shm | tail -n +2 | wc -l";
  EXPECT_EQ(seen(script), "0\n");
  EXPECT_NE(seen(script, protocol::kWithoutIpcNamespace), "0\n");
  ::shmctl(segment, IPC_RMID, nullptr);
}

TEST_F(PoolIsolation, AnIpcNamespaceServesTheNextJobUnlessOneMadeSomethingInIt) {
  HATCHERY_REQUIRE_FEATURE("ipc_next_id");
  profile().slots_max = 1;
  profile().binds.push_back({.source = HATCHERY_PAYLOADS, .target = "/payloads"});
  const std::string look = "readlink /proc/self/ns/ipc; tail -qn +2 /proc/sysvipc/*";
  std::string before = output_of(run_shell(look));
  EXPECT_EQ(output_of(run_shell(look)), before);
  // What is gone again has moved the numbers of those to come.
  for (const char* make :
       {"ipcmk -S 1", "ipcmk -M 1", "ipcmk -Q", "ipcrm -s $(ipcmk -S 1 | tr -dc 0-9)",
        "ipcrm -m $(ipcmk -M 1 | tr -dc 0-9)", "ipcrm -q $(ipcmk -Q | tr -dc 0-9)",
        "/payloads/hoard queue left", "/payloads/hoard queue gone"}) {
    EXPECT_EQ(run_shell(make).outcome, Outcome::kAccepted) << make;
    const std::string after = output_of(run_shell(look));
    EXPECT_NE(after, before) << make;
    EXPECT_EQ(std::count(after.begin(), after.end(), '\n'), 1) << after;
    before = after;
  }
}

TEST_F(PoolIsolation, IpcObjectsHaveTheNumbersThatANewNamespaceGives) {
  const std::string script =
      "for kind in q:-Q m:'-M 1' s:'-S 1'; do first=$(ipcmk ${kind#*:} | tr -dc 0-9); "
      "ipcrm -${kind%%:*} $first; second=$(ipcmk ${kind#*:} | tr -dc 0-9); "
      "echo $first $second $(ipcmk ${kind#*:} | tr -dc 0-9); done";
  EXPECT_EQ(seen(script), "0 1 2\n0 1 2\n0 1 2\n");
  EXPECT_EQ(seen(script, protocol::kWithoutIpcLook), "0 1 2\n0 1 2\n0 1 2\n");
}

TEST_F(PoolIsolation, AJobHasAnIpcNamespaceOfItsOwnWhereTheSlotsIsNotLookedAt) {
  profile().slots_max = 1;
  config.testing_without = protocol::kWithoutIpcLook;
  const std::string script = "ipcmk -Q; cat /proc/sysvipc/msg | wc -l";
  const std::string first = output_of(run_shell(script));
  EXPECT_EQ(first, "Message queue id: 0\n2\n");
  EXPECT_EQ(output_of(run_shell(script)), first);
}

TEST_F(PoolIsolation, AJobSeesOnlyItsOwnProcesses) {
  const std::string script = "set -- /proc/[0-9]*; echo $# $$";
  // Without hidepid the zygote, which is PID 1, too.
  EXPECT_EQ(seen(script), "1 2\n");
  EXPECT_EQ(seen(script, protocol::kWithoutHidepid), "2 2\n");
  EXPECT_THAT(seen("kill -9 1"), HasSubstr("not permitted"));
}

TEST_F(PoolIsolation, TheHostnameIsTheProfiles) { EXPECT_EQ(seen("uname -n"), "sandbox\n"); }

TEST_F(PoolIsolation, TheCgroupOfAJobIsTheRootOfWhatItSees) {
  EXPECT_THAT(seen("cat /proc/self/cgroup"), Not(HasSubstr(config.name)));
  EXPECT_THAT(seen("cat /proc/self/cgroup", protocol::kWithoutCgroupNamespace),
              HasSubstr(config.name));
}

TEST_F(PoolIsolation, AJobHasASessionOfItsOwn) {
  EXPECT_EQ(seen("cut -d' ' -f5,6 /proc/$$/stat"), "2 2\n");
  EXPECT_NE(seen("cut -d' ' -f5,6 /proc/$$/stat", protocol::kWithoutSession), "2 2\n");
}

TEST_F(PoolIsolation, ABindOfTheOperatorIsReadOnlyUnlessItSaysOtherwise) {
  const std::string directory =
      ::testing::TempDir() + "hatchery-bind-" + std::to_string(::getpid());
  ASSERT_EQ(::mkdir(directory.c_str(), 0777), 0);
  ASSERT_EQ(::chmod(directory.c_str(), 0777), 0);
  // With SELinux a job writes to no directory that does not have its label.
  const bool selinux = missing_feature("selinux").empty();
  for (const bool writable : {false, true}) {
    profile().binds.push_back({.source = directory, .target = "/src", .writable = writable});
    EXPECT_EQ(seen("touch /src/x && echo written") == "written\n", writable && !selinux);
    profile().binds.pop_back();
  }
  EXPECT_EQ(::unlink((directory + "/x").c_str()) == 0, !selinux);
  EXPECT_EQ(::rmdir(directory.c_str()), 0);
}

TEST_F(PoolIsolation, AReadOnlyBindHasInodesOfTheSlotsOwn) {
  for (const std::string path : {"/usr/bin/env", "/etc/services", "/dev/null"}) {
    const UniqueFd held(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    ASSERT_TRUE(held.valid()) << path;
    ASSERT_EQ(::flock(held.get(), LOCK_EX), 0) << path;
    const std::string script = "flock -n " + path + " echo free";
    EXPECT_EQ(seen(script), "free\n") << path;
    EXPECT_EQ(seen(script, protocol::kWithoutOwnInodes), "") << path;
  }
  profile().share_inodes = true;
  EXPECT_EQ(seen("stat -f -c %T /usr"), seen("stat -f -c %T /usr", protocol::kWithoutOwnInodes));
}

TEST_F(PoolIsolation, AJobUsesUpNobodyElsesInotify) {
  // Until the kernel refuses, or far beyond what one user may have.
  const std::string script =
      "python3 -c \"import ctypes; libc = ctypes.CDLL(None)\n"
      "n = 0\nwhile n < 1000 and libc.inotify_init1(0) >= 0: n += 1\n"
      "print('used', n, flush=True); input()\"";
  for (const bool alone : {true, false}) {
    stop_pool();
    config.testing_without = alone ? 0U : static_cast<std::uint32_t>(protocol::kWithoutOwnCounts);
    int go[2], said[2];
    ASSERT_EQ(::pipe2(go, O_CLOEXEC), 0);
    ASSERT_EQ(::pipe2(said, O_CLOEXEC), 0);
    const UniqueFd go_read(go[0]), said_read(said[0]);
    UniqueFd go_write(go[1]), said_write(said[1]);
    JobSpec spec = shell(script, {.open_files = 2000});
    spec.fds[0] = CallerFdStream{go_read.get()};
    spec.fds[1] = CallerFdStream{said_write.get()};
    auto report = pool().submit(std::move(spec));
    ASSERT_TRUE(report);
    said_write.reset();
    char text[64] = {};
    ASSERT_GT(::read(said_read.get(), text, sizeof text - 1), 0);
    EXPECT_THAT(text, HasSubstr("used"));
    const UniqueFd ours(::inotify_init1(IN_CLOEXEC));
    EXPECT_EQ(ours.valid(), alone) << text;
    ASSERT_EQ(::write(go_write.get(), "\n", 1), 1);
    report->get();
  }
}

TEST_F(PoolIsolation, ADirectoryWithAMountBelowItIsBoundWhole) {
  // /dev/shm, or whatever is mounted below /dev, would be an empty directory in an overlay.
  profile().binds.push_back({.source = "/dev", .target = "/host-dev"});
  EXPECT_EQ(seen("grep -c ' /host-dev' /proc/self/mountinfo"),
            seen("grep -c ' /host-dev' /proc/self/mountinfo", protocol::kWithoutOwnInodes));
}

TEST(SlotsDirectories, AreOpenedOnlyWhereSomethingIsMounted) {
  namespace fs = std::filesystem;
  const fs::path root = make_temporary_directory();
  fs::create_directory(root / "proc");
  const UniqueFd root_fd(::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  const auto errno_of = [&] {
    const Result<OpenDirectories> opened = open_directories(root_fd.get());
    return opened ? 0 : opened.error().errnum;
  };
  EXPECT_EQ(errno_of(), ENOENT);
  // What lies below the mounts of a slot that died.
  fs::create_directory(root / "w");
  fs::create_directory(root / "tmp");
  EXPECT_EQ(errno_of(), ESTALE);
  // A link leads nowhere outside of the root.
  fs::remove(root / "w");
  fs::create_symlink("../../../../proc", root / "w");
  EXPECT_EQ(errno_of(), ESTALE);
  fs::remove_all(root);
}

TEST_F(PoolIsolation, AProfileThatDemandsALabelIsRefusedWithoutSelinux) {
  HATCHERY_REQUIRE_FEATURE("selinux_off");
  profile().selinux_type = "container_t";
  const auto refused = Pool::create(config);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().step, Step::kSelinuxLabel);
}

}  // namespace
}  // namespace hatchery::testing
