#include "pool/cli/judge/run_verdict.h"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <cstring>

#include "core/check.h"

namespace hatchery::judge {
namespace {

/// What a shell ends with when there is no such command.
constexpr int kShellNotFound = 127;
/// Enough of a message file for one line.
constexpr std::size_t kMessageBytesMax = 200;

std::string signal_text(const Report& report) {
  if (!report.signal.has_value()) return "died of a signal";
  const char* abbreviation = ::sigabbrev_np(*report.signal);
  if (abbreviation == nullptr) return fmt::format("died of signal {}", *report.signal);
  return fmt::format("died of SIG{}", abbreviation);
}

std::string error_text(const Report& report, const char* otherwise) {
  return report.error.has_value() ? report.error->message() : otherwise;
}

/// How a process that failed by itself ended.
std::string end_text(const Report& report) {
  if (report.outcome == Outcome::kSignalled) return signal_text(report);
  return fmt::format("exit status {}", report.exit_code.value_or(-1));
}

std::string_view output_bytes(const Report& report, std::string_view name) {
  const Output* output = report.output(name);
  return output == nullptr ? std::string_view() : std::string_view(output->bytes);
}

std::string forbidden_text(const Report& report) {
  if (!report.forbidden_syscall.has_value()) return "forbidden system call";
  return "forbidden system call " + report.forbidden_syscall->name;
}

bool ran_out_of_memory(const Report& report, const Language& language) {
  if (report.oom_kills.value_or(0) > 0) return true;
  return !language.memory_limit_text.empty() &&
         output_bytes(report, kStderr).find(language.memory_limit_text) != std::string_view::npos;
}

/// The first line of what the validator wrote for the judges, else of its stderr.
std::string validator_message(const Report& report) {
  for (const Output& output : report.outputs) {
    const bool message = output.name.find("judgemessage") != std::string::npos;
    if (!message || output.bytes.empty()) continue;
    return output.bytes.substr(0, std::min(output.bytes.find('\n'), kMessageBytesMax));
  }
  const std::string_view text = output_bytes(report, kStderr);
  return std::string(text.substr(0, std::min(text.find('\n'), kMessageBytesMax)));
}

bool ended_first(const Report& report, const Report& other) {
  return report.end_order.value_or(0) < other.end_order.value_or(0);
}

bool rejects(const Report& validator) {
  return validator.outcome == Outcome::kNonzeroExit && validator.exit_code == kValidatorRejects;
}

bool accepts(const Report& validator) {
  return validator.outcome == Outcome::kNonzeroExit && validator.exit_code == kValidatorAccepts;
}

bool died_of_closed_pipe(const Report& report) {
  return report.outcome == Outcome::kSignalled && report.signal == SIGPIPE;
}

bool is_ours(const Report& report) {
  return report.outcome == Outcome::kInternalError || report.outcome == Outcome::kFileError;
}

}  // namespace

Finding finding_of_compile(const Report& report, bool makes_binary) {
  switch (report.outcome) {
    case Outcome::kAccepted: return {Verdict::kAccepted, ""};
    case Outcome::kNonzeroExit:
      if (report.exit_code == kShellNotFound) {
        return {Verdict::kJudgeError, "the compiler is not installed"};
      }
      return {Verdict::kCompileError, end_text(report)};
    case Outcome::kSignalled: return {Verdict::kCompileError, signal_text(report)};
    case Outcome::kTimeLimit:
    case Outcome::kWallLimit: return {Verdict::kCompileError, "compile time limit"};
    case Outcome::kMemoryLimit: return {Verdict::kCompileError, "compile memory limit"};
    case Outcome::kOutputLimit: return {Verdict::kCompileError, "too much compiler output"};
    case Outcome::kForbiddenSyscall: return {Verdict::kCompileError, forbidden_text(report)};
    case Outcome::kFileError:
      // The compiler ended well but its result could not be taken: there is none, or it is too
      // large.
      if (makes_binary && report.exit_code == 0) {
        return {Verdict::kCompileError, error_text(report, "made no program")};
      }
      return {Verdict::kJudgeError, error_text(report, "file error")};
    case Outcome::kCancelled: return {Verdict::kJudgeError, "cancelled"};
    case Outcome::kInternalError: return {Verdict::kJudgeError, error_text(report, "internal")};
  }
  HATCHERY_UNREACHABLE();
}

Finding finding_of_run(const Report& report, const Language& language) {
  switch (report.outcome) {
    case Outcome::kAccepted: return {Verdict::kAccepted, ""};
    case Outcome::kNonzeroExit:
    case Outcome::kSignalled:
      if (ran_out_of_memory(report, language)) return {Verdict::kMemoryLimit, end_text(report)};
      return {Verdict::kRunTimeError, end_text(report)};
    case Outcome::kTimeLimit: return {Verdict::kTimeLimit, ""};
    case Outcome::kWallLimit: return {Verdict::kTimeLimit, "by wall time: it waits or sleeps"};
    case Outcome::kMemoryLimit: return {Verdict::kMemoryLimit, ""};
    case Outcome::kOutputLimit: return {Verdict::kOutputLimit, ""};
    case Outcome::kForbiddenSyscall: return {Verdict::kRunTimeError, forbidden_text(report)};
    case Outcome::kFileError: return {Verdict::kJudgeError, error_text(report, "file error")};
    case Outcome::kCancelled: return {Verdict::kJudgeError, "cancelled"};
    case Outcome::kInternalError: return {Verdict::kJudgeError, error_text(report, "internal")};
  }
  HATCHERY_UNREACHABLE();
}

Finding finding_of_validator(const Report& report) {
  if (accepts(report)) return {Verdict::kAccepted, validator_message(report)};
  if (rejects(report)) return {Verdict::kWrongAnswer, validator_message(report)};
  if (is_ours(report)) {
    return {Verdict::kJudgeError, "validator: " + error_text(report, "could not run")};
  }
  const bool ended = report.outcome == Outcome::kAccepted ||
                     report.outcome == Outcome::kNonzeroExit ||
                     report.outcome == Outcome::kSignalled;
  std::string message =
      fmt::format("validator: {}, expected exit status 42 or 43",
                  ended ? end_text(report) : std::string(outcome_name(report.outcome)));
  const std::string said = validator_message(report);
  if (!said.empty()) message += ": " + said;
  return {Verdict::kJudgeError, std::move(message)};
}

Finding finding_of_interaction(const Report& submission, const Report& validator,
                               const Language& language) {
  if (is_ours(submission)) return finding_of_run(submission, language);
  Finding said = finding_of_validator(validator);
  if (is_ours(validator)) return said;
  const bool closed_pipe = died_of_closed_pipe(submission);
  if (rejects(validator) && (ended_first(validator, submission) || closed_pipe)) return said;
  const bool failed = said.verdict == Verdict::kJudgeError;
  if (failed && ended_first(validator, submission)) return said;
  Finding run = finding_of_run(submission, language);
  if (run.verdict != Verdict::kAccepted) return run;
  if (died_of_closed_pipe(validator)) {
    return {Verdict::kWrongAnswer, "ended before the validator was done"};
  }
  return said;
}

}  // namespace hatchery::judge
