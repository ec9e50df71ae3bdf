#include "tests/pool_fixture.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "core/cgroup.h"
#include "core/files.h"
#include "core/user_namespace.h"
#include "tests/slowness.h"

namespace hatchery::testing {
namespace {

namespace fs = std::filesystem;

/// /proc/PID/status, or nothing when the process is gone.
std::string status_of(const fs::path& process) {
  // A stream's iterator would throw ESRCH when it ends meanwhile.
  Result<std::string> status = read_whole_file(process / "status");
  return status ? *std::move(status) : std::string();
}

/// One of its fields; "" when there is none.
std::string status_field(const std::string& status, const std::string& name) {
  const std::string key = '\n' + name + ':';
  const std::size_t at = ('\n' + status).find(key);
  if (at == std::string::npos) return {};
  const std::size_t begin = at + key.size() - 1;
  return status.substr(begin, status.find('\n', begin) - begin);
}

unsigned long first_number(const std::string& text) {
  std::istringstream stream(text);
  unsigned long number = 0;
  stream >> number;
  return number;
}

std::vector<std::string> processes_of(const PoolConfig& config) {
  std::vector<std::string> found;
  const IdRange ids = ids_for_slots(config.uid_base, config.uid_count);
  for (const fs::directory_entry& entry : fs::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const std::string status = status_of(entry.path());
    const unsigned long parent = first_number(status_field(status, "PPid"));
    const unsigned long uid = first_number(status_field(status, "Uid"));
    const bool ours = parent == static_cast<unsigned long>(::getpid());
    // Dead, and orphaned by a helper that was killed: it holds nothing and waits for init.
    const bool init_reaps = !ours && status_field(status, "State").find('Z') != std::string::npos;
    const bool of_slot = uid >= ids.first && uid - ids.first < ids.count;
    if (ours || (of_slot && !init_reaps)) found.push_back(name + status_field(status, "Name"));
  }
  return found;
}

std::vector<std::string> cgroups_of(const PoolConfig& config) {
  std::vector<std::string> found;
  const Result<CgroupHost> host = CgroupHost::find(config.cgroup_parent);
  if (!host) return found;
  for (const CgroupHierarchy& hierarchy : host->hierarchies) {
    const std::string root = hierarchy.mount + hierarchy.parent + "/hatchery/" + config.name;
    if (fs::exists(root)) found.push_back(root);
  }
  return found;
}

std::vector<std::string> mounts() {
  std::vector<std::string> lines;
  std::ifstream mountinfo("/proc/self/mountinfo");
  for (std::string line; std::getline(mountinfo, line);) lines.push_back(line);
  return lines;
}

std::size_t descriptors() {
  const fs::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(fs::begin(all), fs::end(all)));
}

}  // namespace

HostTraces host_traces(const PoolConfig& config) {
  return {.descriptors = descriptors(),
          .mounts = mounts(),
          .processes = processes_of(config),
          .cgroups = cgroups_of(config)};
}

PoolConfig PoolTest::small_config() {
  static std::atomic<unsigned> next = 0;
  PoolConfig config;
  config.name = "test-" + std::to_string(::getpid()) + '-' + std::to_string(next++);
  config.zygote_path = HATCHERY_ZYGOTE;
  // Of this process alone, so that test programs may run side by side. A user namespace has not
  // that many: the pool takes what there is.
  if (has_all_ids()) {
    config.uid_base = 0x71000000 + static_cast<std::uint32_t>(::getpid() % 8192) * 1024;
    config.uid_count = 256;
  }
  config.profiles.front().slots_min = 1;
  config.profiles.front().slots_max = 2;
  Limits& defaults = config.profiles.front().defaults;
  if (defaults.cpu_time) *defaults.cpu_time *= slowness();
  if (defaults.wall_time) *defaults.wall_time *= slowness();
  // Set where SELinux has Hatchery's policy: then every test's jobs are confined by it.
  if (const char* type = std::getenv("HATCHERY_TEST_SELINUX_TYPE"))
    config.profiles.front().selinux_type = type;
  return config;
}

void PoolTest::require_features() {
  for (const char* feature : {"root", "userns", "seccomp", "clone3", "cgroup_memory"})
    HATCHERY_REQUIRE_FEATURE(feature);
}

void PoolTest::SetUp() {
  require_features();
  if (IsSkipped() || HasFatalFailure()) return;
  before_ = host_traces(config);
}

void PoolTest::TearDown() {
  pool_.reset();
  if (IsSkipped()) return;
  const HostTraces after = host_traces(config);
  EXPECT_EQ(after.descriptors, before_.descriptors);
  EXPECT_EQ(after.mounts, before_.mounts);
  EXPECT_EQ(after.processes, before_.processes);
  EXPECT_EQ(after.cgroups, before_.cgroups);
}

std::unique_ptr<Pool> PoolTest::make_pool(const PoolConfig& of) {
  Result<std::unique_ptr<Pool>> made = Pool::create(of);
  if (!made) ADD_FAILURE() << made.error().message();
  HATCHERY_CHECK(made.has_value());
  return *std::move(made);
}

Pool& PoolTest::pool() {
  if (!pool_) pool_ = make_pool(config);
  return *pool_;
}

Report PoolTest::run(JobSpec spec) {
  Result<std::future<Report>> future = pool().submit(std::move(spec));
  if (future) return future->get();
  ADD_FAILURE() << future.error().message();
  return {};
}

JobSpec PoolTest::shell(const std::string& script, Limits limits) {
  JobSpec spec{.args = {"/bin/sh", "-c", script}, .limits = std::move(limits)};
  spec.fds[1] = CollectorStream{.name = "stdout"};
  spec.fds[2] = CollectorStream{.name = "stderr"};
  return spec;
}

Report PoolTest::run_shell(const std::string& script, Limits limits) {
  return run(shell(script, std::move(limits)));
}

JobSpec Held::job() const {
  JobSpec spec{.args = {"/bin/sh", "-c", "echo x >&3; read line <&4"},
               .limits = {.wall_time = std::chrono::seconds(600)}};
  spec.fds[3] = CallerFdStream{started_.write_end.get()};
  spec.fds[4] = CallerFdStream{go_.read_end.get()};
  return spec;
}

std::string make_temporary_directory() {
  std::string pattern = fs::temp_directory_path() / "hatchery-test-XXXXXX";
  HATCHERY_CHECK(::mkdtemp(pattern.data()) != nullptr);
  return pattern;
}

std::string output_of(const Report& report, const std::string& name) {
  const Output* output = report.output(name);
  if (output != nullptr) return output->bytes;
  ADD_FAILURE() << "no output " << name << " in " << describe(report);
  return {};
}

std::string describe(const Report& report) {
  std::string text = outcome_name(report.outcome);
  if (report.exit_code) text += ", exit code " + std::to_string(*report.exit_code);
  if (report.signal) text += ", signal " + std::to_string(*report.signal);
  if (report.error) text += ", " + report.error->message();
  if (report.memory_peak_bytes) text += ", peak " + std::to_string(*report.memory_peak_bytes);
  for (const char* name : {"stdout", "stderr"})
    if (const Output* output = report.output(name))
      text += std::string(", ") + name + ": " + output->bytes.substr(0, 2000);
  return text;
}

}  // namespace hatchery::testing
