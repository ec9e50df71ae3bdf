// The fingerprint itself: it is the same in a new slot and in a reset one, and it would tell.
#include <filesystem>
#include <fstream>

#include "tests/adversarial.h"

namespace hatchery::testing {
namespace {

class Fingerprint : public PoolTest {
 protected:
  void SetUp() override {
    PoolTest::SetUp();
    profile().slots_min = profile().slots_max = 1;
    profile().binds.push_back({.source = HATCHERY_PAYLOADS, .target = kPayloads});
  }
  /// Touches everything that a slot keeps between two jobs.
  static JobSpec dirty() {
    return sh(
        "echo x >/tmp/a; mkdir -p /w/b/c; echo x >/w/b/c/d; echo x >/dev/shm/e; ln -s / /tmp/f; "
        "mkfifo /w/g; chmod 700 /tmp /w; umask 077; cd /tmp; ulimit -n 64; "
        "python3 -c 'import socket; s = socket.socket(); s.bind((\"127.0.0.1\", 7777)); "
        "s.listen(); c = socket.create_connection((\"127.0.0.1\", 7777))'; "
        "setsid sleep 60 & (trap \"\" TERM HUP; sleep 60) & :");
  }
};

TEST_F(Fingerprint, OfAResetSlotIsThatOfANewOne) {
  const auto fresh = fingerprint(pool());
  EXPECT_EQ(run(dirty()).outcome, Outcome::kAccepted);
  EXPECT_EQ(differences(fresh, fingerprint(pool())), "");
  stop_pool();
  EXPECT_EQ(differences(fresh, fingerprint(pool())), "") << "two new slots";
}

TEST_F(Fingerprint, TellsWithoutTheReset) {
  config.testing_without = protocol::kWithoutReset;
  const auto fresh = fingerprint(pool());
  EXPECT_EQ(run(dirty()).outcome, Outcome::kAccepted);
  const std::string told = differences(fresh, fingerprint(pool()));
  for (const char* field : {"file:/tmp/a", "space:/w", "net.snmp:", "pids:"})
    EXPECT_THAT(told, ::testing::HasSubstr(field));
}

TEST_F(Fingerprint, NoNamespaceIsTheHosts) {
  const auto seen = fingerprint(pool());
  for (const char* name : {"user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time"}) {
    std::error_code error;
    const std::string ours =
        std::filesystem::read_symlink(std::string("/proc/self/ns/") + name, error);
    if (error) continue;  // A kernel without it.
    const auto theirs = seen.find("(namespace." + std::string(name) + ')');
    ASSERT_NE(theirs, seen.end()) << name;
    EXPECT_NE(theirs->second, ours) << name;
  }
}

TEST_F(Fingerprint, NothingOfProcCanBeWrittenButTheJobsOwn) {
  const auto seen = fingerprint(pool());
  for (const auto& [name, value] : seen) {
    if (!name.starts_with("path:")) continue;
    // Symlinks lead to the job's own directory.
    EXPECT_TRUE(value.starts_with("120777 ") || value.back() != 'w') << name << ' ' << value;
  }
}

TEST(AttackTable, IsWhatTheTestsSay) {
  const std::string path = HATCHERY_SOURCE_DIR "/tests/ATTACKS.md";
  const std::string page = attack_page();
  if (std::getenv("HATCHERY_WRITE_ATTACKS") != nullptr) std::ofstream(path) << page;
  std::ifstream file(path);
  const std::string written{std::istreambuf_iterator<char>(file), {}};
  EXPECT_EQ(written, page) << "run tests/run --attack-table";
}

}  // namespace
}  // namespace hatchery::testing
