// Directories of a package as sorted lists, without exceptions.
// Runs in: pool. Thread: any.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/result.h"
#include "pool/cli/judge/language.h"

namespace hatchery::judge {

struct Entry {
  std::string name;
  std::string path;
  bool directory = false;
  std::uint64_t size = 0;
};

/// Regular files and directories (symlinks followed: a package is its operator's), sorted by name,
/// without hidden ones. Other kinds of files are left out.
Result<std::vector<Entry>> list_directory(const std::string& path);

bool is_directory(const std::string& path);
bool is_file(const std::string& path);

/// One file, or all below a directory with their paths relative to it, sorted. Bounded by
/// kSourceFilesMax, kSourceBytesMax and kDepthMax.
Result<std::vector<SourceFile>> read_sources(const std::string& path);

/// "c" of "a/b/c" and "a/b/c/".
std::string base_name(const std::string& path);
/// "a/b" of "a/b/c"; "." of "c".
std::string parent_path(const std::string& path);

}  // namespace hatchery::judge
