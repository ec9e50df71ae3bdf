#include "bench/own_files.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <system_error>

#include "core/fd.h"
#include "pool/cli/common.h"

namespace hatchery::bench {
namespace {

namespace fs = std::filesystem;

fs::path own_directory() { return cli::own_directory(); }

/// The first that exists, or the first.
std::string first_of(const std::array<fs::path, 2>& paths) {
  std::error_code error;
  for (const fs::path& path : paths)
    if (fs::exists(path, error)) return path.lexically_normal();
  return paths.front().lexically_normal();
}

}  // namespace

std::string hatchery_command() {
  return first_of({own_directory() / "hatchery", own_directory() / "../../bin/hatchery"});
}

std::string programs_directory() {
  return first_of({own_directory() / "../payloads", own_directory() / "bench-programs"});
}

std::string page_script() { return own_directory() / "hatchery-bench-page"; }

TemporaryDirectory::TemporaryDirectory() {
  std::string name = fs::temp_directory_path() / "hatchery-bench-XXXXXX";
  if (::mkdtemp(name.data()) != nullptr) path_ = name;
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code error;
  if (!path_.empty()) fs::remove_all(path_, error);
}

bool write_file(const std::string& path, const std::string& text) {
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (file.get() < 0) return false;
  const int errnum = cli::write_all(file.get(), text);
  errno = errnum;
  return errnum == 0;
}

}  // namespace hatchery::bench
