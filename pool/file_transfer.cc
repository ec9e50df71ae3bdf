#include "pool/file_transfer.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>

#include "pool/try_append.h"
#include "workers/raw.h"

namespace hatchery {
namespace {

constexpr std::size_t kQuickBytes = std::size_t{64} * 1024;
constexpr std::size_t kQuickFiles = 16;
constexpr int kDirectoryDepthMax = 64;
constexpr std::size_t kChunk = 1 << 20;
constexpr std::size_t kReadChunk = 64 << 10;

/// Acts on files as the job's user while it lives: a tmpfs of the slot's user namespace takes no
/// other, and the kernel's permission checks then are the job's own. Only this thread's
/// (setfsuid(2)).
class AsJobUser {
 public:
  explicit AsJobUser(std::uint32_t uid) : gid_(::setfsgid(uid)), uid_(::setfsuid(uid)) {}
  ~AsJobUser() {
    ::setfsuid(static_cast<uid_t>(uid_));
    ::setfsgid(static_cast<gid_t>(gid_));
  }
  AsJobUser(const AsJobUser&) = delete;
  AsJobUser& operator=(const AsJobUser&) = delete;

 private:
  int gid_;
  int uid_;
};

/// Where one of the slot's directories is, and whether paths below it are confined to it.
struct Base {
  int fd;
  bool confined;
};

UniqueFd open_beneath(Base base, const std::string& path, std::uint64_t flags,
                      std::uint64_t mode = 0) {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.mode = mode;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
  if (!base.confined) {
    how.resolve = 0;
    how.flags &= ~static_cast<std::uint64_t>(O_NOFOLLOW);
  }
  return UniqueFd(
      static_cast<int>(::syscall(SYS_openat2, base.fd, path.c_str(), &how, sizeof how)));
}

/// A mount point in a root that no job can write to; that of an operator may lead to it by a link.
Result<UniqueFd> open_mounted(int root_fd, const char* name) {
  UniqueFd directory(raw::open_in_root(root_fd, name, O_PATH | O_DIRECTORY));
  struct stat root {
  }, found{};
  if (!directory.valid() || ::fstat(root_fd, &root) < 0 || ::fstat(directory.get(), &found) < 0)
    return errno_error(Step::kSlotOpenDirectory, name, errno);
  // With the zygote its mounts went: this is what lay under one of them.
  if (root.st_dev == found.st_dev) return errno_error(Step::kSlotOpenDirectory, name, ESTALE);
  return directory;
}

/// Splits "/tmp/a/b" into the directory to start from and "a/b".
Base base_of(const SlotDirectories& directories, const std::string& path, std::string& rest) {
  const bool in_tmp = path.compare(0, 5, "/tmp/") == 0;
  const bool in_work = path.compare(0, 3, "/w/") == 0;
  rest = in_tmp ? path.substr(5) : in_work ? path.substr(3) : path;
  while (!rest.empty() && rest.back() == '/') rest.pop_back();
  while (!rest.empty() && rest.front() == '/') rest.erase(0, 1);
  if (rest.empty()) rest = ".";
  return {in_tmp ? directories.tmp_fd : directories.work_fd, !directories.testing_unconfined};
}

const char* remedy_for(int errnum) {
  switch (errnum) {
    case ENOSPC: return "raise the profile's work or tmp size, or tmpfs_inodes";
    case ENOMEM: return "give the pool more memory, or store the file instead";
    case ELOOP: return "a symlink is never followed";
    case EXDEV: return "the path must stay in /w or /tmp";
    default: return "";
  }
}

Error transfer_error(Step step, const std::string& path, int errnum) {
  const char* remedy = remedy_for(errnum);
  if (step == Step::kCopyOut && errnum == ENOENT)
    remedy = "the job made no such file in /w or /tmp: correct the path, or make it optional";
  if (step == Step::kCopyIn && errnum == EEXIST)
    remedy = "two of the files in have this path: give each one of its own";
  if (step == Step::kCopyIn && (errnum == ENOTDIR || errnum == EISDIR))
    remedy = "another of the files in is a directory, or a file, where this one needs the other";
  return errno_error(step, path, errnum, remedy);
}

/// What is left in `source`, up to `size`, to `target`; an errno, or 0.
int copy_bytes(int source_fd, int target_fd,
               std::uint64_t size = std::numeric_limits<std::uint64_t>::max()) {
  while (size > 0) {
    const ssize_t moved =
        ::sendfile(target_fd, source_fd, nullptr, std::min<std::uint64_t>(size, kChunk));
    if (moved == 0) break;
    if (moved < 0 && errno != EINTR) return errno;
    if (moved > 0) size -= static_cast<std::uint64_t>(moved);
  }
  return 0;
}

int write_bytes(int fd, const std::string& bytes) {
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t wrote = ::write(fd, bytes.data() + done, bytes.size() - done);
    if (wrote < 0 && errno != EINTR) return errno;
    if (wrote > 0) done += static_cast<std::size_t>(wrote);
  }
  return 0;
}

/// mkdir -p of every directory above `path`.
int make_parents(Base base, const std::string& path) {
  for (std::size_t slash = path.find('/'); slash != std::string::npos;
       slash = path.find('/', slash + 1)) {
    const std::string prefix = path.substr(0, slash);
    if (open_beneath(base, prefix, O_PATH | O_DIRECTORY).valid()) continue;
    const std::size_t above = prefix.rfind('/');
    const std::string parent = above == std::string::npos ? "." : prefix.substr(0, above);
    const UniqueFd parent_fd = open_beneath(base, parent, O_PATH | O_DIRECTORY);
    if (!parent_fd.valid()) return errno;
    const std::string name = above == std::string::npos ? prefix : prefix.substr(above + 1);
    if (::mkdirat(parent_fd.get(), name.c_str(), 0755) < 0 && errno != EEXIST) return errno;
  }
  return 0;
}

/// Copies open sources to paths of one slot.
class Importer {
 public:
  Importer(const SlotDirectories& directories, const FileStore& store)
      : directories_(directories), store_(store) {}

