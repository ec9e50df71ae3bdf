#include "pool/job.h"

#include "core/check.h"

namespace hatchery {

const char* outcome_name(Outcome outcome) noexcept {
  switch (outcome) {
    case Outcome::kAccepted: return "accepted";
    case Outcome::kNonzeroExit: return "nonzero exit";
    case Outcome::kSignalled: return "signalled";
    case Outcome::kTimeLimit: return "time limit";
    case Outcome::kWallLimit: return "wall limit";
    case Outcome::kMemoryLimit: return "memory limit";
    case Outcome::kOutputLimit: return "output limit";
    case Outcome::kForbiddenSyscall: return "forbidden syscall";
    case Outcome::kFileError: return "file error";
    case Outcome::kCancelled: return "cancelled";
    case Outcome::kInternalError: return "internal error";
  }
  HATCHERY_UNREACHABLE();
}

const Output* Report::output(std::string_view name) const noexcept {
  for (const Output& candidate : outputs) {
    if (candidate.name == name) return &candidate;
  }
  return nullptr;
}

}  // namespace hatchery
