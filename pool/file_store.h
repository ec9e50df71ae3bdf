// FileStore: files kept between jobs (a compiled program, a test's input), in sealed memfds.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "core/fd.h"
#include "core/result.h"
#include "pool/job.h"

namespace hatchery {

/// Thread: any; every member takes the lock. A descriptor handed out stays good after remove().
class FileStore {
 public:
  /// Beyond `bytes_max` put() and adopt() fail with ENOSPC.
  explicit FileStore(std::uint64_t bytes_max) : bytes_max_(bytes_max) {}

  Result<FileId> put(std::string_view bytes);
  /// Takes a memfd that the caller filled; seals it against any change.
  Result<FileId> adopt(UniqueFd memfd);
  /// A new read-only open file description at offset 0. ENOENT when the id is unknown or
  /// ill-formed.
  Result<UniqueFd> open(const FileId& id) const;
  Result<std::string> read(const FileId& id) const;
  /// False when unknown.
  bool remove(const FileId& id);
  std::uint64_t bytes() const;
  /// Bytes that it would still take.
  std::uint64_t bytes_free() const;
  std::size_t count() const;

 private:
  struct Entry {
    UniqueFd memfd;
    std::uint64_t size = 0;
  };
  mutable std::mutex mutex_;
  std::map<FileId, Entry> entries_;
  std::uint64_t bytes_ = 0;
  const std::uint64_t bytes_max_;
};

}  // namespace hatchery