  Result<void> put(const FileIn& file) {
    std::string path;
    const Base base = base_of(directories_, file.path, path);
    if (std::holds_alternative<FileIn::Directory>(file.source))
      return make_directory(base, path, file.mode.value_or(0755));
    if (const auto* bytes = std::get_if<FileIn::Bytes>(&file.source))
      return put_bytes(base, path, bytes->bytes, file.mode.value_or(0644));
    if (const auto* link = std::get_if<FileIn::Symlink>(&file.source))
      return make_symlink(base, path, link->target);
    if (const auto* stored = std::get_if<FileIn::Stored>(&file.source)) {
      Result<UniqueFd> source = store_.open(stored->id);
      if (!source) return std::move(source).error();
      return put_open(base, path, source->get(), file.mode.value_or(0644));
    }
    if (const auto* host = std::get_if<FileIn::HostFile>(&file.source))
      return put_host_file(base, path, {AT_FDCWD, host->path, 0}, file.mode);
    const auto& tree = std::get<FileIn::HostDirectory>(file.source);
    const UniqueFd directory(::open(tree.path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory.valid())
      return errno_error(Step::kOpenInput, tree.path, errno, "give a readable directory");
    return put_directory(base, path, directory.get(), tree.path, file.mode.value_or(0755), 0);
  }

 private:
  Result<void> make_directory(Base base, const std::string& path, std::uint32_t mode) {
    if (path == ".") return {};
    const AsJobUser job_user(directories_.job_host_uid);
    if (const int errnum = make_parents(base, path + "/"); errnum != 0)
      return transfer_error(Step::kCopyIn, path, errnum);
    const UniqueFd made = open_beneath(base, path, O_RDONLY | O_DIRECTORY);
    if (!made.valid() || ::fchmod(made.get(), mode) < 0)
      return transfer_error(Step::kCopyIn, path, errno);
    return {};
  }

  UniqueFd create(Base base, const std::string& path, std::uint32_t mode) const {
    const AsJobUser job_user(directories_.job_host_uid);
    if (make_parents(base, path) != 0) return UniqueFd();
    UniqueFd made = open_beneath(base, path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    // The mode asked for, whatever our umask is.
    if (made.valid() && ::fchmod(made.get(), mode) < 0) made.reset();
    return made;
  }

  Result<void> put_bytes(Base base, const std::string& path, const std::string& bytes,
                         std::uint32_t mode) {
    const UniqueFd target = create(base, path, mode);
    if (!target.valid()) return transfer_error(Step::kCopyIn, path, errno);
    const int errnum = write_bytes(target.get(), bytes);
    if (errnum != 0) return transfer_error(Step::kCopyIn, path, errnum);
    return {};
  }

  Result<void> put_open(Base base, const std::string& path, int source_fd, std::uint32_t mode) {
    const UniqueFd target = create(base, path, mode);
    if (!target.valid()) return transfer_error(Step::kCopyIn, path, errno);
    const int errnum = copy_bytes(source_fd, target.get());
    if (errnum != 0) return transfer_error(Step::kCopyIn, path, errnum);
    return {};
  }

  struct HostSource {
    int directory_fd;
    const std::string& path;
    int flags;
  };

  Result<void> put_host_file(Base base, const std::string& path, const HostSource& host,
                             std::optional<std::uint32_t> mode) {
    const std::string& host_path = host.path;
    // O_NONBLOCK: a FIFO must not stop the pool; what is no regular file is refused below.
    const UniqueFd source(::openat(host.directory_fd, host_path.c_str(),
                                   O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | host.flags));
    if (!source.valid())
      return errno_error(Step::kOpenInput, host_path, errno, "give a readable regular file");
    struct stat status {};
    if (::fstat(source.get(), &status) < 0 || !S_ISREG(status.st_mode))
      return errno_error(Step::kOpenInput, host_path, EINVAL, "give a regular file");
    return put_open(base, path, source.get(), mode.value_or(status.st_mode & 0777));
  }

  Result<void> put_directory(Base base, const std::string& path, int host_fd,
                             const std::string& host_path, std::uint32_t mode, int depth) {
    if (depth > kDirectoryDepthMax)
      return errno_error(Step::kOpenInput, host_path, ELOOP, "at most 64 directories deep");
    HATCHERY_TRY(make_directory(base, path, mode | 0700));
    const UniqueFd listing_fd(::openat(host_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    DIR* listing =
        listing_fd.valid() ? ::fdopendir(::fcntl(listing_fd.get(), F_DUPFD_CLOEXEC, 0)) : nullptr;
    if (listing == nullptr) return errno_error(Step::kOpenInput, host_path, errno);
    Result<void> result;
    for (dirent* entry = ::readdir(listing); entry != nullptr && result;
         entry = ::readdir(listing)) {
      const std::string name = entry->d_name;
      if (name != "." && name != "..")
        result = put_entry(base, path == "." ? name : path + "/" + name, host_fd, name,
                           host_path + "/" + name, depth);
    }
    ::closedir(listing);
    return result;
  }

  Result<void> put_entry(Base base, const std::string& path, int host_fd, const std::string& name,
                         const std::string& host_path, int depth) {
    struct stat status {};
    if (::fstatat(host_fd, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) < 0)
      return errno_error(Step::kOpenInput, host_path, errno);
    if (S_ISDIR(status.st_mode)) {
      const UniqueFd below(
          ::openat(host_fd, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
      if (!below.valid()) return errno_error(Step::kOpenInput, host_path, errno);
      return put_directory(base, path, below.get(), host_path, status.st_mode & 0777, depth + 1);
    }
    if (S_ISLNK(status.st_mode)) return put_symlink(base, path, host_fd, name, host_path);
    if (S_ISREG(status.st_mode))
      // It was a file a moment ago: whoever owns the tree may have made it a symlink since.
      return put_host_file(base, path, {host_fd, name, O_NOFOLLOW}, status.st_mode & 0777);
    return {};  // Sockets, FIFOs and devices have no content to bring.
  }

  Result<void> put_symlink(Base base, const std::string& path, int host_fd, const std::string& name,
                           const std::string& host_path) {
    char text[4096];
    const ssize_t size = ::readlinkat(host_fd, name.c_str(), text, sizeof text - 1);
    if (size < 0) return errno_error(Step::kOpenInput, host_path, errno);
    text[size] = '\0';
    return make_symlink(base, path, text);
  }

  Result<void> make_symlink(Base base, const std::string& path, const std::string& target) {
    const AsJobUser job_user(directories_.job_host_uid);
    if (const int errnum = make_parents(base, path); errnum != 0)
      return transfer_error(Step::kCopyIn, path, errnum);
    const std::size_t slash = path.rfind('/');
    const UniqueFd parent = open_beneath(
        base, slash == std::string::npos ? "." : path.substr(0, slash), O_PATH | O_DIRECTORY);
    const std::string last = slash == std::string::npos ? path : path.substr(slash + 1);
    if (!parent.valid() || ::symlinkat(target.c_str(), parent.get(), last.c_str()) < 0)
      return transfer_error(Step::kCopyIn, path, errno);
    return {};
  }

  const SlotDirectories& directories_;
  const FileStore& store_;
};

/// A readable descriptor of what must be a regular file. Looked at before it is opened: opening a
/// FIFO or device acts.
Result<UniqueFd> open_regular(Base base, const std::string& path, std::uint64_t& size) {
  const UniqueFd handle = open_beneath(base, path, O_PATH | O_NOFOLLOW);
  if (!handle.valid()) return transfer_error(Step::kCopyOut, path, errno);
  struct stat status {};
  if (::fstat(handle.get(), &status) < 0) return transfer_error(Step::kCopyOut, path, errno);
  if (!S_ISREG(status.st_mode))
    return Error{.step = Step::kCopyOut,
                 .object = path,
                 .errnum = S_ISLNK(status.st_mode) ? ELOOP : EINVAL,
                 .detail = S_ISLNK(status.st_mode) ? "is a symlink" : "is not a regular file",
                 .remedy = "only regular files are taken out"};
  size = static_cast<std::uint64_t>(status.st_size);
  UniqueFd file(::open(("/proc/self/fd/" + std::to_string(handle.get())).c_str(),
                       O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!file.valid()) return transfer_error(Step::kCopyOut, path, errno);
  return file;
}

/// From the file's start, wherever its position is, until `size` bytes or the end. Grows with what
/// is there.
Result<std::string> read_bytes(int fd, std::uint64_t size, const std::string& path) {
  char part[kReadChunk];  // Not from the heap: there it would be cleared, or be new pages.
  std::string bytes;
  while (bytes.size() < size) {
    const auto wanted = std::min<std::uint64_t>(size - bytes.size(), kReadChunk);
    const ssize_t got =
        ::pread(fd, part, static_cast<std::size_t>(wanted), static_cast<off_t>(bytes.size()));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return transfer_error(Step::kCopyOut, path, errno);
    if (got == 0) break;
    if (!try_append(bytes, {part, static_cast<std::size_t>(got)}))
      return transfer_error(Step::kCopyOut, path, ENOMEM);
  }
  return bytes;
}

Result<FileId> store_bytes(int fd, std::uint64_t size, const std::string& path, FileStore& store) {
  // Refused before memory is taken: a sparse file may claim any size. adopt() decides.
  const std::uint64_t free_bytes = store.bytes_free();
  if (size > free_bytes)
    return Error{.step = Step::kStoreFile,
                 .object = path,
                 .errnum = ENOSPC,
                 .detail = "has " + std::to_string(size) + " bytes, and the store room for " +
                           std::to_string(free_bytes),
                 .remedy = "remove files from the store or raise store_bytes_max"};
  UniqueFd memfd(::memfd_create("hatchery-stored", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!memfd.valid()) return transfer_error(Step::kStoreFile, path, errno);
  const int errnum = copy_bytes(fd, memfd.get(), size);
  if (errnum != 0) return transfer_error(Step::kStoreFile, path, errnum);
  return store.adopt(std::move(memfd));
}

Error too_large(const FileOut& file, std::uint64_t size, std::uint64_t room) {
  Error error{.step = Step::kCopyOut, .object = file.path, .errnum = EFBIG};
  error.detail = "has " + std::to_string(size) + " bytes, ";
  if (size > file.bytes_max) {
    error.detail += "more than the cap of " + std::to_string(file.bytes_max);
    error.remedy = "raise its \"max\"";
  } else {
    error.detail += "and the report has room for " + std::to_string(room) + " more";
    error.remedy = "store it, or take out fewer and smaller files";
  }
  return error;
}

/// Takes files out of one slot; what their report has room for gets less with each.
class Exporter {
 public:
  Exporter(const SlotDirectories& directories, FileStore& store, std::uint64_t room)
      : directories_(directories), store_(store), room_(room) {}

  /// False when there is nothing to report: an optional file that is missing.
  bool take(const FileOut& file, Output& output) {
    std::string path;
    const Base base = base_of(directories_, file.path, path);
    std::uint64_t size = 0;
    Result<UniqueFd> source = open_regular(base, path, size);
    if (!source) {
      output.error = source.error();
      return !(file.optional && source.error().errnum == ENOENT);
    }
    const std::uint64_t cap = file.store ? file.bytes_max : std::min(file.bytes_max, room_);
    if (size > cap) {
      output.error = too_large(file, size, room_);
      if (!file.truncate) return true;
      output.truncated = true;
      size = cap;
    }
    output.size = size;
    if (file.store) {
      Result<FileId> id = store_bytes(source->get(), size, file.path, store_);
      if (id)
        output.stored = *std::move(id);
      else
        output.error = std::move(id).error();
      return true;
    }
    Result<std::string> bytes = read_bytes(source->get(), size, file.path);
    if (bytes) {
      output.bytes = *std::move(bytes);
      room_ -= output.bytes.size();
    } else {
      output.error = std::move(bytes).error();
    }
    return true;
  }

 private:
  const SlotDirectories& directories_;
  FileStore& store_;
  std::uint64_t room_;
};

}  // namespace

bool is_quick(const std::vector<FileIn>& files) {
  std::size_t bytes = 0;
  for (const FileIn& file : files) {
    if (const auto* text = std::get_if<FileIn::Bytes>(&file.source))
      bytes += text->bytes.size();
    else if (!std::holds_alternative<FileIn::Directory>(file.source))
      return false;
  }
  return bytes <= kQuickBytes && files.size() <= kQuickFiles;
}

Result<OpenDirectories> open_directories(int root_fd) {
  Result<UniqueFd> work = open_mounted(root_fd, "w");
  if (!work) return std::move(work).error();
  Result<UniqueFd> tmp = open_mounted(root_fd, "tmp");
  if (!tmp) return std::move(tmp).error();
  return OpenDirectories{*std::move(work), *std::move(tmp)};
}

Result<void> copy_in(const std::vector<FileIn>& files, const SlotDirectories& directories,
                     const FileStore& store) {
  Importer importer(directories, store);
  for (const FileIn& file : files) HATCHERY_TRY(importer.put(file));
  return {};
}

Result<StreamFile> create_stream_file(const std::string& path, const SlotDirectories& directories) {
  std::string rest;
  const Base base = base_of(directories, path, rest);
  const AsJobUser job_user(directories.job_host_uid);
  if (const int errnum = make_parents(base, rest); errnum != 0)
    return transfer_error(Step::kCopyIn, path, errnum);
  StreamFile file;
  // O_NONBLOCK: a FIFO of the caller's making must not stop the pool; what is no file is refused.
  file.write_end = open_beneath(base, rest, O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK, 0666);
  struct stat status {};
  if (!file.write_end.valid() || ::fstat(file.write_end.get(), &status) < 0)
    return transfer_error(Step::kCopyIn, path, errno);
  if (!S_ISREG(status.st_mode)) return transfer_error(Step::kCopyIn, path, EINVAL);
  ::fchmod(file.write_end.get(), 0666);  // Whatever our umask is.
  ::fcntl(file.write_end.get(), F_SETFL, 0);
  file.read_end = UniqueFd(::open(("/proc/self/fd/" + std::to_string(file.write_end.get())).c_str(),
                                  O_RDONLY | O_CLOEXEC));
  if (!file.read_end.valid()) return transfer_error(Step::kCopyIn, path, errno);
  return file;
}

Result<StreamFile> create_nameless_stream_file(const SlotDirectories* slot) {
  StreamFile file;
  if (slot == nullptr) {
    file.read_end = UniqueFd(::memfd_create("hatchery-output", MFD_CLOEXEC));
  } else {
    const AsJobUser job_user(slot->job_host_uid);
    file.read_end =
        UniqueFd(::openat(slot->work_fd, ".", O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0600));
    if (!file.read_end.valid()) return transfer_error(Step::kCopyIn, "a collected file", errno);
  }
  // Of the same description, which saves 20 us: the pool uses neither its position nor flags.
  if (file.read_end.valid())
    file.write_end = UniqueFd(::fcntl(file.read_end.get(), F_DUPFD_CLOEXEC, 3));
  if (file.write_end.valid()) return file;
  return errno_error(Step::kCreateMemfd, "hatchery-output", errno,
                     "raise RLIMIT_NOFILE of the pool");
}

Result<std::string> read_stream_file(int fd, std::uint64_t bytes_max) {
  return read_bytes(fd, bytes_max, "");
}

std::vector<Output> copy_out(const std::vector<FileOut>& files, const SlotDirectories& directories,
                             FileStore& store, std::uint64_t room_bytes) {
  Exporter exporter(directories, store, room_bytes);
  std::vector<Output> outputs;
  outputs.reserve(files.size());
  for (const FileOut& file : files) {
    Output output{.name = file.path};
    if (exporter.take(file, output)) outputs.push_back(std::move(output));
  }
  return outputs;
}

}  // namespace hatchery
