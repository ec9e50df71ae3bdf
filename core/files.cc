#include "core/files.h"

#include <fcntl.h>

#include <charconv>

namespace hatchery {

Result<std::string> read_whole_file(const std::string& path, std::size_t bytes_max) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return errno_error(Step::kReadFile, path, errno);
  std::string text;
  char part[16384];
  for (;;) {
    const ssize_t got = ::read(fd.get(), part, sizeof part);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno_error(Step::kReadFile, path, errno);
    if (got == 0) return text;
    if (text.size() + static_cast<std::size_t>(got) > bytes_max)
      return errno_error(Step::kReadFile, path, EFBIG,
                         "at most " + std::to_string(bytes_max) + " bytes are read");
    text.append(part, static_cast<std::size_t>(got));
  }
}

long pread_all(int fd, char* buffer, std::size_t size) noexcept {
  for (;;) {
    const ssize_t got = ::pread(fd, buffer, size, 0);
    if (got >= 0 || errno != EINTR) return got;
  }
}

std::optional<std::uint64_t> leading_number(std::string_view text) noexcept {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{}) return std::nullopt;
  return number;
}

std::optional<std::uint64_t> keyed_number(std::string_view text, std::string_view key) noexcept {
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    if (line.size() > key.size() && line.substr(0, key.size()) == key && line[key.size()] == ' ')
      return leading_number(line.substr(key.size() + 1));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return std::nullopt;
}

}  // namespace hatchery
