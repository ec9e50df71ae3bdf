// Configuration: what is read is what was written, and what is wrong is named with its place and
// remedy.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "pool/config.h"
#include "pool/limits.h"
#include "tests/values.h"

namespace hatchery {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

TEST(DefaultProfile, IsValidAndBounded) {
  const PoolConfig config;
  EXPECT_EQ(message_of(config.validate()), "no error");
  const Profile profile = default_profile();
  EXPECT_EQ(profile.slots_min, profile.slots_max);
  EXPECT_EQ(profile.slots_max, usable_cpus());
  EXPECT_TRUE(profile.defaults.cpu_time && profile.defaults.wall_time);
  EXPECT_TRUE(profile.defaults.memory_bytes && profile.defaults.processes);
  EXPECT_TRUE(profile.defaults.output_bytes && profile.defaults.file_bytes);
  EXPECT_TRUE(profile.defaults.open_files && profile.defaults.stack_bytes);
}

TEST(DefaultProfile, BindsNoSecretAndNothingWritable) {
  for (const BindMount& bind : default_profile().binds) {
    EXPECT_FALSE(bind.writable) << bind.source;
    EXPECT_TRUE(bind.optional) << bind.source;
    for (const std::string_view secret :
         {"/etc", "/etc/ssl", "/etc/ssl/private", "/etc/passwd", "/etc/shadow", "/etc/ssh",
          "/etc/machine-id", "/root", "/home", "/var", "/run", "/proc", "/sys", "/dev", "/"}) {
      EXPECT_NE(bind.source, secret);
    }
  }
}

TEST(DefaultProfile, HidesWhatTellsAboutTheHostButNotWhatRuntimesRead) {
  const std::vector<std::string> masked = default_profile().masked_paths;
  const auto hides = [&masked](const char* path) {
    return std::find(masked.begin(), masked.end(), path) != masked.end();
  };
  for (const char* path : {"/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug",
                           "/proc/loadavg", "/proc/sysrq-trigger"}) {
    EXPECT_TRUE(hides(path)) << path;
  }
  for (const char* path : {"/proc/stat", "/proc/meminfo", "/proc/cpuinfo", "/proc/self",
                           "/proc/cgroups", "/proc/filesystems", "/proc/mounts"}) {
    EXPECT_FALSE(hides(path)) << path;
  }
}

TEST(ConfigFromToml, AnEmptyFileIsTheDefault) {
  const Result<PoolConfig> config = config_from_toml("", "pool.toml");
  ASSERT_TRUE(config) << config.error().message();
  ASSERT_EQ(config->profiles.size(), 1U);
  EXPECT_EQ(config->profiles[0].binds, default_profile().binds);
  EXPECT_EQ(config->profiles[0].defaults, default_profile().defaults);
}

constexpr const char* kFull = R"(
queue_max = 7
uid_base = 100000
uid_count = 2000
name = "judge-1"
state_directory = "/run/h"
cgroup_parent = "system.slice/h"
zygote_path = "/opt/z"
shutdown_ms = 100
store_bytes_max = "2GiB"

[[profile]]
name = "first"
hostname = "box"
network = "host"
time_namespace = false
share_inodes = true
seccomp_policy = "policy.json"
refused_call = "kill"
selinux_type = "job_t"
masked_paths = ["/proc/kcore"]
env = ["A=b"]
tmp = "1MiB"
work = 8192
shm = "1.5M"
tmpfs_inodes = 100
pin_slots = true
pressure = true
cache_kept = "3MiB"
slots_min = 2
slots_max = 3
slot_idle = "1.5s"
[profile.defaults]
cpu_time = "1s"
wall_time = 2.5
memory = "64MiB"
memory_soft = 33554432
processes = 9
output = "1K"
file_size = 0
open_files = 10
stack = "none"
address_space = "1GiB"
cpu_rate = 1
cpu_weight = 50
[profile.maximums]
cpu_time = 60
cpu_set = "0"
[[profile.io_max]]
path = "/srv/data"
read_bytes = "10MiB"
write_operations = 100
[[profile.io_max]]
path = "/dev/sdb"
write_bytes = 1
read_operations = 2
[[profile.bind]]
source = "/srv/data"
target = "/data"
executable = false
[[profile.bind]]
source = "/opt/usr"
target = "/usr"
writable = true
[[profile]]
name = "second"
root_directory = "/srv/root"
)";

