// A job as the worker reads it: strings, offsets and limits in one body, made on the submitter's
// thread. Runs in: pool. Thread: any.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/result.h"
#include "pool/config.h"
#include "pool/job.h"
#include "workers/protocol.h"

namespace hatchery {

/// A job that its caller must change: Step::kValidateJob.
Error bad_job(std::string object, std::string detail, std::string remedy);

/// Whether `path` may name a file in or out: FileIn::path. `field` is for the message.
Result<void> validate_path(const std::string& field, const std::string& path);

/// Checks what validate can check without the host: arguments, environment, descriptors, paths.
Result<void> validate_job(const JobSpec& spec);

/// Arguments and environment within what execve(2) and the plan take, for which the stack's limit
/// counts. Limits are effective.
Result<void> check_arguments(const JobSpec& spec, const Profile& profile, const Limits& limits);

/// Every collector, and all of them together, within what a report carries. Limits are effective.
Result<void> check_collectors(const JobSpec& spec, const Limits& limits);

struct EncodedJob {
  protocol::JobPlan header;
  std::string body;
  /// Offset in `body` of the FdEntry table, whose `source` fields are filled in at placement.
  std::vector<protocol::FdEntry> fds;
};

/// Precondition: validated, limits effective.
EncodedJob encode_job(const JobSpec& spec, const Profile& profile, const Limits& limits,
                      CgroupUse cgroup = CgroupUse::kAuto);

/// Fills in the SELinux exec context of the slot that the job got; room is reserved where the
/// profile has a type.
void store_label(EncodedJob& job, const std::string& exec_context);

/// Writes the final FdEntry table into the body.
void store_fd_entries(EncodedJob& job);

}  // namespace hatchery
