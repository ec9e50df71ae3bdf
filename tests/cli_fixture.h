// What tests of the `hatchery` command share: running it, a scratch directory, files, conditions.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/host_features.h"
#include "tests/process.h"

namespace hatchery::cli_testing {

using testing::Process;
using testing::ProcessResult;

inline std::vector<std::string> hatchery(std::vector<std::string> args) {
  args.insert(args.begin(), HATCHERY_BINARY);
  return args;
}

inline ProcessResult run_hatchery(std::vector<std::string> args, std::string input = {}) {
  return testing::run_process(hatchery(std::move(args)), std::move(input));
}

/// A directory of the test's own, removed with it.
class ScratchDirectory {
 public:
  ScratchDirectory() {
    std::string pattern = std::filesystem::temp_directory_path() / "hatchery-cli-XXXXXX";
    HATCHERY_CHECK(::mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  ~ScratchDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;
  std::string operator/(const char* name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void write_file(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

inline std::size_t lines_of(const std::string& text) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

inline bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

class Command : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { ::signal(SIGPIPE, SIG_IGN); }
};

/// Those that need a host which can run jobs.
class JobCommand : public Command {
 protected:
  void SetUp() override {
    HATCHERY_REQUIRE_FEATURE("root");
    HATCHERY_REQUIRE_FEATURE("userns");
    HATCHERY_REQUIRE_FEATURE("cgroup_memory");
    HATCHERY_REQUIRE_FEATURE("cgroup_pids");
    HATCHERY_REQUIRE_FEATURE("io_uring");
    HATCHERY_REQUIRE_FEATURE("seccomp");
  }
  ScratchDirectory scratch_;
};

/// The command as a shell starts it: redirections, closed streams, limits. "$H" is the command.
inline ProcessResult run_in_shell(const std::string& script) {
  return testing::run_process({"/bin/bash", "-c", "H='" HATCHERY_BINARY "'\n" + script});
}

}  // namespace hatchery::cli_testing
