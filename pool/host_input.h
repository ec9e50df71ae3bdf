// Descriptors of host files on their way into a job: what the pool opens for it, or a caller lends.
// A job reaches its descriptor's file again by /proc/self/fd/N, and could open it for writing where
// the file's mode lets it. Runs in: pool. Thread: any. May block.
#pragma once

#include <string>

#include "core/fd.h"
#include "core/result.h"
#include "pool/config.h"

namespace hatchery {

/// Opens `path` for reading; what is no regular file (a FIFO, a device) is as open to the job as
/// its mode says. A directory is refused.
Result<UniqueFd> open_host_input(const std::string& path, const PoolConfig& config);

/// Duplicates a lent descriptor; a directory is refused. Where it is read-only but its file could
/// be written by a job, the duplicate has a position of its own, which starts where the lent one
/// stands.
Result<UniqueFd> duplicate_lent(int fd, const std::string& name, const PoolConfig& config);

}  // namespace hatchery
