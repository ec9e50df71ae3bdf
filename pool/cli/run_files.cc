#include "pool/cli/run_files.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "pool/cli/common.h"
#include "pool/nearest_name.h"

namespace hatchery::cli {
namespace {

constexpr mode_t kNewFileMode = 0666;  // Less the umask.

std::string without_trailing_slashes(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

std::string last_part(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

std::string directory_part(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

bool is_file_name(const std::string& name) { return !name.empty() && name != "." && name != ".."; }

}  // namespace

Result<FileIn> parse_file_in(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  const std::string source = text.substr(0, colon);
  std::string target = colon == std::string::npos ? last_part(without_trailing_slashes(source))
                                                  : text.substr(colon + 1);
  if (source.empty() || !is_file_name(last_part(without_trailing_slashes(target)))) {
    return Error{Step::kValidateJob, "--in " + quote(text), 0, "names no file",
                 "give SRC, or SRC:DEST with DEST below /w or /tmp"};
  }
  struct stat status = {};
  if (::stat(source.c_str(), &status) < 0) {
    return errno_error(Step::kOpenInput, quote(source), errno,
                       "--in takes an existing file or directory of the host");
  }
  FileIn file;
  file.path = std::move(target);
  if (S_ISDIR(status.st_mode)) {
    file.source = FileIn::HostDirectory{source};
  } else if (S_ISREG(status.st_mode)) {
    file.source = FileIn::HostFile{source};
  } else {
    return Error{Step::kOpenInput, quote(source), 0, "is neither a regular file nor a directory",
                 "for a pipe or device use --stdin"};
  }
  return file;
}

Result<FileOutOption> parse_file_out(const std::string& text) {
  const std::size_t equals = text.find('=');
  FileOutOption option;
  option.path = text.substr(0, equals);
  option.host_path = equals == std::string::npos ? last_part(option.path) : text.substr(equals + 1);
  if (!is_file_name(last_part(option.path)) || !is_file_name(last_part(option.host_path))) {
    return Error{Step::kValidateJob, "--out " + quote(text), 0, "names no file",
                 "give PATH, or PATH=HOSTFILE, with PATH below /w or /tmp"};
  }
  return option;
}

Result<HostFileOut> HostFileOut::prepare(FileOutOption option) {
  const std::string parent = directory_part(option.host_path);
  UniqueFd directory(::open(parent.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid()) {
    return errno_error(Step::kOpenOutput, quote(parent), errno,
                       "--out writes into an existing directory of the host");
  }
  std::string name = last_part(option.host_path);
  return HostFileOut(std::move(option), std::move(name), std::move(directory));
}

Result<void> HostFileOut::write(const Output& output) const {
  // O_NONBLOCK: a FIFO that a job put there must not hold us up.
  const UniqueFd file(::openat(directory_.get(), name_.c_str(),
                               O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
                               kNewFileMode));
  if (!file.valid()) {
    return errno_error(Step::kOpenOutput, quote(option_.host_path), errno,
                       errno == ELOOP ? "symbolic links are not followed there" : "");
  }
  struct stat status = {};
  if (::fstat(file.get(), &status) < 0 || !S_ISREG(status.st_mode)) {
    return Error{Step::kOpenOutput, quote(option_.host_path), 0, "is no regular file", ""};
  }
  const int errnum = write_all(file.get(), output.bytes);
  if (errnum != 0) return write_error(quote(option_.host_path), errnum);
  return {};
}

Result<UniqueFd> create_host_file(const std::string& path) {
  UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, kNewFileMode));
  if (!file.valid()) {
    const bool missing = errno == ENOENT || errno == ENOTDIR;
    return errno_error(Step::kOpenOutput, quote(path), errno,
                       missing ? "its directory must exist: make it, or write somewhere else"
                               : "give a file that you may write");
  }
  return file;
}

}  // namespace hatchery::cli
