#include "pool/server/go_judge_jobs.h"

#include <signal.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <cerrno>
#include <limits>
#include <utility>

#include "pool/job_plan.h"
#include "pool/limits.h"
#include "pool/server/host_paths.h"
#include "pool/utf8.h"

namespace hatchery::server::go_judge {
namespace {

namespace json = boost::json;

constexpr std::uint32_t kAllModes = 0777;

/// `value` within what the pool takes for that limit: go-judge's zero and huge limits have a
/// meaning too.
std::uint64_t within(const char* key, std::uint64_t value) {
  const LimitField* field = find_limit_field(key);
  return std::clamp(value, field->min, field->max);
}

std::uint64_t plus(std::uint64_t a, std::uint64_t b) {
  return a > std::numeric_limits<std::uint64_t>::max() - b
             ? std::numeric_limits<std::uint64_t>::max()
             : a + b;
}

Nanoseconds time_limit(const char* key, std::uint64_t ns) {
  return Nanoseconds(static_cast<std::int64_t>(within(key, ns)));
}

Limits limits_of(const Cmd& cmd, const Settings& settings) {
  Limits limits;
  const std::uint64_t memory = plus(cmd.memory_limit, settings.extra_memory_limit);
  const std::uint64_t clock = cmd.clock_limit_ns > 0 ? cmd.clock_limit_ns : cmd.cpu_limit_ns;
  limits.cpu_time = time_limit("cpu_time", cmd.cpu_limit_ns);
  limits.wall_time = time_limit("wall_time", clock);
  limits.memory_bytes = within("memory", memory);
  limits.processes = static_cast<std::uint32_t>(within("processes", cmd.proc_limit));
  limits.file_bytes = within("file_size", settings.output_limit);
  limits.open_files = static_cast<std::uint32_t>(within("open_files", settings.open_file_limit));
  if (cmd.stack_limit > 0) limits.stack_bytes = within("stack", std::min(cmd.stack_limit, memory));
  if (cmd.data_segment_limit) limits.data_bytes = within("data", memory);
  if (cmd.address_space_limit) limits.address_space_bytes = within("address_space", memory);
  if (settings.cpu_rate && cmd.cpu_rate_limit > 0)
    limits.cpu_rate = std::clamp(static_cast<double>(cmd.cpu_rate_limit) / 1000, kCpuRateMin,
                                 static_cast<double>(usable_cpus()));
  if (!cmd.cpu_set_limit.empty()) limits.cpu_set = cmd.cpu_set_limit;
  return limits;
}

/// Turns one command into a job.
class Preparer {
 public:
  Preparer(const Settings& settings, StoredFiles& files) : settings_(settings), files_(files) {}

  PreparedJob prepare(Cmd& cmd) {
    PreparedJob job;
    job.cpu_limit_ns = cmd.cpu_limit_ns;
    job.memory_limit = cmd.memory_limit;
    job.tty = cmd.tty;
    job.bare_command = !cmd.args.empty() && cmd.args[0].find('/') == std::string::npos;
    job.spec.args = std::move(cmd.args);
    job.spec.env = std::move(cmd.env);
    job.spec.search_working_directory = true;
    job.spec.limits = limits_of(cmd, settings_);
    if (cmd.proc_limit == 0) job.internal_error = "procLimit is 0: no process can start";
    add_files(cmd, job);
    for (auto& [path, source] : cmd.copy_in)
      if (!std::holds_alternative<Symlink>(source)) add_copy_in(path, source, job);
    // After all others, and never below one of them.
    for (auto& [path, source] : cmd.copy_in)
      if (std::holds_alternative<Symlink>(source)) add_copy_in(path, source, job);
    return job;
  }