TEST(ConfigFromToml, ReadsThePoolsKeys) {
  const Result<PoolConfig> config = config_from_toml(kFull, "pool.toml");
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_EQ(config->queue_max, 7U);
  EXPECT_EQ(config->uid_base, 100'000U);
  EXPECT_EQ(config->uid_count, 2'000U);
  EXPECT_EQ(config->name, "judge-1");
  EXPECT_EQ(config->state_directory, "/run/h");
  EXPECT_EQ(config->cgroup_parent, "system.slice/h");
  EXPECT_EQ(config->zygote_path, "/opt/z");
  EXPECT_EQ(config->shutdown_ms, 100U);
  EXPECT_EQ(config->store_bytes_max, 2ULL << 30U);
  ASSERT_EQ(config->profiles.size(), 2U);
  EXPECT_EQ(config->profiles[1].name, "second");
}

TEST(ConfigFromToml, ReadsAProfilesKeys) {
  const Result<PoolConfig> config = config_from_toml(kFull, "pool.toml");
  ASSERT_TRUE(config) << config.error().message();
  const Profile& profile = config->profiles[0];
  EXPECT_EQ(profile.hostname, "box");
  EXPECT_EQ(profile.network, NetworkMode::kHost);
  EXPECT_FALSE(profile.time_namespace);
  EXPECT_TRUE(profile.share_inodes);
  EXPECT_EQ(profile.seccomp_policy, "policy.json");
  EXPECT_EQ(profile.refused_call, RefusedCall::kKill);
  EXPECT_EQ(profile.selinux_type, "job_t");
  EXPECT_EQ(profile.masked_paths, std::vector<std::string>({"/proc/kcore"}));
  EXPECT_EQ(profile.env, std::vector<std::string>({"A=b"}));
  EXPECT_EQ(profile.tmp_bytes, 1U << 20U);
  EXPECT_EQ(profile.work_bytes, 8192U);
  EXPECT_EQ(profile.shm_bytes, 3U << 19U);
  EXPECT_EQ(profile.tmpfs_inodes, 100U);
  EXPECT_TRUE(profile.pin_slots);
  EXPECT_TRUE(profile.pressure);
  EXPECT_EQ(
      profile.io_max,
      (std::vector<IoMax>{{.path = "/srv/data", .read_bytes = 10U << 20U, .write_operations = 100},
                          {.path = "/dev/sdb", .write_bytes = 1, .read_operations = 2}}));
  EXPECT_EQ(profile.cache_kept_bytes, 3U << 20U);
  EXPECT_EQ(profile.slots_min, 2U);
  EXPECT_EQ(profile.slots_max, 3U);
  EXPECT_EQ(profile.slot_idle_ms, 1500U);
  EXPECT_EQ(profile.defaults.cpu_time, seconds(1));
  EXPECT_EQ(profile.defaults.wall_time, milliseconds(2500));
  EXPECT_EQ(profile.defaults.memory_bytes, 64U << 20U);
  EXPECT_EQ(profile.defaults.memory_soft_bytes, 32U << 20U);
  EXPECT_EQ(profile.defaults.processes, 9U);
  EXPECT_EQ(profile.defaults.file_bytes, 0U);
  EXPECT_FALSE(profile.defaults.stack_bytes.has_value());
  EXPECT_EQ(profile.defaults.cpu_rate, 1.0);
  EXPECT_EQ(profile.maximums.cpu_set, "0");
  EXPECT_EQ(profile.maximums.cpu_time, seconds(60));
  EXPECT_FALSE(profile.maximums.wall_time.has_value());
}

TEST(ConfigFromToml, AddsBindsAndReplacesThoseWithTheSameTarget) {
  const Result<PoolConfig> config = config_from_toml(kFull, "pool.toml");
  ASSERT_TRUE(config) << config.error().message();
  const std::vector<BindMount>& binds = config->profiles[0].binds;
  EXPECT_EQ(binds.size(), default_profile().binds.size() + 1);
  EXPECT_EQ(binds[binds.size() - 2],
            (BindMount{.source = "/srv/data", .target = "/data", .executable = false}));
  EXPECT_EQ(binds.back(), (BindMount{.source = "/opt/usr", .target = "/usr", .writable = true}));
  EXPECT_TRUE(config->profiles[1].binds.empty()) << "an operator's root has no built-in binds";
}

TEST(ConfigFromToml, BuiltinBindsCanBeDroppedOrKept) {
  const Result<PoolConfig> dropped = config_from_toml(
      "[[profile]]\nbuiltin_binds = false\n[[profile.bind]]\nsource = \"/usr\"\n", "p");
  ASSERT_TRUE(dropped) << dropped.error().message();
  ASSERT_EQ(dropped->profiles[0].binds.size(), 1U);
  EXPECT_EQ(dropped->profiles[0].binds[0].target, "/usr");
  const Result<PoolConfig> kept =
      config_from_toml("[[profile]]\nroot_directory = \"/r\"\nbuiltin_binds = true\n", "p");
  ASSERT_TRUE(kept) << kept.error().message();
  EXPECT_EQ(kept->profiles[0].binds, default_profile().binds);
}

struct BadToml {
  std::string text;
  std::string object;   ///< Error::object, exactly.
  std::string message;  ///< In detail or remedy.
};

void PrintTo(const BadToml& bad, std::ostream* out) { *out << bad.text; }

class RefusedToml : public testing::TestWithParam<BadToml> {};

TEST_P(RefusedToml, NamesPlaceKeyAndRemedy) {
  const Result<PoolConfig> config = config_from_toml(GetParam().text, "f.toml");
  ASSERT_FALSE(config) << GetParam().text;
  EXPECT_EQ(config.error().step, Step::kParseConfig);
  EXPECT_EQ(config.error().object, GetParam().object) << GetParam().text;
  EXPECT_THAT(config.error().message(), HasSubstr(GetParam().message));
  EXPECT_FALSE(config.error().remedy.empty());
}

INSTANTIATE_TEST_SUITE_P(
    TopLevel, RefusedToml,
    testing::Values(
        BadToml{"queue_max = ", "f.toml:1:13", "correct the TOML"},
        BadToml{"a = 1\na = 2\n", "f.toml:2:5", "correct the TOML"},
        BadToml{"\xff = 1", "f.toml:1:1", "correct the TOML"},
        BadToml{"queue_mx = 1", "f.toml:1:1: queue_mx", "did you mean \"queue_max\"?"},
        BadToml{"colour = 1", "f.toml:1:1: colour", "known: queue_max, loops, uid_base"},
        BadToml{"queue_max = \"7\"", "f.toml:1:13: queue_max", "is a string; give an integer"},
        BadToml{"queue_max = 1.0", "f.toml:1:13: queue_max", "is a float; give an integer"},
        BadToml{"queue_max = -1", "f.toml:1:13: queue_max", "-1 is negative"},
        BadToml{"queue_max = 0", "f.toml:1:13: queue_max", "give 1 to 1048576"},
        BadToml{"queue_max = 5000000000", "f.toml:1:13: queue_max", "give at most 4294967295"},
        BadToml{"uid_base = 0", "f.toml:1:12: uid_base", "give 65536 to"},
        BadToml{"uid_base = 4294967290\n", "f.toml: uid_count", "out of range"},
        BadToml{"uid_count = 1", "f.toml:1:13: uid_count", "give 2 to"},
        BadToml{"uid_count = 2\n[[profile]]\nslots_max = 9", "f.toml:1:13: uid_count", "need 18"},
        BadToml{"name = \"a/b\"", "f.toml:1:8: name", "\"a/b\" is not a name"},
        BadToml{"name = 1", "f.toml:1:8: name", "is an integer; give a string"},
        BadToml{"state_directory = \"run\"", "f.toml:1:19: state_directory", "begin with '/'"},
        BadToml{"state_directory = \"/a/../b\"", "f.toml:1:19: state_directory", "leave out"},
        BadToml{"cgroup_parent = \"../x\"", "f.toml:1:17: cgroup_parent", "relative"},
        BadToml{"cgroup = \"v1\"", "f.toml:1:10: cgroup", "\"auto\" or \"none\""},
        BadToml{"cgroup = \"none\"\ncgroup_parent = \"a\"", "f.toml:2:17: cgroup_parent",
                "contradicts"},
        BadToml{"zygote_path = \"a\\u0000b\"", "f.toml:1:15: zygote_path", "NUL"},
        BadToml{"shutdown_ms = 0", "f.toml:1:15: shutdown_ms", "give 1 to"},
        BadToml{"store_bytes_max = \"1 GiB\"", "f.toml:1:19: store_bytes_max", "unknown unit"},
        BadToml{"store_bytes_max = true", "f.toml:1:19: store_bytes_max", "is a boolean"},
        BadToml{"profile = 1", "f.toml:1:11: profile", "give [[profile]]"},
        BadToml{"[profile]\nname = \"x\"", "f.toml:1:1: profile", "is a table; give [[profile]]"},
        BadToml{"profile = [1]", "f.toml:1:12: profile[0]", "give a [[profile]] table"},
        BadToml{"profile = []", "f.toml:1:11: profile", "at least one"}));

INSTANTIATE_TEST_SUITE_P(
    InAProfile, RefusedToml,
    testing::Values(
        BadToml{"[[profile]]\n[[profile]]", "f.toml:2:1: profile[1].name", "name of its own"},
        BadToml{"[[profile]]\nname = \"\"", "f.toml:2:8: profile[0].name", "is empty"},
        BadToml{"[[profile]]\nnam = \"\"", "f.toml:2:1: profile[0].nam", "\"name\"?"},
        BadToml{"[[profile]]\nnetwork = \"bridge\"", "f.toml:2:11: profile[0].network",
                "\"bridge\" is not a choice; give \"none\" or \"host\""},
        BadToml{"[[profile]]\nrefused_call = 1", "f.toml:2:16: profile[0].refused_call",
                "give \"errno\" or \"kill\""},
        BadToml{"[[profile]]\ntime_namespace = 1", "f.toml:2:18: profile[0].time_namespace",
                "true or false"},
        BadToml{"[[profile]]\ntmp = 0", "f.toml:2:7: profile[0].tmp", "0B is out of range"},
        BadToml{"[[profile]]\nwork = \"9\xC3\xA4\"", "f.toml:2:8: profile[0].work", "unknown unit"},
        BadToml{"[[profile]]\ntmpfs_inodes = 1", "f.toml:2:16: profile[0].tmpfs_inodes", "16 to"},
        BadToml{"[[profile]]\nhostname = \"a_b\"", "f.toml:2:12: profile[0].hostname", "a_b"},
        BadToml{"[[profile]]\nselinux_type = \"a:b\"", "f.toml:2:16: profile[0].selinux_type",
                "is not a name"},
        BadToml{"[[profile]]\nroot_directory = \"r\"", "f.toml:2:18: profile[0].root_directory",
                "plain absolute path"},
        BadToml{"[[profile]]\nbuiltin_binds = false", "f.toml:1:1: profile[0].bind",
                "the sandbox would have no files"},
        BadToml{"[[profile]]\nenv = [\"A=b\", \"B\"]", "f.toml:2:15: profile[0].env[1]",
                "write NAME=value"},
        BadToml{"[[profile]]\nenv = [\"=b\"]", "f.toml:2:8: profile[0].env[0]", "NAME=value"},
        BadToml{"[[profile]]\nenv = [1]", "f.toml:2:8: profile[0].env[0]", "give a string"},
        BadToml{"[[profile]]\nenv = \"A=b\"", "f.toml:2:7: profile[0].env", "array of strings"},
        BadToml{"[[profile]]\nmasked_paths = [\"/\"]", "f.toml:2:17: profile[0].masked_paths[0]",
                "would hide everything"},
        BadToml{"[[profile]]\npin_slots = 1", "f.toml:2:13: profile[0].pin_slots", "true or false"},
        BadToml{"[[profile]]\npin_slots = true\n[profile.defaults]\ncpu_set = \"0\"",
                "f.toml:4:11: profile[0].defaults.cpu_set", "contradicts pin_slots"},
        BadToml{"[[profile]]\nio_max = 1", "f.toml:2:10: profile[0].io_max", "[[profile.io_max]]"},
        BadToml{"[[profile]]\nio_max = [1]", "f.toml:2:11: profile[0].io_max[0]", "[[profile.io"},
        BadToml{"[[profile]]\n[[profile.io_max]]\npath = \"sda\"\nread_bytes = 1",
                "f.toml:3:8: profile[0].io_max[0].path", "plain absolute path"},
        BadToml{"[[profile]]\n[[profile.io_max]]\npath = \"/\"",
                "f.toml:3:8: profile[0].io_max[0].path", "limited in nothing"},
        BadToml{"[[profile]]\n[[profile.io_max]]\npath = \"/\"\nread_bytes = \"fast\"",
                "f.toml:4:14: profile[0].io_max[0].read_bytes", "MiB"},
        BadToml{"[[profile]]\n[[profile.io_max]]\npath = \"/\"\nwrite_bytes = 0",
                "f.toml:4:15: profile[0].io_max[0].write_bytes", "1B to 1024TiB"},
        BadToml{"[[profile]]\n[[profile.io_max]]\npath = \"/\"\nread_operations = 0",
                "f.toml:4:19: profile[0].io_max[0].read_operations", "1 to 1000000000"},
        BadToml{"[[profile]]\n[[profile.io_max]]\npath = \"/\"\nrate = 1",
                "f.toml:4:1: profile[0].io_max[0].rate", "unknown key"},
        BadToml{"[[profile]]\ncache_kept = -1", "f.toml:2:14: profile[0].cache_kept", "negative"},
        BadToml{"[[profile]]\nslots_max = 5000", "f.toml:2:13: profile[0].slots_max", "1 to 4096"},
        BadToml{"[[profile]]\nslots_min = 3\nslots_max = 2", "f.toml:2:13: profile[0].slots_min",
                "give 1 to 2"},
        BadToml{"[[profile]]\nslot_idle = \"1us\"", "f.toml:2:13: profile[0].slot_idle",
                "whole milliseconds"},
        BadToml{"[[profile]]\nbind = 1", "f.toml:2:8: profile[0].bind", "[[profile.bind]]"},
        BadToml{"[[profile]]\n[[profile.bind]]", "f.toml:2:1: profile[0].bind[0].source",
                "plain absolute path"},
        BadToml{"[[profile]]\n[[profile.bind]]\nsource = \"/a\"\ntarget = \"/proc/x\"",
                "f.toml:4:10: profile[0].bind[0].target", "belongs to the sandbox"},
        BadToml{"[[profile]]\n[[profile.bind]]\nsource = \"/a\"\n[[profile.bind]]\n"
                "source = \"/a\"",
                "f.toml:4:1: profile[0].bind[1].target", "two binds"},
        BadToml{"[[profile]]\n[[profile.bind]]\nsource = \"/a\"\nreadonly = true",
                "f.toml:4:1: profile[0].bind[0].readonly", "known: source, target"}));

INSTANTIATE_TEST_SUITE_P(
    InLimits, RefusedToml,
    testing::Values(
        BadToml{"[[profile]]\n[profile.defaults]\nmemory = \"1\"",
                "f.toml:3:10: profile[0].defaults.memory", "1B is out of range; give 1MiB to"},
        BadToml{"[[profile]]\n[profile.defaults]\nmemory_bytes = 1",
                "f.toml:3:1: profile[0].defaults.memory_bytes", "did you mean \"memory\"?"},
        BadToml{"[[profile]]\n[profile.defaults]\ncpu_time = \"5 parsecs\"",
                "f.toml:3:12: profile[0].defaults.cpu_time", "unknown unit \" parsecs\""},
        BadToml{"[[profile]]\n[profile.defaults]\ncpu_time = 1e300",
                "f.toml:3:12: profile[0].defaults.cpu_time", "too large"},
        BadToml{"[[profile]]\n[profile.defaults]\ncpu_time = nan",
                "f.toml:3:12: profile[0].defaults.cpu_time", "not a number"},
        BadToml{"[[profile]]\n[profile.defaults]\ncpu_time = 0",
                "f.toml:3:12: profile[0].defaults.cpu_time", "give 1ms to 87600h"},
        BadToml{"[[profile]]\n[profile.defaults]\ncpu_time = 2020-01-01",
                "f.toml:3:12: profile[0].defaults.cpu_time", "is a date"},
        BadToml{"[[profile]]\n[profile.maximums]\nprocesses = \"many\"",
                "f.toml:3:13: profile[0].maximums.processes", "give an integer"},
        BadToml{"[[profile]]\n[profile.maximums]\nopen_files = 3",
                "f.toml:3:14: profile[0].maximums.open_files", "give 4 to 1048576"},
        BadToml{"[[profile]]\n[profile.defaults]\ncpu_rate = 0.001",
                "f.toml:3:12: profile[0].defaults.cpu_rate", "0.001 is out of range"},
        BadToml{"[[profile]]\n[profile.defaults]\ncpu_rate = nan",
                "f.toml:3:12: profile[0].defaults.cpu_rate", "out of range"},
        BadToml{"[[profile]]\n[profile.defaults]\ncpu_weight = 10001",
                "f.toml:3:14: profile[0].defaults.cpu_weight", "give 1 to 10000"},
        BadToml{"[[profile]]\n[profile.defaults]\ncpu_set = \"0-\"",
                "f.toml:3:11: profile[0].defaults.cpu_set", "is not a list of CPUs"},
        BadToml{"[[profile]]\n[profile.defaults]\ncpu_set = \"8191\"",
                "f.toml:3:11: profile[0].defaults.cpu_set", "this machine doesn't have"},
        BadToml{"[[profile]]\n[profile.maximums]\nmemory = \"64MiB\"",
                "f.toml:3:10: profile[0].maximums.memory", "lower the default"},
        BadToml{"[[profile]]\n[profile.defaults]\nmemory_soft = \"1GiB\"",
                "f.toml:3:15: profile[0].defaults.memory_soft", "above memory, 512MiB"},
        BadToml{"[[profile]]\ndefaults = 1", "f.toml:2:12: profile[0].defaults",
                "a table of limits"}));

/// Values that need escaping or exactness, and every enumerator.
PoolConfig unusual_config() {
  PoolConfig config;
  config.name = "p";
  config.store_bytes_max = 12'345;
  config.cgroup = CgroupUse::kNone;
  Profile& profile = config.profiles[0];
  profile.seccomp_policy = "/srv/\"quoted\" \\ back\tslash\n\x01 \x7f ü.json";
  profile.env = {"A=\"x\" # no comment", "B="};
  profile.refused_call = RefusedCall::kKill;
  profile.slot_idle_ms = 4'294'967'295;
  profile.cache_kept_bytes = 12'345;
  profile.defaults = {};
  profile.defaults.cpu_rate = 0.1 + 0.2;
  profile.defaults.cpu_set = "0";
  profile.defaults.cpu_time = Nanoseconds(1'234'567'891);
  profile.maximums.memory_bytes = (1U << 20U) + 1;
  Profile second;
  second.name = "second";
  second.root_directory = "/srv/root";
  second.network = NetworkMode::kHost;
  second.masked_paths = {};
  second.env = {};
  second.pin_slots = true;
  second.pressure = true;
  second.binds = {{.source = "/a", .target = "/b", .writable = true, .executable = false}};
  config.profiles.push_back(second);
  return config;
}

void expect_same(const Profile& left, const Profile& right) {
  EXPECT_EQ(left.name, right.name);
  EXPECT_EQ(left.root_directory, right.root_directory);
  EXPECT_EQ(left.binds, right.binds);
  EXPECT_EQ(left.masked_paths, right.masked_paths);
  EXPECT_EQ(left.tmp_bytes, right.tmp_bytes);
  EXPECT_EQ(left.work_bytes, right.work_bytes);
  EXPECT_EQ(left.shm_bytes, right.shm_bytes);
  EXPECT_EQ(left.tmpfs_inodes, right.tmpfs_inodes);
  EXPECT_EQ(left.hostname, right.hostname);
  EXPECT_EQ(left.network, right.network);
  EXPECT_EQ(left.time_namespace, right.time_namespace);
  EXPECT_EQ(left.share_inodes, right.share_inodes);
  EXPECT_EQ(left.seccomp_policy, right.seccomp_policy);
  EXPECT_EQ(left.refused_call, right.refused_call);
  EXPECT_EQ(left.selinux_type, right.selinux_type);
  EXPECT_EQ(left.env, right.env);
  EXPECT_EQ(left.defaults, right.defaults);
  EXPECT_EQ(left.maximums, right.maximums);
  EXPECT_EQ(left.pin_slots, right.pin_slots);
  EXPECT_EQ(left.pressure, right.pressure);
  EXPECT_EQ(left.io_max, right.io_max);
  EXPECT_EQ(left.cache_kept_bytes, right.cache_kept_bytes);
  EXPECT_EQ(left.slots_min, right.slots_min);
  EXPECT_EQ(left.slots_max, right.slots_max);
  EXPECT_EQ(left.slot_idle_ms, right.slot_idle_ms);
}

// toml++ by itself runs into undefined behaviour over them: found by fuzzing.
TEST(ConfigFromToml, RefusesLettersBeyondAsciiInBareKeysWithTheirPlace) {
  for (const char* key : {"gr\xC3\xB6\xC3\x9F\x65", "x\xEF\xBA\xBF", "\xC7\x9B"}) {
    const auto refused = config_from_toml(std::string("queue_max = 1\n") + key + " = 1", "f");
    ASSERT_FALSE(refused) << key;
    EXPECT_THAT(refused.error().object, ::testing::HasSubstr("f:2:"));
  }
}

TEST(ConfigFromToml, RefusesATablesNameThatBeginsWithAControlCharacter) {
  const auto refused = config_from_toml("[\x7f", "f");
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().object, ::testing::HasSubstr("f:1:2"));
}

TEST(ConfigFromToml, TakesAnyCharacterInStringsAndComments) {
  const auto config = config_from_toml(
      "\xEF\xBB\xBF# gr\xC3\xB6\xC3\x9F"
      "er\n[[profile]]\nhostname = \"h\"\n"
      "env = ['A=\xC3\xB6', \"B=\\\"\xC7\x9B\", \"\"\"C=\xEF\xBA\xBF\"\"\"\"]\n",
      "f");
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_EQ(config->profiles[0].env,
            (std::vector<std::string>{"A=\xC3\xB6", "B=\"\xC7\x9B", "C=\xEF\xBA\xBF\""}));
}

TEST(ConfigToToml, IsReadBackAsTheSameConfiguration) {
  const Result<PoolConfig> full = config_from_toml(kFull, "full");
  ASSERT_TRUE(full);
  for (const PoolConfig& config : {PoolConfig(), *full, unusual_config()}) {
    const std::string text = config_to_toml(config);
    const Result<PoolConfig> read = config_from_toml(text, "written");
    ASSERT_TRUE(read) << read.error().message() << "\n" << text;
    EXPECT_EQ(read->queue_max, config.queue_max);
    EXPECT_EQ(read->uid_base, config.uid_base);
    EXPECT_EQ(read->uid_count, config.uid_count);
    EXPECT_EQ(read->name, config.name);
    EXPECT_EQ(read->state_directory, config.state_directory);
    EXPECT_EQ(read->cgroup_parent, config.cgroup_parent);
    EXPECT_EQ(read->cgroup, config.cgroup);
    EXPECT_EQ(read->zygote_path, config.zygote_path);
    EXPECT_EQ(read->shutdown_ms, config.shutdown_ms);
    EXPECT_EQ(read->store_bytes_max, config.store_bytes_max);
    ASSERT_EQ(read->profiles.size(), config.profiles.size());
    for (std::size_t index = 0; index < config.profiles.size(); ++index) {
      expect_same(read->profiles[index], config.profiles[index]);
    }
    EXPECT_EQ(config_to_toml(*read), text);
  }
}

TEST(ConfigToToml, CommentsEveryLimit) {
  const std::string text = config_to_toml(PoolConfig());
  for (const LimitField& field : limit_fields()) {
    EXPECT_THAT(text, HasSubstr(std::string("  # ") + field.meaning));
  }
}

TEST(ConfigFromFile, ReadsAFileAndNamesOneThatItCant) {
  const std::string path = testing::TempDir() + "/hatchery_config_" + std::to_string(::getpid());
  std::ofstream(path) << "queue_max = 3\n";
  const Result<PoolConfig> config = config_from_file(path);
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_EQ(config->queue_max, 3U);
  std::ofstream(path) << "queue_max = x\n";
  EXPECT_THAT(message_of(config_from_file(path)), HasSubstr(path + ":1:"));
  ::unlink(path.c_str());
  EXPECT_THAT(message_of(config_from_file(path)), HasSubstr("ENOENT"));
  EXPECT_THAT(message_of(config_from_file("/tmp")), HasSubstr("EISDIR"));
  EXPECT_THAT(message_of(config_from_file("/dev/zero")), HasSubstr("EFBIG"));
}

TEST(Validate, RefusesAProfileWithoutFilesOrPool) {
  PoolConfig config;
  config.profiles.clear();
  EXPECT_THAT(message_of(config.validate()), HasSubstr("at least one"));
  config.profiles.emplace_back();
  const Result<void> valid = config.validate();
  ASSERT_FALSE(valid);
  EXPECT_EQ(valid.error().step, Step::kValidateConfig);
  EXPECT_EQ(valid.error().object, "profile[0].bind");
}

}  // namespace
}  // namespace hatchery
