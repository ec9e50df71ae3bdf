#include "pool/cli/judge/tree.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "core/files.h"
#include "pool/cli/judge/package.h"

namespace hatchery::judge {
namespace {

namespace fs = std::filesystem;

/// More entries in one directory than any package has.
constexpr std::size_t kEntriesMax = 4 * kTestsMax;

Result<void> add_sources(const std::string& path, const std::string& prefix, unsigned depth,
                         std::vector<SourceFile>& files, std::uint64_t& bytes) {
  if (depth > kDepthMax) {
    return Error{Step::kReadPackage, path, 0, "is too deep",
                 fmt::format("keep sources within {} directories", kDepthMax)};
  }
  const Result<std::vector<Entry>> entries = list_directory(path);
  if (!entries) return entries.error();
  for (const Entry& entry : *entries) {
    if (entry.directory) {
      HATCHERY_TRY(add_sources(entry.path, prefix + entry.name + "/", depth + 1, files, bytes));
      continue;
    }
    bytes += entry.size;
    if (files.size() == kSourceFilesMax || bytes > kSourceBytesMax) {
      return Error{Step::kReadPackage, entry.path, 0, "is one source too many",
                   fmt::format("keep a program within {} files and {} MiB", kSourceFilesMax,
                               kSourceBytesMax >> 20U)};
    }
    Result<std::string> text = read_whole_file(entry.path, kSourceBytesMax);
    if (!text) return std::move(text).error();
    files.push_back(SourceFile{prefix + entry.name, *std::move(text)});
  }
  return {};
}

}  // namespace

Result<std::vector<Entry>> list_directory(const std::string& path) {
  std::error_code code;
  fs::directory_iterator iterator(path, code);
  std::vector<Entry> entries;
  while (!code && iterator != fs::directory_iterator()) {
    Entry entry;
    entry.name = iterator->path().filename().string();
    entry.path = iterator->path().string();
    std::error_code status_code;
    entry.directory = iterator->is_directory(status_code);
    const bool regular = !status_code && iterator->is_regular_file(status_code);
    if (regular) entry.size = iterator->file_size(status_code);
    if (entry.name.front() != '.' && !status_code && (entry.directory || regular)) {
      entries.push_back(std::move(entry));
    }
    if (entries.size() > kEntriesMax) {
      return Error{Step::kReadPackage, path, 0, "has too many files", "split the directory"};
    }
    iterator.increment(code);
  }
  if (code) return errno_error(Step::kReadPackage, path, code.value());
  std::sort(entries.begin(), entries.end(),
            [](const Entry& left, const Entry& right) { return left.name < right.name; });
  return entries;
}

bool is_directory(const std::string& path) {
  std::error_code code;
  return fs::is_directory(path, code) && !code;
}

bool is_file(const std::string& path) {
  std::error_code code;
  return fs::is_regular_file(path, code) && !code;
}

Result<std::vector<SourceFile>> read_sources(const std::string& path) {
  std::vector<SourceFile> files;
  if (is_directory(path)) {
    std::uint64_t bytes = 0;
    HATCHERY_TRY(add_sources(path, "", 0, files, bytes));
    return files;
  }
  Result<std::string> text = read_whole_file(path, kSourceBytesMax);
  if (!text) return std::move(text).error();
  files.push_back(SourceFile{base_name(path), *std::move(text)});
  return files;
}

std::string base_name(const std::string& path) {
  const fs::path whole = fs::path(path).lexically_normal();
  return whole.has_filename() ? whole.filename().string() : whole.parent_path().filename().string();
}

std::string parent_path(const std::string& path) {
  fs::path whole = fs::path(path).lexically_normal();
  if (!whole.has_filename()) whole = whole.parent_path();
  const std::string parent = whole.parent_path().string();
  return parent.empty() ? "." : parent;
}

}  // namespace hatchery::judge