  /// After the proxies' names are known, which are no files.
  void add_copies_out(Cmd& cmd, const std::set<std::string>& proxied, PreparedJob& job) {
    const std::uint64_t cap = cmd.copy_out_max > 0 ? cmd.copy_out_max : settings_.copy_out_limit;
    const auto add = [&](const CopyOut& file, bool store) {
      if (job.collectors.contains(file.name) || proxied.contains(file.name)) {
        if (store) job.cached.insert(file.name);
        return;
      }
      if (!validate_path("", file.name)) {
        if (!file.optional)
          job.unreachable.push_back({file.name, "CopyOutOpen", "only /w and /tmp are copied from"});
        return;
      }
      job.copy_out.push_back(file);
      job.spec.files_out.push_back({.path = file.name,
                                    .bytes_max = store ? cap : std::min(cap, kOutputBytesMax),
                                    .optional = file.optional,
                                    .store = store,
                                    .truncate = cmd.copy_out_truncate});
    };
    for (const CopyOut& file : cmd.copy_out) add(file, false);
    for (const CopyOut& file : cmd.copy_out_cached) add(file, true);
  }

  const std::optional<Refusal>& refusal() const { return refusal_; }

 private:
  void refuse(int status, std::string sentence) {
    if (!refusal_) refusal_ = Refusal{status, std::move(sentence)};
  }

  /// The host path to open, or "" after a refusal.
  std::string local_path(const std::string& path) {
    if (settings_.src_prefixes.empty()) return path;
    std::string real = path_below(path, settings_.src_prefixes);
    if (!real.empty()) return real;
    std::string prefixes;
    for (const std::string& prefix : settings_.src_prefixes)
      prefixes += (prefixes.empty() ? "" : " ") + prefix;
    refuse(400, "file (" + path + ") does not under ([" + prefixes + "])");
    return {};
  }

  bool stored(const std::string& id) {
    if (files_.use(id)) return true;
    refuse(500, "file does not exists with id: \"" + id + "\"");
    return false;
  }

  void add_files(Cmd& cmd, PreparedJob& job) {
    std::map<std::string, int> first;  // The descriptor that a collector's name has already.
    for (std::size_t i = 0; i < cmd.files.size(); ++i) {
      const int fd = static_cast<int>(i);
      File& file = cmd.files[i];
      if (auto* local = std::get_if<LocalFile>(&file)) {
        job.spec.fds[fd] = HostFileStream{local_path(local->path)};
      } else if (auto* memory = std::get_if<MemoryFile>(&file)) {
        job.spec.fds[fd] = BytesStream{std::move(memory->content)};
      } else if (auto* cached = std::get_if<CachedFile>(&file)) {
        if (stored(cached->id)) job.spec.fds[fd] = files_.stream(cached->id);
      } else if (auto* collector = std::get_if<Collector>(&file)) {
        add_collector(*collector, fd, first, job);
      } else if (!std::holds_alternative<std::monostate>(file)) {
        job.streams.push_back({fd, std::holds_alternative<StreamIn>(file)});
      }
    }
  }

  void add_collector(const Collector& collector, int fd, std::map<std::string, int>& first,
                     PreparedJob& job) const {
    std::uint64_t& max = job.collectors[collector.name];
    max = std::max(max, collector.max);
    const auto [known, is_new] = first.try_emplace(collector.name, fd);
    if (!is_new) {
      job.spec.fds[fd] = SameAsStream{known->second};
      return;
    }
    // One byte more shows that there is more.
    const std::uint64_t bytes_max = std::min(collector.max, kOutputBytesMax - 1) + 1;
    if (collector.pipe) {
      job.spec.fds[fd] = CollectorStream{collector.name, bytes_max, true};
      return;
    }
    if (!validate_path("", collector.name))
      job.internal_error = "file collector \"" + collector.name + "\" is outside of /w and /tmp";
    job.spec.fds[fd] = FileCollectorStream{collector.name, bytes_max, settings_.named_collectors};
  }

