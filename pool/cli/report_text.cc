#include "pool/cli/report_text.h"

#include <fmt/format.h>

#include <array>
#include <csignal>
#include <cstring>
#include <utility>

#include "core/check.h"
#include "pool/units.h"

namespace hatchery::cli {
namespace {

std::string signal_text(int number) {
  const char* name = ::sigabbrev_np(number);
  return name == nullptr ? fmt::format("signal {}", number)
                         : fmt::format("signal {} (SIG{})", number, name);
}

std::string time_or_dash(const std::optional<Nanoseconds>& time) {
  return time.has_value() ? readable_time(*time) : "-";
}

std::string number_or_dash(const std::optional<std::uint64_t>& number) {
  return number.has_value() ? std::to_string(*number) : "-";
}

std::string size_or_dash(const std::optional<std::uint64_t>& bytes) {
  return bytes.has_value() ? readable_size(*bytes) : "-";
}

/// "used 1.003 s of CPU time, allowed 1s"; parts that are unknown are left out.
std::string used_of_allowed(const std::string& used, const std::string& what,
                            const std::string& allowed) {
  if (allowed.empty()) return fmt::format("used {} of {}", used, what);
  return fmt::format("used {} of {}, allowed {}", used, what, allowed);
}

std::string allowed_time(const std::optional<Nanoseconds>& limit) {
  return limit.has_value() ? format_duration(*limit) : "";
}

std::string allowed_size(const std::optional<std::uint64_t>& limit) {
  return limit.has_value() ? format_bytes(*limit) : "";
}

std::string output_limit_text(const Report& report, const Limits& limits) {
  // The kernel ends a job that writes too large a file with this signal; then it was no stream.
  if (report.signal == SIGXFSZ) {
    return limits.file_bytes.has_value()
               ? "wrote a file larger than the " + format_bytes(*limits.file_bytes) + " allowed"
               : "wrote too large a file";
  }
  return limits.output_bytes.has_value()
             ? "wrote more than the " + format_bytes(*limits.output_bytes) + " allowed"
             : "wrote more than is allowed";
}

std::string outcome_detail(const Report& report, const Limits& limits) {
  switch (report.outcome) {
    case Outcome::kAccepted: return {};
    case Outcome::kNonzeroExit: return fmt::format("exit status {}", report.exit_code.value_or(-1));
    case Outcome::kSignalled: return "killed by " + signal_text(report.signal.value_or(0));
    case Outcome::kTimeLimit:
      return used_of_allowed(time_or_dash(report.cpu_time), "CPU time",
                             allowed_time(limits.cpu_time));
    case Outcome::kWallLimit:
      return used_of_allowed(time_or_dash(report.wall_time), "wall time",
                             allowed_time(limits.wall_time));
    case Outcome::kMemoryLimit:
      return used_of_allowed(size_or_dash(report.memory_peak_bytes), "memory",
                             allowed_size(limits.memory_bytes));
    case Outcome::kOutputLimit: return output_limit_text(report, limits);
    case Outcome::kForbiddenSyscall:
      return report.forbidden_syscall.has_value()
                 ? fmt::format("{} (number {}, {})", report.forbidden_syscall->name,
                               report.forbidden_syscall->number,
                               report.forbidden_syscall->architecture)
                 : "the policy kills for it";
    case Outcome::kFileError:
    case Outcome::kCancelled:
    case Outcome::kInternalError: return {};
  }
  HATCHERY_UNREACHABLE();
}

void append_line(std::string& text, const char* name, const std::string& value) {
  text += fmt::format("{:<19} {}\n", name, value);
}

void append_steps(std::string& text, const StepTimes& steps) {
  const std::array<std::pair<const char*, const std::optional<Nanoseconds>*>, 7> named = {{
      {"queued", &steps.queued},
      {"placed", &steps.placed},
      {"handed over", &steps.handed_over},
      {"exec done", &steps.exec_done},
      {"ended", &steps.ended},
      {"read", &steps.read},
      {"reset before", &steps.reset},
  }};
  for (const auto& [name, time] : named) {
    append_line(text, fmt::format("step {}", name).c_str(), time_or_dash(*time));
  }
}

void append_outputs(std::string& text, const Report& report) {
  for (const Output& output : report.outputs) {
    std::string value = readable_size(output.size);
    if (output.truncated) value += ", truncated";
    if (output.error.has_value()) value = output.error->message();
    append_line(text, fmt::format("output {}", output.name).c_str(), value);
  }
}

}  // namespace

std::string readable_time(Nanoseconds time) {
  const double ns = static_cast<double>(time.count());
  if (ns >= 1e9) return fmt::format("{:.3f} s", ns / 1e9);
  if (ns >= 1e6) return fmt::format("{:.1f} ms", ns / 1e6);
  return fmt::format("{:.1f} µs", ns / 1e3);
}

std::string readable_size(std::uint64_t bytes) {
  constexpr std::array kUnits = {"KiB", "MiB", "GiB", "TiB"};
  if (bytes < 1024) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string outcome_line(const Report& report, const Limits& limits) {
  std::string line = outcome_name(report.outcome);
  const std::string detail = outcome_detail(report, limits);
  if (!detail.empty()) line += ": " + detail;
  if (report.error.has_value()) line += ": " + report.error->message();
  return line;
}

std::string report_text(const Report& report) {
  std::string text;
  append_line(text, "outcome", outcome_name(report.outcome));
  if (report.exit_code.has_value()) {
    append_line(text, "exit code", std::to_string(*report.exit_code));
  }
  if (report.signal.has_value()) append_line(text, "signal", signal_text(*report.signal));
  append_line(text, "CPU time",
              fmt::format("{} (user {}, system {})", time_or_dash(report.cpu_time),
                          time_or_dash(report.cpu_user), time_or_dash(report.cpu_system)));
  append_line(text, "wall time", time_or_dash(report.wall_time));
  append_line(text, "memory peak", size_or_dash(report.memory_peak_bytes));
  append_line(text, "OOM kills", number_or_dash(report.oom_kills));
  std::string processes = number_or_dash(report.process_peak);
  if (report.process_limit_hit.value_or(false)) processes += ", a fork failed at the limit";
  append_line(text, "process peak", processes);
  append_line(text, "page faults",
              fmt::format("{} minor, {} major", number_or_dash(report.minor_faults),
                          number_or_dash(report.major_faults)));
  append_line(text, "context switches",
              fmt::format("{} voluntary, {} involuntary", number_or_dash(report.voluntary_switches),
                          number_or_dash(report.involuntary_switches)));
  append_line(text, "I/O",
              fmt::format("{} read, {} written", size_or_dash(report.io_read_bytes),
                          size_or_dash(report.io_write_bytes)));
  append_line(text, "throttled", time_or_dash(report.throttled_time));
  if (report.cpu_pressure || report.memory_pressure || report.io_pressure)
    append_line(
        text, "waited for",
        fmt::format("CPU {}, memory {}, I/O {}", time_or_dash(report.cpu_pressure),
                    time_or_dash(report.memory_pressure), time_or_dash(report.io_pressure)));
  append_outputs(text, report);
  append_steps(text, report.steps);
  append_line(text, "slot", fmt::format("{} on {}", report.slot, report.host));
  if (report.error.has_value()) append_line(text, "error", report.error->message());
  return text;
}

}  // namespace hatchery::cli
