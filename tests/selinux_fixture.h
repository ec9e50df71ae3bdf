// What tests under SELinux share: the kernel's log of denials, files with labels, switches of the
// policy, and a pool whose jobs have Hatchery's type. They need a host in enforcing mode with
// deploy/selinux and tests/vm/tests.cil, the test program in hatchery_t: tests/vm/run --guest
// selinux.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "core/fd.h"
#include "tests/pool_fixture.h"

namespace hatchery::testing {

/// Of a type that only tests/vm/tests.cil has; its denials are only logged.
inline constexpr const char* kPermissiveType = "hatchery_control_t";
/// Prints a job's own context.
inline constexpr const char* kOwnLabel = "tr -d '\\0' </proc/self/attr/current";

/// Its first text, without the NUL at the end.
std::string text_of(const std::string& path);
/// Writes to a file that is there; fails the test when it can't.
void write_text(const std::string& path, const std::string& text);
/// "cA,cB" of "user:role:type:s0:cA,cB".
std::string categories_of(const std::string& context);

/// What the kernel logs from the construction on.
class KernelLog {
 public:
  KernelLog();
  /// The next record of a denial that has all of these parts; "" when none came in half a minute.
  /// The kernel writes them from a thread of its own, some time after the call was refused.
  std::string denial(const std::vector<std::string>& parts);

 private:
  UniqueFd fd_;
};

/// Gives a file of the host, or a link, system_u:object_r:TYPE:RANGE. Fails the test where it
/// can't.
void label(const std::string& file, const std::string& type, const std::string& range);

/// Where SELinux is enforcing, gives a directory of the test's own, with all that is in it, a label
/// that jobs can read; with hatchery_job_file_t, write too.
void show_to_jobs(const std::string& directory, const std::string& type = "usr_t");

/// A directory of the host whose files get labels.
class LabelledFiles {
 public:
  LabelledFiles();
  ~LabelledFiles();
  LabelledFiles(const LabelledFiles&) = delete;
  LabelledFiles& operator=(const LabelledFiles&) = delete;

  const std::string& path() const { return path_; }
  /// `type` and `range` of its context, system_u:object_r:TYPE:RANGE.
  void add(const std::string& name, const std::string& text, const std::string& type,
           const std::string& range = "s0", mode_t mode = 0755);

 private:
  std::string path_;
};

/// Switches a boolean of the policy, and back.
class PolicyBoolean {
 public:
  PolicyBoolean(std::string name, bool value);
  ~PolicyBoolean();
  PolicyBoolean(const PolicyBoolean&) = delete;
  PolicyBoolean& operator=(const PolicyBoolean&) = delete;

 private:
  void set(bool value) const;
  std::string name_;
  bool back_;
};

/// Skipped, or failed where HATCHERY_REQUIRE names selinux, outside of hatchery_t in enforcing
/// mode.
class SelinuxJobs : public PoolTest {
 protected:
  void SetUp() override;

  std::string label_of_a_job() { return output_of(run_shell(kOwnLabel)); }
  /// stdout and stderr of the script.
  std::string seen(const std::string& script);
  /// The same in a pool of its own, whose jobs have that type.
  std::string seen_as(const std::string& type, const std::string& script);
  /// Labels of jobs that run at the same time, one in each slot; sorted.
  static std::vector<std::string> labels_of_all_slots(Pool& pool, std::size_t slots);

  KernelLog log_;
};

}  // namespace hatchery::testing