  void add_copy_in(const std::string& path, CopyIn& source, PreparedJob& job) {
    Incoming incoming{.path = path, .host_path = {}};
    FileIn file{.path = path, .source = FileIn::Directory{}, .mode = kAllModes};
    if (auto* local = std::get_if<LocalFile>(&source)) {
      incoming.host_path = local_path(local->path);
      file.source = FileIn::HostFile{incoming.host_path};
    } else if (auto* memory = std::get_if<MemoryFile>(&source)) {
      file.source = FileIn::Bytes{std::move(memory->content)};
    } else if (auto* cached = std::get_if<CachedFile>(&source)) {
      if (stored(cached->id)) file.source = files_.file_in(cached->id, path).source;
    } else if (auto* link = std::get_if<Symlink>(&source)) {
      incoming.symlink = true;
      file.source = FileIn::Symlink{link->target};
    } else {
      job.file_errors.push_back({path, "CopyInOpenFile", "a collector is no source"});
      return;
    }
    if (const Result<void> valid = validate_path("copyIn", path); !valid)
      job.file_errors.push_back(
          {path, incoming.symlink ? "Symlink" : "CopyInCreateFile", valid.error().detail});
    job.incoming.push_back(std::move(incoming));
    job.spec.files_in.push_back(std::move(file));
  }

