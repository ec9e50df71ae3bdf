#include "core/cgroup_knob.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "core/files.h"

namespace hatchery {

CgroupFileBudget::Share CgroupFileBudget::take() noexcept {
  if (left_.fetch_sub(1) > 0) return Share(this);
  ++left_;
  return {};
}

CgroupKnob::CgroupKnob(std::string path, int flags, CgroupFileBudget* budget)
    : budget_(budget), path_(std::move(path)), flags_(flags | O_CLOEXEC) {
  UniqueFd own;
  if (open(own, budget != nullptr && budget->at_once()) < 0) path_.clear();
}

CgroupKnob CgroupKnob::kept(std::string path, int flags) {
  CgroupKnob knob;
  knob.path_ = std::move(path);
  knob.flags_ = flags | O_CLOEXEC;
  if (knob.open(knob.fd_) < 0) knob.path_.clear();
  return knob;
}

int CgroupKnob::open(UniqueFd& own, bool keep) const {
  if (fd_.valid()) return fd_.get();
  own = UniqueFd(::open(path_.c_str(), flags_));
  if (!keep || budget_ == nullptr || !own.valid()) return own.get();
  share_ = budget_->take();
  if (!share_) return own.get();
  fd_ = std::move(own);
  return fd_.get();
}

Result<void> CgroupKnob::write(const std::string& text) {
  if (text == written_) return {};
  return write_again(text);
}

Result<void> CgroupKnob::write_again(const std::string& text) {
  if (!valid()) return errno_error(Step::kWriteCgroup, path_, ENOENT);
  UniqueFd own;
  if (::pwrite(open(own), text.data(), text.size(), 0) < 0) {
    written_.clear();
    return errno_error(Step::kWriteCgroup, path_ + " = " + text, errno);
  }
  written_ = text;
  return {};
}

std::string_view CgroupKnob::read(CgroupText& text) const { return read(text, true); }

std::string_view CgroupKnob::read(CgroupText& text, bool keep) const {
  if (!valid()) return {};
  UniqueFd own;
  const long size = pread_all(open(own, keep), text.bytes, sizeof text.bytes);
  return {text.bytes, static_cast<std::size_t>(std::max(size, 0L))};
}

std::optional<std::uint64_t> CgroupKnob::read_number() const {
  CgroupText text;
  return leading_number(read(text));
}

std::optional<std::uint64_t> CgroupKnob::peek_number() const {
  CgroupText text;
  return leading_number(read(text, false));
}

std::vector<pid_t> CgroupKnob::read_pids() const {
  CgroupText text;
  const std::string_view procs = read(text);
  std::vector<pid_t> pids;
  for (std::size_t at = 0; at < procs.size();) {
    const auto pid = static_cast<pid_t>(leading_number(procs.substr(at)).value_or(0));
    // 0: of another pid namespace.
    if (pid > 0) pids.push_back(pid);
    at = std::min(procs.find('\n', at), procs.size() - 1) + 1;
  }
  return pids;
}

}  // namespace hatchery
