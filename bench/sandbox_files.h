// What the built-in profile shows a job, in words that the peers understand: equal mounts for all.
#pragma once

#include <string>
#include <vector>

namespace hatchery::bench {

struct SandboxFiles {
  struct Pair {
    std::string source;  ///< Path of the host, or a symlink's target.
    std::string path;    ///< In the sandbox.
  };
  std::vector<Pair> binds;     ///< Read-only.
  std::vector<Pair> symlinks;  ///< /bin to usr/bin, on a host with one /usr.
  std::vector<std::string> tmpfs = {"/tmp", "/w", "/dev/shm"};
  std::vector<std::string> masked;
};

SandboxFiles sandbox_files();

}  // namespace hatchery::bench
