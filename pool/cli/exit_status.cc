#include "pool/cli/exit_status.h"

#include <cerrno>

#include "core/check.h"

namespace hatchery::cli {
namespace {

int file_error_status(const Report& report) {
  if (!report.error.has_value() || report.error->step != Step::kWorkerExec) return kExitFileError;
  const int errnum = report.error->errnum;
  return errnum == ENOENT || errnum == ENOTDIR ? kExitNotFound : kExitNotExecutable;
}

/// A mount that fails so names a path that isn't there or can't be made: the profile is wrong, and
/// not the host.
bool is_of_a_path(int errnum) {
  switch (errnum) {
    case EACCES:
    case EINVAL:  // move_mount(2): a file onto a directory, or the reverse.
    case EEXIST:
    case EISDIR:
    case ELOOP:
    case ENAMETOOLONG:
    case ENOENT:
    case ENOTDIR:
    case EROFS: return true;
    default: return false;
  }
}

}  // namespace

int exit_status_of(const Report& report) {
  switch (report.outcome) {
    case Outcome::kAccepted: return kExitSuccess;
    case Outcome::kNonzeroExit: return report.exit_code.value_or(kExitInternalError);
    case Outcome::kSignalled:
      return report.signal.has_value() ? kExitSignalBase + *report.signal : kExitInternalError;
    case Outcome::kTimeLimit: return kExitTimeLimit;
    case Outcome::kWallLimit: return kExitWallLimit;
    case Outcome::kMemoryLimit: return kExitMemoryLimit;
    case Outcome::kOutputLimit: return kExitOutputLimit;
    case Outcome::kForbiddenSyscall: return kExitForbiddenSyscall;
    case Outcome::kFileError: return file_error_status(report);
    case Outcome::kCancelled: return kExitCancelled;
    case Outcome::kInternalError: return kExitInternalError;
  }
  HATCHERY_UNREACHABLE();
}

int exit_status_of(const Error& error) {
  switch (error.step) {
    case Step::kSlotMountRoot:
    case Step::kSlotMakeMountPoint:
    case Step::kSlotBind:
    case Step::kSlotMakeSymlink:
    case Step::kSlotWriteFile: return is_of_a_path(error.errnum) ? kExitUsage : kExitHost;
    case Step::kParseConfig:
    case Step::kValidateConfig:
    case Step::kValidateJob:
    case Step::kParsePolicy:
    case Step::kCompilePolicy:
    case Step::kSelinuxLabel: return kExitUsage;
    case Step::kOpenInput:
    case Step::kCopyIn:
    case Step::kCopyOut:
    case Step::kStoreFile:
    case Step::kOpenOutput:
    case Step::kReadFile:
    case Step::kWriteFile:
    case Step::kReadPackage: return kExitFileError;
    case Step::kQueueJob:
    case Step::kSendMessage:
    case Step::kReceiveMessage:
    case Step::kCreatePipe:
    case Step::kCreateMemfd:
    case Step::kCompileSubmission: return kExitInternalError;
    // The rest is the pool's own start: state directory, cgroups, uids, ring, slots.
    default: return kExitHost;
  }
}

}  // namespace hatchery::cli
