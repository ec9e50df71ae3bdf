// Files that belong to the benchmark: found beside the running program in a build, or where they
// were installed.
#pragma once

#include <string>

namespace hatchery::bench {

/// The `hatchery` command: in the directory of the running program, or ../../bin from it.
std::string hatchery_command();
/// The directory of bare, noop, streams, fork_server: ../payloads of a build, else beside the
/// running program.
std::string programs_directory();
/// The script that draws: beside the running program.
std::string page_script();

/// A directory of its own for as long as it lives; "" when it can't be made.
class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  const std::string& path() const noexcept { return path_; }

 private:
  std::string path_;
};

/// Replaces the file. False when it can't be written, with errno.
bool write_file(const std::string& path, const std::string& text);

}  // namespace hatchery::bench
