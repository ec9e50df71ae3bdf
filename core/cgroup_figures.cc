// One slot's groups: what a job used, and what is left of it.
#include <time.h>

#include <algorithm>

#include "core/cgroup.h"
#include "core/files.h"

namespace hatchery {
namespace {

/// The kernel charges 64 pages at once on each CPU (MEMCG_CHARGE_BATCH) and keeps those that it
/// does not need yet in stock; a slot's few processes leave some on two CPUs at most.
constexpr std::uint64_t kStockBytesMax = 2ULL * 64 * 4096;

std::optional<std::uint64_t> minus(std::optional<std::uint64_t> now,
                                   std::optional<std::uint64_t> before) {
  if (!now || !before) return std::nullopt;
  return *now >= *before ? *now - *before : 0;
}

/// "some avg10=0.00 avg60=0.00 avg300=0.00 total=1234" in microseconds, then a line of "full".
std::optional<std::uint64_t> some_pressure_ns(const CgroupKnob& knob) {
  constexpr std::string_view kTotal = "total=";
  CgroupText room;
  const std::string_view text = knob.read(room);
  const std::size_t at = text.find(kTotal);
  if (!text.starts_with("some ") || at == std::string_view::npos) return std::nullopt;
  const auto us = leading_number(text.substr(at + kTotal.size()));
  return us ? std::optional(*us * 1000) : std::nullopt;
}

}  // namespace

void SlotCgroup::set_idle_baseline() {
  idle_usage_bytes_ = memory_usage_.peek_number().value_or(0);
  if (!memory_v2_) idle_memory_bytes_ = idle_usage_bytes_;
}

std::uint64_t SlotCgroup::leftover_bytes() const {
  return minus(memory_usage_.read_number(), idle_usage_bytes_).value_or(0);
}

std::uint64_t SlotCgroup::reclaim_leftover() {
  // v1: all that the group can spare. v2: as many bytes as are written, EAGAIN when it finds fewer.
  if (memory_reclaim_.valid())
    static_cast<void>(
        memory_reclaim_.write_again(memory_v2_ ? std::to_string(leftover_bytes()) : "0")
            .has_value());
  return leftover_bytes();
}

SlotCgroup::CpuTimes SlotCgroup::cpu_times() const {
  if (!cpu_stat_v2_)
    return {cpu_stat_.read_number(), cpu_user_.read_number(), cpu_system_.read_number()};
  CgroupText room;
  const std::string_view text = cpu_stat_.read(room);
  const auto in_ns = [&](const char* key) -> std::optional<std::uint64_t> {
    const std::optional<std::uint64_t> us = keyed_number(text, key);
    return us ? std::optional(*us * 1000) : std::nullopt;
  };
  return {in_ns("usage_usec"), in_ns("user_usec"), in_ns("system_usec")};
}

SlotCgroup::IoBytes SlotCgroup::io_bytes() const {
  if (!io_stat_.valid()) return {};
  CgroupText room;
  const std::string_view text = io_stat_.read(room);
  std::uint64_t read = 0;
  std::uint64_t write = 0;
  // v1: "254:0 Read 4096" lines; v2: "254:0 rbytes=4096 wbytes=0 …".
  const auto sum = [&text](const char* key, std::uint64_t& total) {
    for (std::size_t at = text.find(key); at != std::string_view::npos; at = text.find(key, at + 1))
      total += leading_number(text.substr(at + std::string_view(key).size())).value_or(0);
  };
  sum(io_v2_ ? "rbytes=" : " Read ", read);
  sum(io_v2_ ? "wbytes=" : " Write ", write);
  return {read, write};
}

std::optional<std::uint64_t> SlotCgroup::oom_kills() const {
  CgroupText room;
  return keyed_number(memory_events_.read(room), "oom_kill");
}

std::optional<std::uint64_t> SlotCgroup::throttled_ns() const {
  // Without a rate of its own the group is never throttled.
  if (!has_cpu_rate_)
    return cpu_throttle_stat_.valid() ? std::optional<std::uint64_t>(0) : std::nullopt;
  CgroupText room;
  const std::string_view text = cpu_throttle_stat_.read(room);
  if (!cpu_v2_) return keyed_number(text, "throttled_time");
  const std::optional<std::uint64_t> us = keyed_number(text, "throttled_usec");
  return us ? std::optional(*us * 1000) : std::nullopt;
}

SlotCgroup::Counters SlotCgroup::counters() const {
  CgroupText room;
  return {io_bytes(), oom_kills(), pids_peak_.read_number(),
          keyed_number(pids_events_.read(room), "max")};
}

SlotCgroup::Pressure SlotCgroup::pressure() const {
  return {some_pressure_ns(cpu_pressure_), some_pressure_ns(memory_pressure_),
          some_pressure_ns(io_pressure_)};
}

std::optional<std::uint64_t> SlotCgroup::memory_of_others() {
  // v2: the group is the job's, and its parked worker becomes the job. Not the job's is only what
  // earlier ones left; what may be stock does not count as that.
  if (memory_v2_) return minus(leftover_bytes(), kStockBytesMax);
  const std::optional<std::uint64_t> usage = memory_usage_.read_number();
  const std::optional<std::uint64_t> kernel = memory_kernel_before_ = memory_kernel_.read_number();
  if (!usage || !kernel) return usage;
  // Kernel memory is counted to the page and is most of what an idle slot holds; what is above it
  // may be stock, which the job's first pages are taken from.
  return std::min(*usage, std::max(*kernel, *minus(usage, kStockBytesMax)));
}

/// What memory_of_others() has of earlier jobs, in steps: else most jobs had a limit to write.
std::uint64_t SlotCgroup::memory_left(std::uint64_t bytes_max) const {
  constexpr std::uint64_t kStep = 64ULL << 10;
  if (bytes_max == 0) return 0;
  const std::uint64_t left = minus(leftover_bytes(), kStockBytesMax).value_or(0);
  return std::min((left + kStep - 1) / kStep * kStep, bytes_max);
}

void SlotCgroup::begin() {
  if (memory_peak_resets_) static_cast<void>(memory_peak_.write_again("0").has_value());
  memory_before_ = memory_of_others();
  socket_memory_before_ = 0;
  if (socket_memory_peak_.read_number().value_or(0) > 0) {
    socket_memory_before_ = socket_memory_usage_.read_number().value_or(0);
    static_cast<void>(socket_memory_peak_.write_again("0").has_value());
  }
  if (!counters_before_) counters_before_ = counters();
  // Not what the last job's figures say: the kernel accounts for a time when it ends.
  throttled_before_ = throttled_ns();
  has_own_peak_ = memory_peak_resets_ || !job_group_used_;
  job_group_used_ = !job_path_.empty();
  if (watches_pressure_) pressure_before_ = pressure();
  cpu_before_ = cpu_times();
}

std::optional<std::uint64_t> SlotCgroup::memory_peak() const {
  // A peak that can't be reset is the group's since its birth: this job's if it is the first.
  if (!has_own_peak_) return std::nullopt;
  std::optional<std::uint64_t> peak = minus(memory_peak_.read_number(), memory_before_);
  // What the slot's making or an earlier job left the kernel to free may have been freed since, and
  // was not in the peak: rather too much than too little.
  if (peak) *peak += minus(memory_kernel_before_, memory_kernel_.read_number()).value_or(0);
  // Two peaks need not have been at the same time: their sum is the most that it can have been.
  if (peak) *peak += minus(socket_memory_peak_.read_number(), socket_memory_before_).value_or(0);
  return peak;
}

std::optional<std::uint64_t> SlotCgroup::cpu_ns(bool exact) const {
  if (exact) {
    // Asking for a process's CPU clock brings its running threads up to date, and with them their
    // cgroup.
    for (const pid_t pid : cpu_procs_.read_pids()) {
      clockid_t clock = 0;
      timespec used{};
      if (::clock_getcpuclockid(pid, &clock) == 0) ::clock_gettime(clock, &used);
    }
  }
  return minus(cpu_times().total, cpu_before_.total);
}

CgroupFigures SlotCgroup::figures() {
  CgroupFigures figures;
  const CpuTimes cpu = cpu_times();
  figures.cpu_ns = minus(cpu.total, cpu_before_.total);
  figures.cpu_user_ns = minus(cpu.user, cpu_before_.user);
  figures.cpu_system_ns = minus(cpu.system, cpu_before_.system);
  figures.memory_peak_bytes = memory_peak();
  const Counters now = counters();
  const Counters before = counters_before_.value_or(now);
  figures.oom_kills = minus(now.oom_kills, before.oom_kills);
  figures.process_limit_hits = minus(now.process_limit_hits, before.process_limit_hits);
  // pids.peak is the group's since its birth: this job's only if it rose, or if it could not have
  // been lower.
  const std::uint64_t least = idle_processes_ + 1;
  if (now.process_peak && before.process_peak &&
      (*now.process_peak > *before.process_peak || *now.process_peak == least))
    figures.process_peak = *now.process_peak - idle_processes_;
  figures.io_read_bytes = minus(now.io.read, before.io.read);
  figures.io_write_bytes = minus(now.io.write, before.io.write);
  figures.throttled_ns = minus(throttled_ns(), throttled_before_);
  if (watches_pressure_) {
    const Pressure waited = pressure();
    figures.cpu_pressure_ns = minus(waited.cpu, pressure_before_.cpu);
    figures.memory_pressure_ns = minus(waited.memory, pressure_before_.memory);
    figures.io_pressure_ns = minus(waited.io, pressure_before_.io);
  }
  counters_before_ = now;
  return figures;
}

}  // namespace hatchery
