#include "tests/selinux_fixture.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

namespace hatchery::testing {

void label(const std::string& file, const std::string& type, const std::string& range) {
  const std::string context = "system_u:object_r:" + type + ':' + range;
  ASSERT_EQ(::lsetxattr(file.c_str(), "security.selinux", context.c_str(), context.size() + 1, 0),
            0)
      << context << ": " << errno;
}

void show_to_jobs(const std::string& directory, const std::string& type) {
  if (!missing_feature("selinux").empty()) return;
  label(directory, type, "s0");
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory))
    label(entry.path(), type, "s0");
}

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  std::string text;
  std::getline(file, text, '\0');
  return text;
}

void write_text(const std::string& path, const std::string& text) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  ASSERT_TRUE(fd.valid()) << path;
  ASSERT_EQ(::write(fd.get(), text.data(), text.size()), static_cast<ssize_t>(text.size())) << path;
}

std::string categories_of(const std::string& context) {
  return context.substr(context.rfind(':') + 1);
}

KernelLog::KernelLog() : fd_(::open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC)) {
  ::lseek(fd_.get(), 0, SEEK_END);
}

std::string KernelLog::denial(const std::vector<std::string>& parts) {
  char record[8192];
  for (;;) {
    const ssize_t size = ::read(fd_.get(), record, sizeof record);
    if (size < 0 && errno == EAGAIN) {
      pollfd ready{.fd = fd_.get(), .events = POLLIN, .revents = 0};
      if (::poll(&ready, 1, 30'000) != 1) return {};
      continue;
    }
    if (size < 0 && errno == EPIPE) continue;  // Overwritten meanwhile: the next is there.
    if (size <= 0) return {};
    const std::string text(record, static_cast<std::size_t>(size));
    const bool all = std::all_of(parts.begin(), parts.end(), [&](const std::string& part) {
      return text.find(part) != std::string::npos;
    });
    if (all && text.find("avc:  denied") != std::string::npos) return text;
  }
}

LabelledFiles::LabelledFiles() : path_(make_temporary_directory()) {
  HATCHERY_CHECK(::chmod(path_.c_str(), 0755) == 0);
  label(path_, "usr_t", "s0");
}

LabelledFiles::~LabelledFiles() { std::filesystem::remove_all(path_); }

void LabelledFiles::add(const std::string& name, const std::string& text, const std::string& type,
                        const std::string& range, mode_t mode) {
  const std::string file = path_ + '/' + name;
  std::ofstream(file) << text;
  ASSERT_EQ(::chmod(file.c_str(), mode), 0);
  label(file, type, range);
}

PolicyBoolean::PolicyBoolean(std::string name, bool value) : name_(std::move(name)), back_(!value) {
  set(value);
}

PolicyBoolean::~PolicyBoolean() { set(back_); }

void PolicyBoolean::set(bool value) const {
  write_text("/sys/fs/selinux/booleans/" + name_, value ? "1" : "0");
  write_text("/sys/fs/selinux/commit_pending_bools", "1");
}

void SelinuxJobs::SetUp() {
  PoolTest::SetUp();
  if (IsSkipped()) return;
  HATCHERY_REQUIRE_FEATURE("selinux");
  const std::string own = text_of("/proc/self/attr/current");
  if (own.find(":hatchery_t:") == std::string::npos) {
    ASSERT_FALSE(feature_is_required("selinux")) << "we run as " << own;
    GTEST_SKIP() << "not in hatchery_t, the domain of deploy/selinux, but in " << own;
  }
  ASSERT_EQ(text_of("/sys/fs/selinux/enforce"), "1");
  profile().selinux_type = "hatchery_job_t";
}

std::string SelinuxJobs::seen(const std::string& script) {
  const Report report = run_shell("{ " + script + "\n} 2>&1");
  EXPECT_TRUE(report.exit_code.has_value()) << describe(report);
  return output_of(report);
}

std::string SelinuxJobs::seen_as(const std::string& type, const std::string& script) {
  stop_pool();
  profile().selinux_type = type;
  return seen(script);
}

std::vector<std::string> SelinuxJobs::labels_of_all_slots(Pool& pool, std::size_t slots) {
  std::vector<JobSpec> specs(slots, shell(kOwnLabel));
  auto reports = pool.submit_group(std::move(specs));
  std::vector<std::string> labels;
  if (reports)
    for (const Report& report : reports->get()) labels.push_back(output_of(report));
  std::sort(labels.begin(), labels.end());
  return labels;
}

}  // namespace hatchery::testing