  const Settings& settings_;
  StoredFiles& files_;
  std::optional<Refusal> refusal_;
};

/// Wires the commands by pipes.
std::optional<Refusal> wire(const std::vector<PipeMap>& pipes, std::vector<Cmd>& cmds,
                            PreparedRequest& prepared) {
  std::size_t pipe = 0;
  std::set<std::pair<std::uint32_t, std::uint32_t>> wired;
  const auto attach = [&](const PipeEnd& end, bool write, bool proxied) -> std::optional<Refusal> {
    const std::string place = std::to_string(end.index) + "/" + std::to_string(end.fd);
    if (end.index >= cmds.size())
      return Refusal{500, "pipeMapping: no command has the index " + std::to_string(end.index)};
    std::vector<File>& files = cmds[end.index].files;
    if (files.size() <= end.fd) files.resize(end.fd + 1);
    if (!std::holds_alternative<std::monostate>(files[end.fd]) ||
        !wired.insert({end.index, end.fd}).second)
      return Refusal{500, "pipeMapping: index/fd " + place + " is occupied already"};
    if (!proxied)
      prepared.jobs[end.index].spec.fds[static_cast<int>(end.fd)] = PipeStream{pipe, write};
    return std::nullopt;
  };
  for (const PipeMap& map : pipes) {
    for (const bool write : {true, false})
      if (auto refusal = attach(write ? map.in : map.out, write, map.proxy)) return refusal;
    if (map.proxy)
      prepared.proxies.push_back(map);
    else
      ++pipe;
  }
  for (std::uint32_t i = 0; i < cmds.size(); ++i)
    for (std::uint32_t fd = 0; fd < cmds[i].files.size(); ++fd)
      if (std::holds_alternative<std::monostate>(cmds[i].files[fd]) && !wired.contains({i, fd}))
        return Refusal{500,
                       "null file for index/fd: " + std::to_string(i) + "/" + std::to_string(fd)};
  return std::nullopt;
}

json::value errors_value(const std::vector<FileError>& errors) {
  json::array array;
  for (const FileError& error : errors) {
    json::object object{{"name", utf8_or_replaced(error.name)}, {"type", error.type}};
    if (!error.message.empty()) object["message"] = utf8_or_replaced(error.message);
    array.push_back(std::move(object));
  }
  return array;
}

/// A result in go-judge's order of fields.
struct ResultFields {
  std::string status;
  int exit_status = 0;
  std::string error = {};
  std::uint64_t time = 0;
  std::uint64_t memory = 0;
  std::uint64_t run_time = 0;
  std::uint64_t proc_peak = 0;
  json::object files = {};
  json::object file_ids = {};
  std::vector<FileError> file_errors = {};
};

ResultText to_text(ResultFields fields) {
  json::object result{{"status", fields.status}, {"exitStatus", fields.exit_status}};
  if (!fields.error.empty()) result["error"] = utf8_or_replaced(fields.error);
  result["time"] = fields.time;
  result["memory"] = fields.memory;
  result["runTime"] = fields.run_time;
  if (fields.proc_peak > 0) result["procPeak"] = fields.proc_peak;
  if (!fields.files.empty()) result["files"] = std::move(fields.files);
  if (!fields.file_ids.empty()) result["fileIds"] = std::move(fields.file_ids);
  if (!fields.file_errors.empty()) result["fileError"] = errors_value(fields.file_errors);
  return {fields.status, json::serialize(result)};
}

/// Which file in an error of placing is about, and what went-wrong is called.
FileError incoming_error(const PreparedJob& job, const Error& error) {
  FileError result{error.object, "CopyInCreateFile", error.message()};
  if (error.step == Step::kOpenInput || error.step == Step::kStoreFile)
    result.type = "CopyInOpenFile";
  else if (error.errnum == ENOSPC || error.errnum == ENOMEM)
    result.type = "CopyInCopyContent";
  else if (error.errnum == ENOTDIR)
    result.type = "CopyInCreateDir";
  for (const Incoming& file : job.incoming) {
    const bool same = !file.host_path.empty() && file.host_path == error.object;
    if (!same && !("/" + file.path).ends_with("/" + error.object)) continue;
    result.name = file.path;
    if (file.symlink) result.type = "Symlink";
    break;
  }
  return result;
}

bool is_placing_error(const Report& report) {
  return report.outcome == Outcome::kFileError && report.error && !report.exit_code &&
         !report.signal &&
         (report.error->step == Step::kOpenInput || report.error->step == Step::kCopyIn ||
          report.error->step == Step::kStoreFile);
}

/// An error of the start itself, in the words that go-judge's clients know.
std::string start_error(const PreparedJob& job, const Error& error) {
  if (error.step == Step::kWorkerExec && error.errnum == ENOENT && job.bare_command)
    return "executable file not found in $PATH";
  return error.message();
}

const char* status_by_exit(const Report& report) {
  if (report.forbidden_syscall) return "Dangerous Syscall";
  if (report.exit_code) return *report.exit_code == 0 ? "Accepted" : "Nonzero Exit Status";
  switch (report.signal.value_or(0)) {
    case SIGXCPU:
    case SIGKILL: return "Time Limit Exceeded";
    case SIGXFSZ: return "Output Limit Exceeded";
    case SIGSYS: return "Dangerous Syscall";
    default: return "Signalled";
  }
}

/// In go-judge's order of decision; where that guesses who killed the job, the pool knows.
std::string decide_status(const PreparedJob& job, const Report& report, const ResultFields& fields,
                          bool output_over) {
  std::string status = status_by_exit(report);
  if (status == "Accepted" && output_over) status = "Output Limit Exceeded";
  if (status == "Accepted" && !fields.file_errors.empty()) status = "File Error";
  const bool by_limit =
      report.outcome == Outcome::kTimeLimit || report.outcome == Outcome::kWallLimit;
  if (fields.time > job.cpu_limit_ns || by_limit) status = "Time Limit Exceeded";
  if (fields.memory > job.memory_limit || report.oom_kills.value_or(0) > 0)
    return "Memory Limit Exceeded";
  const bool in_time = fields.time <= job.cpu_limit_ns && !by_limit;
  if (status == "Time Limit Exceeded" && in_time) return "Signalled";
  return status;
}

}  // namespace

std::optional<Refusal> prepare(Request request, const Settings& settings, StoredFiles& files,
                               PreparedRequest& prepared) {
  if (request.cmds.empty()) return Refusal{400, "no cmd provided"};
  if (request.cmds.size() == 1) request.pipes.clear();
  Preparer preparer(settings, files);
  for (Cmd& cmd : request.cmds) prepared.jobs.push_back(preparer.prepare(cmd));
  if (preparer.refusal()) return preparer.refusal();
  if (auto refusal = wire(request.pipes, request.cmds, prepared)) return refusal;
  for (std::size_t i = 0; i < request.cmds.size(); ++i) {
    std::set<std::string> proxied;
    for (const PipeMap& proxy : prepared.proxies)
      if (proxy.in.index == i && !proxy.name.empty()) proxied.insert(proxy.name);
    preparer.add_copies_out(request.cmds[i], proxied, prepared.jobs[i]);
  }
  return std::nullopt;
}

ResultText result_of(const PreparedJob& job, Report report,
                     std::map<std::string, std::string> copies, StoredFiles& files) {
  ResultFields fields;
  if (is_placing_error(report)) {
    fields.status = "File Error";
    fields.error = report.error->message();
    fields.file_errors.push_back(incoming_error(job, *report.error));
    return to_text(std::move(fields));
  }
  const bool failed =
      report.outcome == Outcome::kInternalError || report.outcome == Outcome::kFileError;
  // The pool killed it, in the queue or before the worker had its plan, and nobody saw it die.
  if (!report.exit_code && !report.signal && !failed) report.signal = SIGKILL;
  if (!report.exit_code && !report.signal) {
    fields.status = "Internal Error";
    if (report.error) fields.error = start_error(job, *report.error);
    return to_text(std::move(fields));
  }
  fields.exit_status = report.exit_code.value_or(report.signal.value_or(0));
  fields.time = static_cast<std::uint64_t>(report.cpu_time.value_or(Nanoseconds(0)).count());
  fields.memory = report.memory_peak_bytes.value_or(0);
  fields.run_time = static_cast<std::uint64_t>(report.wall_time.value_or(Nanoseconds(0)).count());
  fields.proc_peak = report.process_peak.value_or(0);
  fields.file_errors = job.unreachable;
  const auto keep = [&](const std::string& name, std::string bytes) {
    if (!job.cached.contains(name)) {
      fields.files[name] = utf8_or_replaced(bytes);
    } else if (Result<std::string> id = files.put(bytes, name)) {
      fields.file_ids[name] = *id;
    } else {
      fields.file_errors.push_back({name, "CopyOutCreateFile", id.error().message()});
    }
  };
  bool output_over = false;
  const auto check_size = [&](const std::string& name, std::uint64_t size) {
    const std::uint64_t max = job.collectors.at(name);
    if (size <= max) return;
    output_over = true;
    fields.file_errors.push_back(
        {name, "CollectSizeExceeded", "more than " + std::to_string(max) + " bytes"});
  };
  auto file_out = job.copy_out.begin();
  for (Output& output : report.outputs) {
    if (job.collectors.contains(output.name)) {
      check_size(output.name, output.size);
      if (output.error)
        fields.file_errors.push_back({output.name, "CopyOutCopyContent", output.error->message()});
      keep(output.name, std::move(output.bytes));
      continue;
    }
    while (file_out != job.copy_out.end() && file_out->name != output.name) ++file_out;
    const bool optional = file_out != job.copy_out.end() && (file_out++)->optional;
    const bool has_bytes = !output.error || output.truncated;
    if (!output.stored.empty()) {
      if (Result<std::string> id = files.take_over(output.stored, output.name))
        fields.file_ids[output.name] = *id;
      else
        output.error = id.error();
    } else if (has_bytes) {
      fields.files[output.name] = utf8_or_replaced(output.bytes);
    }
    if (!output.error || (optional && output.error->errnum == ENOENT)) continue;
    FileError error{output.name, "CopyOutOpen", output.error->message()};
    if (output.error->errnum == EFBIG) error.type = "CopyOutSizeExceeded";
    if (output.error->errnum == ELOOP || output.error->errnum == EINVAL)
      error.type = "CopyOutNotRegularFile";
    if (output.error->step == Step::kStoreFile) error.type = "CopyOutCreateFile";
    fields.file_errors.push_back(std::move(error));
  }
  for (auto& [name, bytes] : copies) {
    if (job.collectors.contains(name)) check_size(name, bytes.size());
    keep(name, std::move(bytes));
  }
  fields.status = decide_status(job, report, fields, output_over);
  if (fields.status == "Output Limit Exceeded" && output_over)
    fields.error = "a collector had more than its maximum";
  else if (report.error)
    fields.error = report.error->message();
  return to_text(std::move(fields));
}

ResultText result_of_none(const PreparedJob& job) {
  ResultFields fields;
  fields.status = job.file_errors.empty() ? "Internal Error" : "File Error";
  fields.file_errors = job.file_errors;
  if (!job.internal_error.empty())
    fields.error = job.internal_error;
  else if (!job.file_errors.empty())
    fields.error = job.file_errors.front().message;
  else
    fields.error = "another command of this request could not start";
  return to_text(std::move(fields));
}

}  // namespace hatchery::server::go_judge
