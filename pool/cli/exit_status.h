// Exit statuses of `hatchery`, the same for every verb that they make sense for. `run` passes a
// job's own status through, so ours lie above 239, where programs and signals (128 + number ≤ 192)
// do not collide.
#pragma once

#include "core/error.h"
#include "pool/job.h"

namespace hatchery::cli {

inline constexpr int kExitSuccess = 0;
/// doctor: something required is missing; batch: a line or a job failed; judge: a verdict differs.
inline constexpr int kExitFailure = 1;
/// run: the command is there but can't be executed, and is not there, as env(1) and sh(1) have it.
inline constexpr int kExitNotExecutable = 126;
inline constexpr int kExitNotFound = 127;
/// run: 128 + the signal that the job died of. Every verb: 128 + the SIGINT or SIGTERM that stopped
/// it.
inline constexpr int kExitSignalBase = 128;
inline constexpr int kExitTimeLimit = 240;
inline constexpr int kExitWallLimit = 241;
inline constexpr int kExitMemoryLimit = 242;
inline constexpr int kExitOutputLimit = 243;
inline constexpr int kExitForbiddenSyscall = 244;
/// A file in or out, of the job or of ours, could not be had.
inline constexpr int kExitFileError = 245;
inline constexpr int kExitCancelled = 246;
inline constexpr int kExitInternalError = 247;
/// Wrong flag, wrong value, wrong configuration, refused job.
inline constexpr int kExitUsage = 248;
/// The pool can't start on this host; `hatchery doctor` says why.
inline constexpr int kExitHost = 249;

/// The status `hatchery run` ends with after this report.
int exit_status_of(const Report& report);

/// The status for an error that happened before there was a report.
int exit_status_of(const Error& error);

}  // namespace hatchery::cli
