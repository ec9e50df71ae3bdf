#include "pool/job_plan.h"

#include <sys/resource.h>

#include <algorithm>
#include <climits>
#include <cstring>

#include "pool/units.h"

namespace hatchery {
namespace {

constexpr std::size_t kFdsOfJobMax = 64;
constexpr std::size_t kFilesMax = 4096;
/// MAX_ARG_STRLEN of the kernel, the NUL included.
constexpr std::size_t kStringBytesMax = 131'072;
constexpr std::uint64_t kExecBytesMax = 6ULL << 20;
/// All places to look for a command together.
constexpr std::uint64_t kSearchBytesMax = 1ULL << 20;
// Beside them a plan has the working directory, the label and tables of at most 64 descriptors.
static_assert(kExecBytesMax + 2 * kSearchBytesMax <= protocol::kPlanBytesMax);

bool has_nul(const std::string& text) { return text.find('\0') != std::string::npos; }

}  // namespace

Error bad_job(std::string object, std::string detail, std::string remedy) {
  return Error{.step = Step::kValidateJob,
               .object = std::move(object),
               .detail = std::move(detail),
               .remedy = std::move(remedy)};
}

Result<void> validate_path(const std::string& field, const std::string& path) {
  if (path.empty() || has_nul(path) || path.size() > 4000)
    return bad_job(field, "is empty, too long or has a NUL byte", "give a path below /w or /tmp");
  const bool absolute = path[0] == '/';
  if (absolute && path.compare(0, 3, "/w/") != 0 && path.compare(0, 5, "/tmp/") != 0)
    return bad_job(field, "\"" + path + "\" is outside of /w and /tmp",
                   "give a path relative to /w, or below /w/ or /tmp/");
  const std::string slashed = path + "/";
  if (slashed.find("/../") != std::string::npos || slashed.compare(0, 3, "../") == 0)
    return bad_job(field, "\"" + path + "\" has \"..\"", "give a path without it");
  return {};
}

namespace {

Result<void> check_strings(const std::string& field, const std::vector<std::string>& strings) {
  for (std::size_t i = 0; i < strings.size(); ++i)
    if (strings[i].size() >= kStringBytesMax)
      return bad_job(field + "[" + std::to_string(i) + "]",
                     "has " + std::to_string(strings[i].size()) + " bytes",
                     "the kernel takes at most 131071 in one; pass it in a file");
  return {};
}

std::uint64_t exec_size(const std::vector<std::string>& strings) {
  std::uint64_t size = 0;
  for (const std::string& string : strings) size += string.size() + 1 + sizeof(char*);
  return size;
}

/// What execve(2) lets arguments and environment take: a quarter of the stack's limit, at least 128
/// KiB and at most 6 MiB (since Linux 4.13).
std::uint64_t exec_size_max(const Limits& limits) {
  rlimit own{};
  ::getrlimit(RLIMIT_STACK, &own);
  const std::uint64_t stack = limits.stack_bytes.value_or(own.rlim_cur);
  return std::clamp<std::uint64_t>(stack / 4, 128ULL << 10, kExecBytesMax);
}

Result<void> validate_fds(const JobSpec& spec) {
  if (spec.fds.size() > kFdsOfJobMax)
    return bad_job("fds", "has more than 64 descriptors", "give fewer");
  for (const auto& [number, stream] : spec.fds) {
    const std::string field = "fds[" + std::to_string(number) + "]";
    if (number < 0 || number >= protocol::kJobFdsEnd)
      return bad_job(field, "is out of range", "use numbers 0 to 1023");
    if (const auto* same = std::get_if<SameAsStream>(&stream)) {
      const auto original = spec.fds.find(same->fd);
      const bool standard = same->fd >= 0 && same->fd <= 2;
      if (same->fd == number || (original == spec.fds.end() && !standard) ||
          (original != spec.fds.end() && std::holds_alternative<SameAsStream>(original->second)))
        return bad_job(field, "same_as names no other descriptor of the job",
                       "name one that is not itself a same_as");
    }
    if (const auto* lent = std::get_if<CallerFdStream>(&stream); lent != nullptr && lent->fd < 0)
      return bad_job(field, "is a negative descriptor of the caller", "lend an open one");
    if (const auto* file = std::get_if<FileCollectorStream>(&stream))
      HATCHERY_TRY(validate_path(field + ".path", file->path));
  }
  return {};
}

/// Grows a body; every string ends in NUL, tables are 8-aligned.
class BodyWriter {
 public:
  std::uint64_t text(const std::string& value) {
    const std::uint64_t offset = body_.size();
    body_.append(value).push_back('\0');
    return offset;
  }
  std::uint32_t table(const void* bytes, std::size_t size) {
    body_.resize((body_.size() + 7) / 8 * 8, '\0');
    const auto offset = static_cast<std::uint32_t>(body_.size());
    body_.append(static_cast<const char*>(bytes), size);
    return offset;
  }
  std::uint32_t strings(const std::vector<std::string>& values) {
    std::vector<std::uint64_t> offsets;
    offsets.reserve(values.size() + 1);
    for (const std::string& value : values) offsets.push_back(text(value));
    offsets.push_back(0);
    return table(offsets.data(), offsets.size() * sizeof offsets[0]);
  }
  std::string finish() {
    body_.push_back('\0');
    return std::move(body_);
  }

