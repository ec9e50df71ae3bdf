#include "bench/sandbox_files.h"

#include <filesystem>
#include <system_error>

#include "bench/program.h"

namespace hatchery::bench {

SandboxFiles sandbox_files() {
  namespace fs = std::filesystem;
  SandboxFiles files;
  Profile profile = default_profile();
  profile.binds.push_back(programs_bind());
  for (const BindMount& bind : profile.binds) {
    std::error_code error;
    if (fs::is_symlink(bind.source, error))
      files.symlinks.push_back({fs::read_symlink(bind.source, error), bind.target});
    else if (fs::exists(bind.source, error))
      files.binds.push_back({bind.source, bind.target});
  }
  files.masked = profile.masked_paths;
  return files;
}

}  // namespace hatchery::bench
