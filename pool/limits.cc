#include "pool/limits.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <set>

#include "pool/config.h"
#include "pool/nearest_name.h"
#include "pool/units.h"

namespace hatchery {
namespace {

/// Looked up once: files of /sys are read for it, and CPUs are seldom plugged in. Below 1: unknown.
long configured_cpus() {
  static const long configured = ::sysconf(_SC_NPROCESSORS_CONF);
  return configured;
}

/// Once as well: each job asks.
std::uint32_t most_cpus() {
  static const auto most = static_cast<std::uint32_t>(
      std::max<long>(configured_cpus(), static_cast<long>(usable_cpus())));
  return most;
}

constexpr std::uint64_t kMillisecond = 1'000'000;
constexpr std::uint64_t kTenYears = 3650ULL * 24 * 3600 * 1000 * kMillisecond;
constexpr std::uint64_t kMebi = 1ULL << 20;
constexpr std::uint64_t kBytesMax = 1ULL << 50;
constexpr std::uint64_t kProcessesMax = 4'194'304;  // PID_MAX_LIMIT of a 64-bit kernel.
constexpr std::uint64_t kOpenFilesMax = 1'048'576;  // fs.nr_open as the kernel sets it.
// Below it the kernel can't place arguments, environment and the loader's frames.
constexpr std::uint64_t kStackMin = 64ULL << 10;

constexpr std::uint32_t kCpuNumberMax = 8'191;  // NR_CPUS of distribution kernels, less one.
constexpr std::uint32_t kWeightNormal = 100;

constexpr std::array<LimitField, 14> kFields = {{
    {"cpu_time", LimitKind::kDuration, &Limits::cpu_time, kMillisecond, kTenYears,
     "CPU time, user + system, of all processes"},
    {"wall_time", LimitKind::kDuration, &Limits::wall_time, kMillisecond, kTenYears,
     "time from exec to the end"},
    {"memory", LimitKind::kBytes, &Limits::memory_bytes, kMebi, kBytesMax,
     "hard memory limit of all processes, tmpfs included"},
    {"memory_soft", LimitKind::kBytes, &Limits::memory_soft_bytes, kMebi, kBytesMax,
     "above it the kernel reclaims and slows the job"},
    {"processes", LimitKind::kCount, &Limits::processes, 1, kProcessesMax,
     "processes and threads alive at once"},
    {"output", LimitKind::kBytes, &Limits::output_bytes, 0, kBytesMax,
     "what a collector of one stream takes"},
    {"file_size", LimitKind::kBytes, &Limits::file_bytes, 0, kBytesMax,
     "largest file that the job may write"},
    {"open_files", LimitKind::kCount, &Limits::open_files, 4, kOpenFilesMax,
     "descriptors of each process"},
    {"stack", LimitKind::kBytes, &Limits::stack_bytes, kStackMin, kBytesMax,
     "stack of the main thread"},
    {"address_space", LimitKind::kBytes, &Limits::address_space_bytes, kMebi, kBytesMax,
     "address space of each process"},
    {"data", LimitKind::kBytes, &Limits::data_bytes, kMebi, kBytesMax,
     "data segment of each process: heap and private mappings"},
    {"cpu_rate", LimitKind::kCpuRate, &Limits::cpu_rate, 0, 0,
     "in CPUs: at 0.5 the job is throttled to half of one"},
    {"cpu_weight", LimitKind::kCount, &Limits::cpu_weight, 1, 10'000,
     "share under contention; 100 is normal"},
    {"cpu_set", LimitKind::kCpuSet, &Limits::cpu_set, 0, 0, "CPUs the job may use, like \"0-2,5\""},
}};

std::uint64_t number_of(Nanoseconds value) {
  return value.count() < 0 ? 0 : static_cast<std::uint64_t>(value.count());
}

std::string number_text(const LimitField& field, std::uint64_t value) {
  if (field.kind == LimitKind::kBytes) return format_bytes(value);
  if (field.kind != LimitKind::kDuration) return std::to_string(value);
  if (value > std::numeric_limits<std::int64_t>::max()) return "more than 292 years";
  return format_duration(Nanoseconds(static_cast<std::int64_t>(value)));
}

Error wrong(std::string detail, std::string remedy) {
  return Error{Step::kValidateJob, {}, 0, std::move(detail), std::move(remedy)};
}

Result<void> check_number(const LimitField& field, std::uint64_t value) {
  if (value >= field.min && value <= field.max) return {};
  return wrong(number_text(field, value) + " is out of range", "give " + limit_range_text(field));
}

std::string rate_text(double rate) {
  std::array<char, 32> buffer = {};
  const auto end = std::to_chars(buffer.begin(), buffer.end(), rate);
  return {buffer.begin(), end.ptr};
}

Result<void> check_value(const LimitField& field, Nanoseconds value) {
  if (value.count() < 0) return wrong("is negative", "give " + limit_range_text(field));
  return check_number(field, number_of(value));
}
Result<void> check_value(const LimitField& field, std::uint64_t value) {
  return check_number(field, value);
}
Result<void> check_value(const LimitField& field, std::uint32_t value) {
  return check_number(field, value);
}
Result<void> check_value(const LimitField& field, double value) {
  // Written so that NaN fails.
  if (value >= kCpuRateMin && value <= static_cast<double>(usable_cpus())) return {};
  return wrong(rate_text(value) + " is out of range", "give " + limit_range_text(field));
}
Result<void> check_value(const LimitField&, const std::string& value) {
  Result<std::vector<std::uint32_t>> cpus = parse_cpu_set(value);
  if (!cpus) return std::move(cpus).error();
  const long configured = configured_cpus();
  if (configured < 1 || cpus->back() < static_cast<unsigned long>(configured)) return {};
  return wrong(quote(value) + " names CPU " + std::to_string(cpus->back()) +
                   ", which this machine doesn't have",
               "use CPUs 0-" + std::to_string(configured - 1));
}

Error placed(Error error, Step step, std::string_view prefix, const char* key) {
  error.step = step;
  error.object = std::string(prefix) + key;
  return error;
}

template <typename T>
bool exceeds(const T& value, const T& maximum) {
  return value > maximum;
}
/// A CPU set exceeds another when it has a CPU that the other hasn't.
bool exceeds(const std::string& value, const std::string& maximum) {
  const Result<std::vector<std::uint32_t>> asked = parse_cpu_set(value);
  const Result<std::vector<std::uint32_t>> allowed = parse_cpu_set(maximum);
  if (!asked || !allowed) return true;
  return !std::includes(allowed->begin(), allowed->end(), asked->begin(), asked->end());
}

std::string value_text(const LimitField& field, Nanoseconds value) {
  return number_text(field, number_of(value));
}
std::string value_text(const LimitField& field, std::uint64_t value) {
  return number_text(field, value);
}
std::string value_text(const LimitField& field, std::uint32_t value) {
  return number_text(field, value);
}
std::string value_text(const LimitField&, double value) { return rate_text(value); }
std::string value_text(const LimitField&, const std::string& value) { return quote(value); }

/// What holds for a job when neither it nor the profile's defaults say anything: the maximum,
/// except for the weight, where saying nothing means the normal one, and for the CPUs of a pinned
/// slot.
template <typename T>
std::optional<T> fallback(const LimitField& field, const std::optional<T>& maximum, bool pinned) {
  if constexpr (std::is_same_v<T, std::string>) {
    if (pinned) return std::nullopt;  // The slot's CPU is one of the maximum's.
  }
  if constexpr (std::is_same_v<T, std::uint32_t>) {
    if (field.member == LimitMember(&Limits::cpu_weight) && maximum.value_or(0) >= kWeightNormal) {
      return std::nullopt;
    }
  }
  return maximum;
}

template <typename T>
Result<void> fill(Limits& limits, const LimitField& field, std::optional<T> Limits::*member,
                  const Profile& profile) {
  std::optional<T>& value = limits.*member;
  const std::optional<T>& maximum = profile.maximums.*member;
  if (!value.has_value()) value = profile.defaults.*member;
  if (!value.has_value()) value = fallback(field, maximum, profile.pin_slots);
  if (!value.has_value() || !maximum.has_value() || !exceeds(*value, *maximum)) return {};
  return wrong(value_text(field, *value) + " is above the maximum of profile " +
                   quote(profile.name) + ", " + value_text(field, *maximum),
               "ask for at most " + value_text(field, *maximum) +
                   ", or have the operator raise maximums." + field.key);
}

}  // namespace

std::span<const LimitField> limit_fields() { return kFields; }

const LimitField* find_limit_field(std::string_view key) {
  for (const LimitField& field : kFields) {
    if (key == field.key) return &field;
  }
  return nullptr;
}

std::string limit_range_text(const LimitField& field) {
  switch (field.kind) {
    case LimitKind::kDuration:
    case LimitKind::kBytes:
    case LimitKind::kCount:
      return number_text(field, field.min) + " to " + number_text(field, field.max);
    case LimitKind::kCpuRate:
      return rate_text(kCpuRateMin) + " to " + std::to_string(usable_cpus()) + " (CPUs)";
    case LimitKind::kCpuSet: return "a list of CPU numbers and ranges, like \"0-2,5\"";
  }
  HATCHERY_UNREACHABLE();
}

Result<void> set_limit_number(Limits& limits, const LimitField& field, std::uint64_t value) {
  HATCHERY_TRY(check_number(field, value));
  if (const auto* time = std::get_if<std::optional<Nanoseconds> Limits::*>(&field.member)) {
    limits.*(*time) = Nanoseconds(static_cast<std::int64_t>(value));
  } else if (const auto* bytes =
                 std::get_if<std::optional<std::uint64_t> Limits::*>(&field.member)) {
    limits.*(*bytes) = value;
  } else if (const auto* count =
                 std::get_if<std::optional<std::uint32_t> Limits::*>(&field.member)) {
    limits.*(*count) = static_cast<std::uint32_t>(value);
  } else {
    HATCHERY_UNREACHABLE();
  }
  return {};
}

Result<void> check_limits(const Limits& limits, Step step, std::string_view prefix) {
  for (const LimitField& field : kFields) {
    Result<void> checked = std::visit(
        [&](auto member) -> Result<void> {
          const auto& value = limits.*member;
          return value.has_value() ? check_value(field, *value) : Result<void>();
        },
        field.member);
    if (!checked) return placed(std::move(checked).error(), step, prefix, field.key);
  }
  if (limits.memory_soft_bytes.has_value() && limits.memory_bytes.has_value() &&
      *limits.memory_soft_bytes > *limits.memory_bytes) {
    return placed(wrong(format_bytes(*limits.memory_soft_bytes) + " is above memory, " +
                            format_bytes(*limits.memory_bytes) + ", and would never take effect",
                        "give at most the hard limit"),
                  step, prefix, "memory_soft");
  }
  return {};
}

std::uint32_t reachable_cpus(const Limits& limits) {
  if (limits.cpu_set.has_value()) {
    const Result<std::vector<std::uint32_t>> cpus = parse_cpu_set(*limits.cpu_set);
    if (cpus) return static_cast<std::uint32_t>(cpus->size());
  }
  return most_cpus();
}

std::vector<std::uint32_t> usable_cpu_numbers() {
  // The size doubles until the kernel's own mask fits: a cpu_set_t has room for 1,024 only.
  for (std::size_t cpus = 1024; cpus <= (1U << 20U); cpus *= 2) {
    cpu_set_t* set = CPU_ALLOC(cpus);
    if (set == nullptr) break;
    const std::size_t size = CPU_ALLOC_SIZE(cpus);
    std::vector<std::uint32_t> numbers;
    if (::sched_getaffinity(0, size, set) == 0)
      for (std::uint32_t cpu = 0; cpu < cpus; ++cpu)
        if (CPU_ISSET_S(cpu, size, set)) numbers.push_back(cpu);
    CPU_FREE(set);
    if (!numbers.empty()) return numbers;
  }
  return {0};
}

std::uint32_t usable_cpus() { return static_cast<std::uint32_t>(usable_cpu_numbers().size()); }

Result<std::vector<std::uint32_t>> parse_cpu_set(std::string_view text) {
  const Error not_a_list =
      wrong(quote(text) + " is not a list of CPUs", "give numbers and ranges, like \"0-2,5\"");
  std::set<std::uint32_t> cpus;
  const char* cursor = text.data();
  const char* const end = text.data() + text.size();
  while (true) {
    std::uint32_t first = 0;
    auto parsed = std::from_chars(cursor, end, first);
    if (parsed.ec != std::errc()) return not_a_list;
    std::uint32_t last = first;
    if (parsed.ptr != end && *parsed.ptr == '-') {
      parsed = std::from_chars(parsed.ptr + 1, end, last);
      if (parsed.ec != std::errc()) return not_a_list;
    }
    if (last < first || last > kCpuNumberMax) return not_a_list;
    for (std::uint32_t cpu = first; cpu <= last; ++cpu) cpus.insert(cpu);
    if (parsed.ptr == end) break;
    if (*parsed.ptr != ',') return not_a_list;
    cursor = parsed.ptr + 1;
  }
  return std::vector<std::uint32_t>(cpus.begin(), cpus.end());
}

Result<Limits> effective_limits(const Limits& asked, const Profile& profile) {
  HATCHERY_TRY(check_limits(asked, Step::kValidateJob, "limits."));
  Limits limits = asked;
  for (const LimitField& field : kFields) {
    Result<void> filled =
        std::visit([&](auto member) { return fill(limits, field, member, profile); }, field.member);
    if (!filled) {
      return placed(std::move(filled).error(), Step::kValidateJob, "limits.", field.key);
    }
  }
  // A soft limit that the job didn't ask for follows the hard one that it did.
  if (!asked.memory_soft_bytes.has_value() && limits.memory_soft_bytes.has_value() &&
      limits.memory_bytes.has_value()) {
    limits.memory_soft_bytes = std::min(*limits.memory_soft_bytes, *limits.memory_bytes);
  }
  HATCHERY_TRY(check_limits(limits, Step::kValidateJob, "limits."));
  return limits;
}

}  // namespace hatchery
