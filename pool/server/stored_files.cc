#include "pool/server/stored_files.h"

#include <fcntl.h>
#include <nettle/sha2.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <filesystem>

#include "core/check.h"
#include "core/files.h"
#include "pool/random_id.h"

namespace hatchery::server {
namespace {

constexpr std::size_t kNameMax = 4096;

std::int64_t steady_ms() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

/// No path, whatever a client sends.
bool is_id(std::string_view id) {
  return (id.size() == 32 || id.size() == 64) &&
         id.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Error store_error(const std::string& object, int errnum) {
  const char* remedy = "";
  if (errnum == ENOSPC) remedy = "the store is full: delete files, or give it more room";
  if (errnum == EACCES || errnum == EROFS)
    remedy = "choose a directory that the server may write to";
  if (errnum == EBUSY) remedy = "another server has it: stop that one, or choose another directory";
  return errno_error(Step::kStoreFile, object, errnum, remedy);
}

Error unknown(const std::string& id) {
  return errno_error(Step::kStoreFile, id, ENOENT, "give the id of a file that is stored");
}

Result<std::uint64_t> size_of(int fd) {
  struct stat status {};
  if (::fstat(fd, &status) < 0) return store_error("file", errno);
  return static_cast<std::uint64_t>(status.st_size);
}

Result<void> write_all(int fd, std::string_view bytes, const std::string& object) {
  while (!bytes.empty()) {
    const ssize_t wrote = ::write(fd, bytes.data(), bytes.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return store_error(object, errno);
    bytes.remove_prefix(static_cast<std::size_t>(wrote));
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<StoredFiles>> StoredFiles::create(FileStore& store,
                                                         StoredFilesConfig config) {
  std::unique_ptr<StoredFiles> files(new StoredFiles(store, std::move(config)));
  if (files->on_disk()) {
    HATCHERY_TRY(files->open_directory());
    HATCHERY_TRY(files->read_directory());
  }
  return files;
}

Result<void> StoredFiles::open_directory() {
  const std::string& directory = config_.directory;
  for (const std::string& path : {directory, directory + "/files", directory + "/names"})
    if (::mkdir(path.c_str(), 0700) < 0 && errno != EEXIST) return store_error(path, errno);
  lock_ = UniqueFd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!lock_.valid()) return store_error(directory, errno);
  if (::flock(lock_.get(), LOCK_EX | LOCK_NB) < 0)
    return store_error(directory, errno == EWOULDBLOCK ? EBUSY : errno);
  return {};
}

Result<void> StoredFiles::read_directory() {
  const std::string path = config_.directory + "/files";
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(path, error)) {
    const std::string id = entry.path().filename();
    struct stat status {};
    if (!is_id(id) || ::lstat(path_of(id).c_str(), &status) < 0 || !S_ISREG(status.st_mode))
      continue;
    File& file = files_[id];
    file.size = static_cast<std::uint64_t>(status.st_size);
    file.used_ms = steady_ms();
    bytes_ += file.size;
    if (Result<std::string> name = read_whole_file(config_.directory + "/names/" + id, kNameMax))
      file.name = *std::move(name);
  }
  if (error) return store_error(path, error.value());
  return {};
}

Result<UniqueFd> StoredFiles::create_file() const {
  UniqueFd file(on_disk() ? ::open((config_.directory + "/files").c_str(),
                                   O_TMPFILE | O_RDWR | O_CLOEXEC, 0400)
                          : ::memfd_create("hatchery-file", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file.valid()) return store_error(on_disk() ? config_.directory : "memory", errno);
  return file;
}

std::uint64_t StoredFiles::bytes_free() const {
  if (!on_disk()) return store_.bytes_free();
  const std::lock_guard lock(mutex_);
  return bytes_ < config_.bytes_max ? config_.bytes_max - bytes_ : 0;
}

Result<std::string> StoredFiles::add(UniqueFd file, std::string name) {
  Result<std::string> id = random_id();
  if (!id) return std::move(id).error();
  return keep(std::move(file), *std::move(id), std::move(name));
}

Result<void> StoredFiles::append(int file, std::uint64_t& size, std::string_view bytes,
                                 const std::string& name) const {
  size += bytes.size();
  // Before it is taken; add() decides.
  if (size > bytes_free()) return store_error(name, ENOSPC);
  return write_all(file, bytes, name);
}

Result<std::string> StoredFiles::put(std::string_view bytes, std::string name) {
  if (bytes.size() > bytes_free()) return store_error(name, ENOSPC);
  Result<UniqueFd> file = create_file();
  if (!file) return std::move(file).error();
  HATCHERY_TRY(write_all(file->get(), bytes, name));
  return add(*std::move(file), std::move(name));
}

Result<std::string> StoredFiles::add_content(UniqueFd file, const std::string& hash) {
  if (use(hash)) return hash;
  return keep(std::move(file), hash, "");
}

Result<std::string> StoredFiles::take_over(const FileId& id, std::string name) {
  if (!on_disk()) {
    Result<UniqueFd> open = store_.open(id);
    if (!open) return std::move(open).error();
    Result<std::uint64_t> size = size_of(open->get());
    if (!size) return std::move(size).error();
    const std::lock_guard lock(mutex_);
    files_[id] = {std::move(name), *size, steady_ms(), id};
    return id;
  }
  Result<std::string> kept = copy_to_disk(id, std::move(name));
  store_.remove(id);
  return kept;
}

Result<std::string> StoredFiles::copy_to_disk(const FileId& id, std::string name) {
  Result<UniqueFd> source = store_.open(id);
  if (!source) return std::move(source).error();
  Result<std::uint64_t> size = size_of(source->get());
  if (!size) return std::move(size).error();
  if (*size > bytes_free()) return store_error(name, ENOSPC);
  Result<UniqueFd> file = create_file();
  if (!file) return std::move(file).error();
  for (std::uint64_t left = *size; left > 0;) {
    const ssize_t moved = ::sendfile(file->get(), source->get(), nullptr, left);
    if (moved < 0 && errno == EINTR) continue;
    if (moved <= 0) return store_error(name, moved < 0 ? errno : EIO);
    left -= static_cast<std::uint64_t>(moved);
  }
  return add(*std::move(file), std::move(name));
}

Result<std::string> StoredFiles::keep(UniqueFd file, std::string id, std::string name) {
  HATCHERY_CHECK(is_id(id));
  Result<std::uint64_t> size = size_of(file.get());
  if (!size) return std::move(size).error();
  File kept{std::move(name), *size, steady_ms(), {}};
  if (!on_disk()) {
    Result<FileId> stored = store_.adopt(std::move(file));
    if (!stored) return std::move(stored).error();
    kept.stored = *std::move(stored);
  }
  {
    const std::lock_guard lock(mutex_);
    if (on_disk()) {
      if (kept.size > config_.bytes_max - std::min(bytes_, config_.bytes_max))
        return store_error(id, ENOSPC);
      // Its content is whole before it has a name: a crash leaves all of it, or nothing.
      const std::string self = "/proc/self/fd/" + std::to_string(file.get());
      if (::fdatasync(file.get()) < 0 ||
          (::linkat(AT_FDCWD, self.c_str(), AT_FDCWD, path_of(id).c_str(), AT_SYMLINK_FOLLOW) < 0 &&
           errno != EEXIST))
        return store_error(path_of(id), errno);
      bytes_ += kept.size;
    }
    const auto [known, is_new] = files_.try_emplace(id, kept);
    if (!is_new) {  // The same content at the same time, by another.
      if (on_disk())
        bytes_ -= kept.size;
      else
        store_.remove(kept.stored);
      return id;
    }
  }
  if (on_disk() && !kept.name.empty()) {
    // Only for people to read; a file without a name is still a file.
    const std::string path = config_.directory + "/names/" + id;
    const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (fd.valid())
      static_cast<void>(write_all(fd.get(), kept.name.substr(0, kNameMax), path).has_value());
  }
  return id;
}

bool StoredFiles::use(const std::string& id) {
  const std::lock_guard lock(mutex_);
  const auto found = files_.find(id);
  if (found == files_.end()) return false;
  found->second.used_ms = steady_ms();
  return true;
}

Result<UniqueFd> StoredFiles::open(const std::string& id) {
  if (!use(id)) return unknown(id);
  if (on_disk()) {
    UniqueFd file(::open(path_of(id).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!file.valid()) return store_error(path_of(id), errno);
    return file;
  }
  FileId stored;
  {
    const std::lock_guard lock(mutex_);
    const auto found = files_.find(id);
    if (found == files_.end()) return unknown(id);
    stored = found->second.stored;
  }
  return store_.open(stored);
}

Stream StoredFiles::stream(const std::string& id) {
  if (on_disk()) return HostFileStream{path_of(id)};
  const std::lock_guard lock(mutex_);
  const auto found = files_.find(id);
  return StoredFileStream{found == files_.end() ? id : found->second.stored};
}

FileIn StoredFiles::file_in(const std::string& id, std::string path) {
  if (on_disk())
    return {.path = std::move(path), .source = FileIn::HostFile{path_of(id)}, .mode = 0644};
  const std::lock_guard lock(mutex_);
  const auto found = files_.find(id);
  return {.path = std::move(path),
          .source = FileIn::Stored{found == files_.end() ? id : found->second.stored}};
}

std::string StoredFiles::name(const std::string& id) const {
  const std::lock_guard lock(mutex_);
  const auto found = files_.find(id);
  return found == files_.end() ? std::string() : found->second.name;
}

bool StoredFiles::remove(const std::string& id) {
  const std::lock_guard lock(mutex_);
  const auto found = files_.find(id);
  if (found == files_.end()) return false;
  if (on_disk()) {
    ::unlink(path_of(id).c_str());
    ::unlink((config_.directory + "/names/" + id).c_str());
    bytes_ -= found->second.size;
  } else {
    store_.remove(found->second.stored);
  }
  files_.erase(found);
  return true;
}

std::vector<StoredFiles::Listed> StoredFiles::list() const {
  const std::lock_guard lock(mutex_);
  std::vector<Listed> all;
  all.reserve(files_.size());
  for (const auto& [id, file] : files_) all.push_back({id, file.name, file.size});
  return all;
}

void StoredFiles::expire() {
  if (config_.unused_ms == 0) return;
  const std::int64_t before = steady_ms() - config_.unused_ms;
  std::vector<std::string> old;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [id, file] : files_)
      if (file.used_ms < before) old.push_back(id);
  }
  for (const std::string& id : old) remove(id);
}

std::uint64_t StoredFiles::bytes() const {
  if (!on_disk()) return store_.bytes();
  const std::lock_guard lock(mutex_);
  return bytes_;
}

std::size_t StoredFiles::count() const {
  const std::lock_guard lock(mutex_);
  return files_.size();
}

struct ContentHash::State {
  sha256_ctx context = {};
};

ContentHash::ContentHash() : state_(std::make_unique<State>()) { ::sha256_init(&state_->context); }
ContentHash::~ContentHash() = default;

void ContentHash::write(std::string_view bytes) {
  ::sha256_update(&state_->context, bytes.size(),
                  reinterpret_cast<const std::uint8_t*>(bytes.data()));
}

std::string ContentHash::finish() {
  std::array<std::uint8_t, SHA256_DIGEST_SIZE> digest{};
  ::sha256_digest(&state_->context, digest.size(), digest.data());
  return hexadecimal(digest.data(), digest.size());
}

}  // namespace hatchery::server
