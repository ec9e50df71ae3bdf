// LineReader: lines of a file, pipe or terminal, in bounded memory and without blocking unseen.
// Thread: one at a time.
#pragma once

#include <cstdint>
#include <string>

#include "core/result.h"

namespace hatchery::cli {

class LineReader {
 public:
  enum class Next : std::uint8_t {
    kLine,       ///< `line` is one, without its newline.
    kTooLong,    ///< A line above the bound has been left out.
    kNeedInput,  ///< Nothing whole is buffered: call fill().
    kEnd,
  };

  /// `fd` stays open as long as the reader lives.
  LineReader(int fd, std::size_t line_bytes_max) : fd_(fd), line_bytes_max_(line_bytes_max) {}

  Next next(std::string& line);
  /// One read(2), which blocks unless poll(2) said that there is input.
  Result<void> fill();
  /// Bytes taken from the file so far.
  std::uint64_t bytes_read() const noexcept { return bytes_read_; }

 private:
  const int fd_;
  const std::size_t line_bytes_max_;
  std::string buffer_ = {};
  std::size_t begin_ = 0;    // Of the first line that was not given out.
  std::size_t scanned_ = 0;  // Up to here there is no newline.
  std::uint64_t bytes_read_ = 0;
  bool skipping_ = false;
  bool at_end_ = false;
};

}  // namespace hatchery::cli
