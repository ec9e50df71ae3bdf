// From reports to verdicts: the rules, without any state. A verdict kAccepted of a run means "ended
// well, its output is still to be judged" where a validator follows. Runs in: pool. Thread: any;
// pure.
#pragma once

#include <string>

#include "pool/cli/judge/language.h"
#include "pool/cli/judge/verdict.h"
#include "pool/job.h"

namespace hatchery::judge {

// Names of collectors in the jobs of a judge.
inline constexpr const char* kStdout = "stdout";
inline constexpr const char* kStderr = "stderr";
inline constexpr const char* kDiagnostics = "diagnostics";

/// What a validator ends with, of the problem package format.
inline constexpr int kValidatorAccepts = 42;
inline constexpr int kValidatorRejects = 43;

struct Finding {
  Verdict verdict = Verdict::kJudgeError;
  /// One line for people; may hold bytes of the job's, so print it through printable(). Empty when
  /// there is nothing to say.
  std::string message = {};
};

/// kAccepted, kCompileError, or kJudgeError where the compiler itself could not run.
/// `makes_binary`: the command's result is a file, which must be there.
Finding finding_of_compile(const Report& report, bool makes_binary);

/// A submission's run on one test.
Finding finding_of_run(const Report& report, const Language& language);

/// A custom validator's run, by its exit status.
Finding finding_of_validator(const Report& report);

/// A run that talks to the validator. Who ended first decides who is believed:
/// - the validator ended first and rejects: wrong answer, whatever the submission then died of;
/// - the validator ended first and failed: judge error;
/// - the submission died of a closed pipe, which only the validator could close, and the validator
/// rejects:
///   wrong answer;
/// - else a submission that failed or exceeded a limit gets that verdict;
/// - a submission that ended well first, so that the validator died of a closed pipe: wrong answer;
/// - else what the validator says.
Finding finding_of_interaction(const Report& submission, const Report& validator,
                               const Language& language);

}  // namespace hatchery::judge
