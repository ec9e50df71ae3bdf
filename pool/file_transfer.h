// Files into and out of a slot's /w and /tmp. Paths are resolved below directory descriptors that
// came from the parked worker, with openat2 and no symlinks: whatever a job makes, nothing leads
// outside. Runs in: pool. Thread: the loop's or the porter's. May block.
#pragma once

#include <string>
#include <vector>

#include "core/fd.h"
#include "core/result.h"
#include "pool/file_store.h"
#include "pool/job.h"

namespace hatchery {

/// O_PATH descriptors of the slot's fresh directories, and who owns files in them.
struct SlotDirectories {
  int work_fd = -1;
  int tmp_fd = -1;
  std::uint32_t job_host_uid = 0;
  /// For tests' controls only: follow symlinks wherever they lead.
  bool testing_unconfined = false;
};

/// O_PATH descriptors of a slot's /w and /tmp.
struct OpenDirectories {
  UniqueFd work;
  UniqueFd tmp;
};

/// Those that are mounted in the slot now: a reset may replace them. `root_fd` is the slot's root.
/// Fails where a slot that died has none any more.
Result<OpenDirectories> open_directories(int root_fd);

/// True when copying can't take long: a few small texts. The loop may do it itself.
bool is_quick(const std::vector<FileIn>& files);

/// Makes all of them, as the job's user. The first that fails ends it: object is the path, remedy
/// says what to do.
Result<void> copy_in(const std::vector<FileIn>& files, const SlotDirectories& directories,
                     const FileStore& store);

/// A file of the slot that the job writes to by a descriptor, and the pool reads back by another:
/// whatever the job does to its name.
struct StreamFile {
  UniqueFd write_end;
  UniqueFd read_end;
};
/// Made, with the directories above it, or emptied, as the job's user, mode 0666. Errors: kCopyIn.
Result<StreamFile> create_stream_file(const std::string& path, const SlotDirectories& directories);
/// The same without a name: in /w of `slot`, with the label of its files, or without one a memfd.
/// Errors: kCopyIn, kCreateMemfd.
Result<StreamFile> create_nameless_stream_file(const SlotDirectories* slot);
/// At most the first `bytes_max` bytes.
Result<std::string> read_stream_file(int fd, std::uint64_t bytes_max);

/// One Output a file, in order; a file that can't be had has Output::error. Of those that are not
/// stored at most `room_bytes` are taken altogether. Precondition: the job's processes are dead.
std::vector<Output> copy_out(const std::vector<FileOut>& files, const SlotDirectories& directories,
                             FileStore& store, std::uint64_t room_bytes);

}  // namespace hatchery
