// Files of `hatchery run`: what --in and --out mean, and the writing of files out to the host.
// Thread: main.
#pragma once

#include <string>
#include <vector>

#include "core/fd.h"
#include "core/result.h"
#include "pool/job.h"

namespace hatchery::cli {

/// "SRC[:DEST]": a host file or directory, below /w under its own name unless DEST says otherwise.
Result<FileIn> parse_file_in(const std::string& text);

/// "PATH[=HOSTFILE]": a path in the sandbox, and the host file that it is written to, by default
/// the same name in the current directory.
struct FileOutOption {
  std::string path;
  std::string host_path;
};
Result<FileOutOption> parse_file_out(const std::string& text);

/// A host file to be written after the job. Its directory is opened before the job starts, and its
/// last part is never followed: a job that a bind mount lets write to that directory can't redirect
/// it.
class HostFileOut {
 public:
  static Result<HostFileOut> prepare(FileOutOption option);
  const std::string& path() const noexcept { return option_.path; }
  /// Creates or replaces the host file.
  Result<void> write(const Output& output) const;

 private:
  HostFileOut(FileOutOption option, std::string name, UniqueFd directory)
      : option_(std::move(option)), name_(std::move(name)), directory_(std::move(directory)) {}
  FileOutOption option_;
  std::string name_;
  UniqueFd directory_;
};

/// Creates or truncates a file of the user's for writing. Before the job starts.
Result<UniqueFd> create_host_file(const std::string& path);

}  // namespace hatchery::cli