 private:
  // Offset 0 ends a table, so that nothing else may stand there.
  std::string body_ = std::string(8, '\0');
};

std::string search_path(const std::vector<std::string>& env) {
  std::string path = "/usr/local/bin:/usr/bin:/bin";
  for (const std::string& variable : env)
    if (variable.compare(0, 5, "PATH=") == 0) path = variable.substr(5);
  return path;
}

std::vector<std::string> exec_candidates(const JobSpec& spec, const std::vector<std::string>& env) {
  const std::string& command = spec.args[0];
  if (command.find('/') != std::string::npos) return {command};
  const std::string path = search_path(env);
  std::vector<std::string> candidates;
  if (spec.search_working_directory) candidates.push_back("./" + command);
  for (std::size_t start = 0; start <= path.size();) {
    const std::size_t end = std::min(path.find(':', start), path.size());
    const std::string directory = path.substr(start, end - start);
    candidates.push_back((directory.empty() ? "." : directory) + "/" + command);
    start = end + 1;
  }
  return candidates;
}

std::vector<protocol::Rlimit> rlimits(const Limits& limits, CgroupUse cgroup) {
  std::vector<protocol::Rlimit> all;
  const auto add = [&all](unsigned resource, std::optional<std::uint64_t> value) {
    if (value) all.push_back({resource, 0, *value, *value});
  };
  add(RLIMIT_FSIZE, limits.file_bytes);
  add(RLIMIT_STACK, limits.stack_bytes);
  std::optional<std::uint64_t> address_space = limits.address_space_bytes;
  if (cgroup == CgroupUse::kNone) {
    if (limits.memory_bytes)
      address_space = std::min(address_space.value_or(*limits.memory_bytes), *limits.memory_bytes);
    // Of the slot's own user, so of the job (getrlimit(2)).
    if (limits.processes) add(RLIMIT_NPROC, *limits.processes);
    if (limits.cpu_time) {
      // SIGXCPU, and to a process that lives on SIGKILL a second later.
      const auto seconds = static_cast<std::uint64_t>(
          std::chrono::ceil<std::chrono::seconds>(*limits.cpu_time).count());
      all.push_back({RLIMIT_CPU, 0, seconds, seconds + 1});
    }
  }
  add(RLIMIT_AS, address_space);
  add(RLIMIT_DATA, limits.data_bytes);
  if (limits.open_files) add(RLIMIT_NOFILE, *limits.open_files);
  return all;
}

}  // namespace

Result<void> validate_job(const JobSpec& spec) {
  if (spec.args.empty() || spec.args[0].empty())
    return bad_job("args", "is empty", "give a command");
  for (const std::string& argument : spec.args)
    if (has_nul(argument)) return bad_job("args", "has a NUL byte", "remove it");
  if (spec.env) {
    for (const std::string& variable : *spec.env) {
      const std::size_t equals = variable.find('=');
      if (has_nul(variable) || equals == std::string::npos || equals == 0)
        return bad_job("env", "\"" + variable + "\" is not NAME=value", "write it so");
    }
  }
  if (spec.working_directory.empty() || spec.working_directory[0] != '/' ||
      has_nul(spec.working_directory) || spec.working_directory.size() > 4000)
    return bad_job("cwd", "\"" + spec.working_directory + "\" is no absolute path",
                   "give one, such as /w");
  HATCHERY_TRY(validate_fds(spec));
  if (spec.files_in.size() > kFilesMax || spec.files_out.size() > kFilesMax)
    return bad_job("files_in or files_out", "has more than 4096 entries", "give a directory");
  for (std::size_t i = 0; i < spec.files_in.size(); ++i) {
    const std::string field = "files_in[" + std::to_string(i) + "]";
    HATCHERY_TRY(validate_path(field + ".path", spec.files_in[i].path));
    if (spec.files_in[i].mode.value_or(0) > 0777)
      return bad_job(field + ".mode", "has more than permission bits", "use 0000 to 0777");
    const auto* link = std::get_if<FileIn::Symlink>(&spec.files_in[i].source);
    if (link != nullptr && (link->target.empty() || has_nul(link->target)))
      return bad_job(field + ".symlink", "is empty or has a NUL byte", "give the path it leads to");
  }
  for (std::size_t i = 0; i < spec.files_out.size(); ++i) {
    const FileOut& file = spec.files_out[i];
    const std::string field = "files_out[" + std::to_string(i) + "]";
    HATCHERY_TRY(validate_path(field + ".path", file.path));
    if (!file.store && file.bytes_max > kOutputBytesMax)
      return bad_job(field + ".max", format_bytes(file.bytes_max) + " is too much for a report",
                     "give at most " + format_bytes(kOutputBytesMax) + ", or store the file");
  }
  return {};
}

Result<void> check_arguments(const JobSpec& spec, const Profile& profile, const Limits& limits) {
  const std::vector<std::string>& env = spec.env ? *spec.env : profile.env;
  const std::string& command = spec.args[0];
  if (command.size() >= PATH_MAX)
    return bad_job("args[0]", "has " + std::to_string(command.size()) + " bytes",
                   "a command has at most 4095");
  HATCHERY_TRY(check_strings("args", spec.args));
  HATCHERY_TRY(check_strings(spec.env ? "env" : "env of the profile", env));
  // The kernel counts the strings, a pointer for each, and the path of the command: execve(2).
  const std::uint64_t size = exec_size(spec.args) + exec_size(env) + PATH_MAX;
  const std::uint64_t most = exec_size_max(limits);
  if (size > most)
    return bad_job(
        "args",
        "and env take " + std::to_string(size) +
            " bytes, 8 of them for each "
            "string's address; the kernel takes " +
            std::to_string(most),
        "pass the rest in a file, or raise limits.stack: a quarter of it, at most 6 MiB");
  const std::string path = search_path(env);
  const auto directories =
      1 + static_cast<std::uint64_t>(std::count(path.begin(), path.end(), ':'));
  if (path.size() + directories * (command.size() + 16) > kSearchBytesMax)
    return bad_job("env", "has a PATH of " + std::to_string(directories) + " directories",
                   "shorten it, or give the command with its path");
  return {};
}

Result<void> check_collectors(const JobSpec& spec, const Limits& limits) {
  std::uint64_t total = 0;
  for (const auto& [number, stream] : spec.fds) {
    std::optional<std::uint64_t> asked;
    if (const auto* collector = std::get_if<CollectorStream>(&stream))
      asked = collector->bytes_max;
    else if (const auto* file = std::get_if<FileCollectorStream>(&stream))
      asked = file->bytes_max;
    else
      continue;
    const std::string field = asked ? "fds[" + std::to_string(number) + "].max" : "limits.output";
    const std::uint64_t bytes = asked.value_or(limits.output_bytes.value_or(kOutputBytesMax));
    if (bytes > kOutputBytesMax)
      return bad_job(field, format_bytes(bytes) + " is too much for a report",
                     "give at most " + format_bytes(kOutputBytesMax) +
                         ", or let the job write to a file or descriptor");
    total += bytes;
  }
  if (total > kReportBytesMax)
    return bad_job("fds", "collect up to " + format_bytes(total) + " together",
                   "give them caps of at most " + format_bytes(kReportBytesMax) + " in all");
  return {};
}

EncodedJob encode_job(const JobSpec& spec, const Profile& profile, const Limits& limits,
                      CgroupUse cgroup) {
  const std::vector<std::string>& env = spec.env ? *spec.env : profile.env;
  EncodedJob job;
  BodyWriter writer;
  job.header.argv = writer.strings(spec.args);
  job.header.envp = writer.strings(env);
  job.header.paths = writer.strings(exec_candidates(spec, env));
  job.header.working_directory = static_cast<std::uint32_t>(writer.text(spec.working_directory));
  const std::size_t label_bytes = profile.selinux_type.empty() ? 0 : protocol::kLabelBytes;
  job.header.label = static_cast<std::uint32_t>(writer.text(std::string(label_bytes, '\0')));
  const std::vector<protocol::Rlimit> limit_table = rlimits(limits, cgroup);
  job.header.rlimits =
      writer.table(limit_table.data(), limit_table.size() * sizeof(protocol::Rlimit));
  job.header.controlling_terminal = spec.controlling_terminal ? 1 : 0;
  job.header.rlimits_count = static_cast<std::uint32_t>(limit_table.size());
  // Those that copy another come last: the worker places them in this order.
  for (const bool copies : {false, true})
    for (const auto& [number, stream] : spec.fds)
      if (std::holds_alternative<SameAsStream>(stream) == copies)
        job.fds.push_back({number, protocol::kFdNull});
  job.header.fds = writer.table(job.fds.data(), job.fds.size() * sizeof(protocol::FdEntry));
  job.header.fds_count = static_cast<std::uint32_t>(job.fds.size());
  job.body = writer.finish();
  job.header.body_size = static_cast<std::uint32_t>(job.body.size());
  return job;
}

void store_label(EncodedJob& job, const std::string& exec_context) {
  HATCHERY_CHECK(exec_context.size() < protocol::kLabelBytes);
  std::memcpy(job.body.data() + job.header.label, exec_context.data(), exec_context.size());
}

void store_fd_entries(EncodedJob& job) {
  if (!job.fds.empty())
    std::memcpy(job.body.data() + job.header.fds, job.fds.data(),
                job.fds.size() * sizeof(protocol::FdEntry));
}

}  // namespace hatchery
