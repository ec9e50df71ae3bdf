// StoredFiles: what clients keep on the server between jobs, in memory (the pool's file store) or
// in a directory that survives a restart. Thread: any.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/fd.h"
#include "core/result.h"
#include "pool/file_store.h"
#include "pool/job.h"

namespace hatchery::server {

struct StoredFilesConfig {
  /// "" keeps files in memory. Else a directory of this server's alone, made if missing: it holds
  /// the files by id, and their names.
  std::string directory = {};
  /// Of all files in the directory; in memory PoolConfig::store_bytes_max counts.
  std::uint64_t bytes_max = 8ULL << 30;
  /// A file that nobody used for so long is removed by expire(); 0: never.
  std::uint32_t unused_ms = 0;
};

class StoredFiles {
 public:
  struct Listed {
    std::string id;
    std::string name;  ///< As it was uploaded, or the path in the sandbox; may be empty.
    std::uint64_t size = 0;
  };

  /// Errors: kStoreFile, with the directory; EBUSY when another server has it.
  static Result<std::unique_ptr<StoredFiles>> create(FileStore& store, StoredFilesConfig config);

  /// A new, empty file to fill and to hand to add(): a memfd, or one without a name in the
  /// directory.
  Result<UniqueFd> create_file() const;
  /// Writes the next bytes of an upload to such a file; `size` counts them. ENOSPC when the store
  /// would not take so many; `name` is for the message.
  Result<void> append(int file, std::uint64_t& size, std::string_view bytes,
                      const std::string& name) const;
  /// Bytes that it would still take.
  std::uint64_t bytes_free() const;

  /// Keeps a filled file under a new id that can't be guessed.
  Result<std::string> add(UniqueFd file, std::string name);
  /// The same of bytes.
  Result<std::string> put(std::string_view bytes, std::string name);
  /// Keeps it under the hash of its content: 64 hexadecimal digits of SHA-256. The same content has
  /// one copy, whoever brings it.
  Result<std::string> add_content(UniqueFd file, const std::string& hash);
  /// What a job left in the pool's store becomes one of these files, under an id of its own.
  Result<std::string> take_over(const FileId& id, std::string name);

  /// False when unknown. Counts as a use, as the next three do.
  bool use(const std::string& id);
  Result<UniqueFd> open(const std::string& id);
  /// As an input of a job. Precondition: use(id) said true; a file that was removed since is the
  /// job's error.
  Stream stream(const std::string& id);
  FileIn file_in(const std::string& id, std::string path);

  /// "" when unknown or without one.
  std::string name(const std::string& id) const;
  bool remove(const std::string& id);
  std::vector<Listed> list() const;
  void expire();

  std::uint64_t bytes() const;
  std::size_t count() const;
  /// "" in memory.
  const std::string& directory() const { return config_.directory; }

 private:
  struct File {
    std::string name;
    std::uint64_t size = 0;
    std::int64_t used_ms = 0;
    FileId stored;  ///< In memory only.
  };

  StoredFiles(FileStore& store, StoredFilesConfig config)
      : store_(store), config_(std::move(config)) {}
  bool on_disk() const { return !config_.directory.empty(); }
  Result<void> open_directory();
  Result<void> read_directory();
  Result<std::string> copy_to_disk(const FileId& id, std::string name);
  Result<std::string> keep(UniqueFd file, std::string id, std::string name);
  std::string path_of(const std::string& id) const { return config_.directory + "/files/" + id; }

  FileStore& store_;
  const StoredFilesConfig config_;
  UniqueFd lock_;
  mutable std::mutex mutex_;
  std::map<std::string, File> files_;
  std::uint64_t bytes_ = 0;
};

/// SHA-256 of what is written to it, in hexadecimal.
class ContentHash {
 public:
  ContentHash();
  ~ContentHash();
  ContentHash(const ContentHash&) = delete;
  ContentHash& operator=(const ContentHash&) = delete;
  void write(std::string_view bytes);
  /// Once, last.
  std::string finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace hatchery::server
