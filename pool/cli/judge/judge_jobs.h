// The jobs of a judge as JobSpecs: compile, run on a test, validate, interact. What each sees is
// decided here: a compile job gets sources and nothing else, a run gets the program and the input,
// only a validator gets the answer. Runs in: pool. Thread: any; values only.
#pragma once

#include <string>
#include <vector>

#include "core/result.h"
#include "pool/cli/judge/language.h"
#include "pool/cli/judge/package.h"
#include "pool/config.h"
#include "pool/file_store.h"
#include "pool/job.h"

namespace hatchery::judge {

/// A compiled program in the store, ready to be put into jobs.
struct Runnable {
  const Language* language = nullptr;
  std::vector<FileIn> files;
  std::vector<std::string> args;
  std::optional<std::vector<std::string>> env;
  /// To be removed from the store when no job needs them any more.
  std::vector<FileId> stored;
};

/// Precondition: the language has a compile command.
JobSpec compile_job(const Program& program, const PackageLimits& limits, const Profile& profile);

/// After a compile that ended well; `report` is null where the language has no compile command.
/// Puts the sources into the store where they are what runs. `memory_bytes` is the limit that the
/// run will have.
Result<Runnable> make_runnable(const Program& program, const Report* report,
                               std::uint64_t memory_bytes, const Profile& profile,
                               FileStore& store);

/// What the submission of a package may use on one test.
Limits run_limits(const PackageLimits& limits, const Language& language);

JobSpec run_job(const Runnable& program, const PackageLimits& limits, Stream input);

/// `output` is what the submission wrote.
JobSpec validator_job(const Runnable& validator, const PackageLimits& limits, const TestCase& test,
                      std::string output);

/// The submission and the validator, in this order, wired to each other.
std::vector<JobSpec> interaction_jobs(const Runnable& program, const Runnable& validator,
                                      const PackageLimits& limits, const TestCase& test);

}  // namespace hatchery::judge
