// What a configuration names on this host: known before any slot is started, and the operator's
// mistake rather than the host's fault.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "core/fd.h"
#include "pool/config.h"
#include "pool/nearest_name.h"
#include "workers/raw.h"

namespace hatchery {
namespace {

Error not_there(std::string object, const std::string& path, int errnum, std::string remedy) {
  return Error{Step::kValidateConfig, std::move(object), errnum, quote(path), std::move(remedy)};
}

Result<void> check_source(const BindMount& bind, const std::string& prefix) {
  if (bind.optional) return {};
  struct stat status {};
  const char* const remedy = "give an existing file or directory of the host, or optional = true";
  if (::lstat(bind.source.c_str(), &status) < 0)
    return not_there(prefix + "source", bind.source, errno, remedy);
  // Made again in the sandbox as the same link, wherever it leads.
  if (S_ISLNK(status.st_mode) && bind.source == bind.target) return {};
  if (::stat(bind.source.c_str(), &status) < 0)
    return not_there(prefix + "source", bind.source, errno, remedy);
  return {};
}

/// As the sandbox will see it: symbolic links lead from its root.
int errno_below(int root_fd, const std::string& path) {
  const UniqueFd found(raw::open_in_root(root_fd, path.c_str(), O_PATH));
  return found.valid() ? 0 : errno;
}

bool lies_in_another_bind(const Profile& profile, const std::string& target) {
  for (const BindMount& other : profile.binds)
    if (target.size() > other.target.size() && target.starts_with(other.target + "/")) return true;
  return target.starts_with("/dev/");  // A tmpfs of the sandbox's own.
}

Result<void> check_root(const Profile& profile, const std::string& prefix) {
  const std::string& root = profile.root_directory;
  if (root.empty()) return {};
  const UniqueFd root_fd(::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root_fd.valid())
    return not_there(prefix + "root_directory", root, errno,
                     "give a directory with a whole root file system");
  for (const char* name : {"proc", "dev", "tmp", "w"})
    if (const int errnum = errno_below(root_fd.get(), name); errnum != 0)
      return not_there(prefix + "root_directory", root + "/" + name, errnum,
                       "make it: the sandbox mounts its own proc, dev, tmp and w there");
  for (std::size_t i = 0; i < profile.binds.size(); ++i) {
    const std::string& target = profile.binds[i].target;
    if (profile.binds[i].optional || lies_in_another_bind(profile, target)) continue;
    if (const int errnum = errno_below(root_fd.get(), target); errnum != 0)
      return not_there(prefix + "bind[" + std::to_string(i) + "].target", root + target, errnum,
                       "make it, or choose a target that the root directory has");
  }
  return {};
}

}  // namespace

Result<void> PoolConfig::check_files() const {
  for (std::size_t index = 0; index < profiles.size(); ++index) {
    const std::string prefix = "profile[" + std::to_string(index) + "].";
    const std::vector<BindMount>& binds = profiles[index].binds;
    for (std::size_t i = 0; i < binds.size(); ++i)
      HATCHERY_TRY(check_source(binds[i], prefix + "bind[" + std::to_string(i) + "]."));
    HATCHERY_TRY(check_root(profiles[index], prefix));
  }
  return {};
}

}  // namespace hatchery
