#include "pool/cli/line_reader.h"

#include <unistd.h>

#include <cerrno>

namespace hatchery::cli {
namespace {

constexpr std::size_t kReadBytes = 256U << 10;

}  // namespace

LineReader::Next LineReader::next(std::string& line) {
  const std::size_t newline = buffer_.find('\n', scanned_);
  if (newline == std::string::npos) {
    scanned_ = buffer_.size();
    const bool too_long = skipping_ || buffer_.size() - begin_ > line_bytes_max_;
    if (!at_end_) {
      if (!too_long) return Next::kNeedInput;
      // Forget what there is of it: the line is only looked through for its end.
      skipping_ = true;
      buffer_.clear();
      begin_ = scanned_ = 0;
      return Next::kNeedInput;
    }
    const bool something = skipping_ || begin_ < buffer_.size();
    line.assign(buffer_, begin_, std::string::npos);
    buffer_.clear();
    begin_ = scanned_ = 0;
    skipping_ = false;
    if (!something) return Next::kEnd;
    return too_long ? Next::kTooLong : Next::kLine;
  }
  const std::size_t size = newline - begin_;
  const bool too_long = skipping_ || size > line_bytes_max_;
  if (!too_long) line.assign(buffer_, begin_, size);
  begin_ = scanned_ = newline + 1;
  skipping_ = false;
  return too_long ? Next::kTooLong : Next::kLine;
}

Result<void> LineReader::fill() {
  buffer_.erase(0, begin_);
  scanned_ -= begin_;
  begin_ = 0;
  const std::size_t size = buffer_.size();
  buffer_.resize(size + kReadBytes);
  const ssize_t got = ::read(fd_, buffer_.data() + size, kReadBytes);
  const int errnum = errno;
  buffer_.resize(size + static_cast<std::size_t>(got > 0 ? got : 0));
  if (got > 0) bytes_read_ += static_cast<std::uint64_t>(got);
  if (got == 0) at_end_ = true;
  if (got >= 0 || errnum == EINTR || errnum == EAGAIN) return {};
  return errno_error(Step::kReadFile, "input", errnum);
}

}  // namespace hatchery::cli
