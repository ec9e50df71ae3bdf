// CgroupKnob: one file of a control group, to read figures from or to write a limit to.
// Runs in: pool. Thread: one at a time, except where said.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/fd.h"
#include "core/result.h"

namespace hatchery {

/// How many files of control groups may stay open between uses, of all slots that share it: a read
/// costs some 2 µs then instead of 15. Thread: any.
class CgroupFileBudget {
 public:
  /// `at_once`: there is room for all, so they are opened before their first use.
  explicit CgroupFileBudget(std::int64_t files, bool at_once = false)
      : at_once_(at_once), left_(files) {}
  CgroupFileBudget(const CgroupFileBudget&) = delete;
  CgroupFileBudget& operator=(const CgroupFileBudget&) = delete;

  struct GiveBack {
    void operator()(CgroupFileBudget* budget) const noexcept { ++budget->left_; }
  };
  /// Of one file; given back when it is destroyed.
  using Share = std::unique_ptr<CgroupFileBudget, GiveBack>;
  /// Null when none is left.
  Share take() noexcept;
  bool at_once() const noexcept { return at_once_; }

 private:
  const bool at_once_;
  std::atomic<std::int64_t> left_;
};

/// Room for what a file of a control group says.
struct CgroupText {
  char bytes[4096];
};

/// A file of the slot's group; remembers what was written last and skips a write of the same.
class CgroupKnob {
 public:
  /// No file: reads are empty, writes fail.
  CgroupKnob() = default;
  /// `flags` as for open(2). It is opened for each use, or from its first use on once, as far as
  /// `budget` lets it, which outlives it. No file when it can't be opened.
  CgroupKnob(std::string path, int flags, CgroupFileBudget* budget);
  /// Opened now, and kept.
  static CgroupKnob kept(std::string path, int flags);
  bool valid() const noexcept { return !path_.empty(); }
  const std::string& path() const noexcept { return path_; }
  Result<void> write(const std::string& text);
  /// Always writes.
  Result<void> write_again(const std::string& text);
  /// As much as there is room for, in `text`. Empty when the file is absent or unreadable.
  std::string_view read(CgroupText& text) const;
  std::optional<std::uint64_t> read_number() const;
  /// The same without keeping it open: it is no job's need.
  std::optional<std::uint64_t> peek_number() const;
  /// Of a cgroup.procs.
  std::vector<pid_t> read_pids() const;

 private:
  /// The kept descriptor, or one that `keep` makes it as far as the budget goes; else one that
  /// `own` holds; −1 with errno.
  int open(UniqueFd& own, bool keep = true) const;
  std::string_view read(CgroupText& text, bool keep) const;

  mutable UniqueFd fd_;
  mutable CgroupFileBudget::Share share_;  ///< For fd_, where it has a budget.
  CgroupFileBudget* budget_ = nullptr;
  std::string path_;
  int flags_ = 0;
  std::string written_;
};

}  // namespace hatchery
