#include "pool/cli/judge/judge_jobs.h"

#include <algorithm>
#include <cmath>

#include "pool/cli/judge/run_verdict.h"

namespace hatchery::judge {
namespace {

/// A compiled program; larger is a compile error.
constexpr std::uint64_t kBinaryBytesMax = 256ULL << 20U;
/// Beyond it a compiler is stopped; reports keep the beginning only.
constexpr std::uint64_t kDiagnosticsBytesMax = 8ULL << 20U;
constexpr std::uint64_t kMessageFileBytesMax = 8ULL << 20U;
constexpr std::uint32_t kExecutable = 0755;

constexpr const char* kInputPath = "judge/input";
constexpr const char* kAnswerPath = "judge/answer";
constexpr const char* kFeedbackPath = "judge/feedback";

/// A run that waits and one that computes both end in bounded time; the second is for start-up.
Nanoseconds wall_limit(Nanoseconds cpu_limit) { return 2 * cpu_limit + std::chrono::seconds(1); }

/// The profile's environment with the language's own on top.
std::optional<std::vector<std::string>> environment(const Language& language,
                                                    const Profile& profile) {
  if (language.env.empty()) return std::nullopt;
  std::vector<std::string> env = profile.env;
  for (const std::string& variable : language.env) {
    const std::string prefix = variable.substr(0, variable.find('=') + 1);
    std::erase_if(env, [&](const std::string& old) { return old.rfind(prefix, 0) == 0; });
    env.push_back(variable);
  }
  return env;
}

CommandValues command_values(const Program& program, std::uint64_t memory_bytes) {
  return CommandValues{.sources = program.sources,
                       .binary = program.language->binary,
                       .main_source = program.main_source,
                       .main_class = program.main_class,
                       .memory_mib = std::max<std::uint64_t>(1, memory_bytes >> 20U)};
}

/// The files and arguments that every validator gets.
void add_validator_files(const Runnable& validator, const TestCase& test, JobSpec& job) {
  job.args = validator.args;
  job.env = validator.env;
  job.files_in = validator.files;
  job.files_in.push_back(FileIn{kInputPath, FileIn::HostFile{test.input_path}, 0644});
  if (test.answer_path.empty()) {
    job.files_in.push_back(FileIn{kAnswerPath, FileIn::Bytes{}, 0644});
  } else {
    job.files_in.push_back(FileIn{kAnswerPath, FileIn::HostFile{test.answer_path}, 0644});
  }
  job.files_in.push_back(FileIn{kFeedbackPath, FileIn::Directory{}, 0755});
  for (const char* path : {kInputPath, kAnswerPath}) job.args.push_back(std::string("/w/") + path);
  // The format's own header appends a file name to it without a slash.
  job.args.push_back(std::string("/w/") + kFeedbackPath + "/");
  job.args.insert(job.args.end(), test.validator_flags.begin(), test.validator_flags.end());
  job.files_out.push_back(FileOut{.path = std::string(kFeedbackPath) + "/judgemessage.txt",
                                  .bytes_max = kMessageFileBytesMax,
                                  .optional = true});
}

Limits validator_limits(const Runnable& validator, const PackageLimits& limits) {
  Limits result;
  result.cpu_time = limits.validation_time;
  result.wall_time = wall_limit(limits.validation_time);
  result.memory_bytes = limits.validation_memory_bytes + validator.language->memory_extra_bytes;
  result.output_bytes = limits.validation_output_bytes;
  if (validator.language->processes > 0) result.processes = validator.language->processes;
  return result;
}

}  // namespace

JobSpec compile_job(const Program& program, const PackageLimits& limits, const Profile& profile) {
  const Language& language = *program.language;
  HATCHERY_CHECK(!language.compile.empty());
  JobSpec job;
  job.profile = profile.name;
  job.args = fill_command(language.compile, command_values(program, limits.compile_memory_bytes));
  job.env = environment(language, profile);
  for (const SourceFile& file : program.files) {
    job.files_in.push_back(FileIn{file.name, FileIn::Bytes{file.bytes}, 0644});
  }
  job.fds[1] = CollectorStream{kDiagnostics, kDiagnosticsBytesMax};
  job.fds[2] = SameAsStream{1};
  if (!language.binary.empty()) {
    job.files_out.push_back(
        FileOut{.path = language.binary, .bytes_max = kBinaryBytesMax, .store = true});
  }
  job.limits.cpu_time = limits.compile_time;
  job.limits.wall_time = wall_limit(limits.compile_time);
  job.limits.memory_bytes = limits.compile_memory_bytes;
  if (language.processes > 0) job.limits.processes = language.processes;
  return job;
}

Result<Runnable> make_runnable(const Program& program, const Report* report,
                               std::uint64_t memory_bytes, const Profile& profile,
                               FileStore& store) {
  const Language& language = *program.language;
  Runnable runnable;
  runnable.language = &language;
  runnable.env = environment(language, profile);
  runnable.args = fill_command(language.run, command_values(program, memory_bytes));
  if (!language.binary.empty()) {
    const Output* output = report == nullptr ? nullptr : report->output(language.binary);
    if (output == nullptr || output->stored.empty()) {
      return Error{Step::kCompileSubmission, language.binary, 0, "the compiler made no such file",
                   "check compile and binary of language " + language.id};
    }
    runnable.files.push_back(FileIn{language.binary, FileIn::Stored{output->stored}, kExecutable});
    runnable.stored.push_back(output->stored);
    return runnable;
  }
  for (const SourceFile& file : program.files) {
    Result<FileId> id = store.put(file.bytes);
    if (!id) {
      for (const FileId& put : runnable.stored) store.remove(put);
      return std::move(id).error();
    }
    runnable.files.push_back(FileIn{file.name, FileIn::Stored{*id}, kExecutable});
    runnable.stored.push_back(*std::move(id));
  }
  return runnable;
}

Limits run_limits(const PackageLimits& limits, const Language& language) {
  HATCHERY_CHECK(limits.time.has_value());
  Limits result;
  const double time_ns = static_cast<double>(limits.time->count()) * language.time_multiplier;
  // The pool takes no limit below a millisecond.
  const Nanoseconds time =
      std::max<Nanoseconds>(Nanoseconds(std::llround(time_ns)), std::chrono::milliseconds(1));
  result.cpu_time = time;
  result.wall_time = wall_limit(time);
  result.memory_bytes = limits.memory_bytes + language.memory_extra_bytes;
  // Recursion may use all the memory there is, and what ends it is the memory limit.
  result.stack_bytes = 2 * limits.memory_bytes;
  result.output_bytes = limits.output_bytes;
  if (language.processes > 0) result.processes = language.processes;
  return result;
}

JobSpec run_job(const Runnable& program, const PackageLimits& limits, Stream input) {
  JobSpec job;
  job.args = program.args;
  job.env = program.env;
  job.files_in = program.files;
  job.fds[0] = std::move(input);
  job.fds[1] = CollectorStream{kStdout, limits.output_bytes};
  job.fds[2] = CollectorStream{kStderr, limits.output_bytes};
  job.limits = run_limits(limits, *program.language);
  return job;
}

JobSpec validator_job(const Runnable& validator, const PackageLimits& limits, const TestCase& test,
                      std::string output) {
  JobSpec job;
  add_validator_files(validator, test, job);
  job.fds[0] = BytesStream{std::move(output)};
  job.fds[1] = CollectorStream{kStdout, limits.validation_output_bytes};
  job.fds[2] = CollectorStream{kStderr, limits.validation_output_bytes};
  job.limits = validator_limits(validator, limits);
  return job;
}

std::vector<JobSpec> interaction_jobs(const Runnable& program, const Runnable& validator,
                                      const PackageLimits& limits, const TestCase& test) {
  constexpr std::size_t kToValidator = 0;
  constexpr std::size_t kToSubmission = 1;
  std::vector<JobSpec> jobs(2);
  // Held ends: the verdict hangs on which of the two ended first.
  jobs[0] = run_job(program, limits, PipeStream{kToSubmission, false, true});
  jobs[0].fds[1] = PipeStream{kToValidator, true, true};
  JobSpec& second = jobs[1];
  add_validator_files(validator, test, second);
  second.fds[0] = PipeStream{kToValidator, false, true};
  second.fds[1] = PipeStream{kToSubmission, true, true};
  second.fds[2] = CollectorStream{kStderr, limits.validation_output_bytes};
  second.limits = validator_limits(validator, limits);
  // It waits for the submission, whose own wall limit comes first.
  second.limits.wall_time = *jobs[0].limits.wall_time + *second.limits.wall_time;
  return jobs;
}

}  // namespace hatchery::judge
