#include "pool/cli/stream_pump.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <limits>

namespace hatchery::cli {
namespace {

constexpr std::size_t kBufferBytes = 64U << 10;

/// pipe(7): a pipe that is writable takes PIPE_BUF bytes without blocking. A regular file never
/// blocks.
std::size_t unblocked_write_max(int fd) {
  struct stat status = {};
  const bool regular = ::fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
  return regular ? kBufferBytes : PIPE_BUF;
}

}  // namespace

Result<std::unique_ptr<StreamPump>> StreamPump::create(std::optional<std::uint64_t> bytes_max) {
  Result<WakeUp> wake = WakeUp::create();
  if (!wake) return std::move(wake).error();
  Result<WakeUp> done = WakeUp::create();
  if (!done) return std::move(done).error();
  const std::uint64_t no_limit = std::numeric_limits<std::uint64_t>::max();
  return std::unique_ptr<StreamPump>(
      new StreamPump(bytes_max.value_or(no_limit), *std::move(wake), *std::move(done)));
}

StreamPump::~StreamPump() {
  abandon();
  join();
}

Result<int> StreamPump::add(int target_fd, std::string name) {
  HATCHERY_CHECK(!thread_.joinable());
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC) < 0) return errno_error(Step::kCreatePipe, name, errno);
  Flow flow = {.read_end = UniqueFd(ends[0]), .write_end = UniqueFd(ends[1])};
  // Only our end: the job's must block when the pipe is full.
  if (::fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0) return errno_error(Step::kCreatePipe, name, errno);
  flow.target_fd = target_fd;
  flow.name = std::move(name);
  flow.bytes_left = bytes_max_;
  flow.write_max = unblocked_write_max(target_fd);
  flows_.push_back(std::move(flow));
  return ends[1];
}

void StreamPump::start(OverflowCallback on_overflow) {
  on_overflow_ = std::move(on_overflow);
  for (Flow& flow : flows_) flow.write_end.reset();
  buffer_.resize(kBufferBytes);
  thread_ = std::thread([this] { run(); });
}

void StreamPump::finish() noexcept {
  finishing_ = true;
  wake_.signal();
}

void StreamPump::abandon() noexcept {
  abandoned_ = true;
  wake_.signal();
}

void StreamPump::join() {
  if (thread_.joinable()) thread_.join();
}

void StreamPump::run() {
  while (!abandoned_ && wait_for_input()) {
    // Read before the pipes are: what was written before finish() is in them by then.
    const bool last_round = finishing_;
    for (Flow& flow : flows_) {
      if (flow.read_end.valid()) copy_some(flow);
    }
    if (!last_round) continue;
    // A round of copy_some() empties a pipe that nobody writes to any more.
    break;
  }
  done_.signal();
}

bool StreamPump::wait_for_input() {
  std::vector<pollfd> waiting = {{.fd = wake_.fd(), .events = POLLIN, .revents = 0}};
  for (const Flow& flow : flows_) {
    if (flow.read_end.valid()) {
      waiting.push_back({.fd = flow.read_end.get(), .events = POLLIN, .revents = 0});
    }
  }
  if (waiting.size() == 1) return false;
  if (!finishing_) ::poll(waiting.data(), waiting.size(), -1);
  return true;
}

void StreamPump::copy_some(Flow& flow) {
  while (flow.read_end.valid() && !abandoned_) {
    const ssize_t got = ::read(flow.read_end.get(), buffer_.data(), buffer_.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
      flow.read_end.reset();
      return;
    }
    const auto size = static_cast<std::uint64_t>(got);
    const std::uint64_t kept = std::min(size, flow.bytes_left);
    flow.bytes_left -= kept;
    write_to_target(flow, {buffer_.data(), static_cast<std::size_t>(kept)});
    if (kept < size) overflow(flow);
    // The other stream gets its turn, unless the job is over and the pipes are only being emptied.
    if (!finishing_) return;
  }
}

void StreamPump::write_to_target(Flow& flow, std::string_view bytes) {
  while (!bytes.empty() && flow.read_end.valid()) {
    if (!wait_for_room(flow)) return;
    const std::size_t size = std::min(bytes.size(), flow.write_max);
    const ssize_t written = ::write(flow.target_fd, bytes.data(), size);
    if (written >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(written));
      continue;
    }
    const int errnum = errno;
    if (errnum == EINTR || errnum == EAGAIN) continue;
    // Nobody can take more of it, so the job learns what it would have without us: EPIPE.
    flow.read_end.reset();
    if (errnum == EPIPE) {
      reader_gone_ = true;
    } else if (!error_.has_value()) {
      error_ = write_error(flow.name, errnum);
    }
  }
}

bool StreamPump::wait_for_room(const Flow& flow) {
  while (!abandoned_) {
    pollfd waiting[] = {{.fd = flow.target_fd, .events = POLLOUT, .revents = 0},
                        {.fd = wake_.fd(), .events = POLLIN, .revents = 0}};
    ::poll(waiting, 2, -1);
    if (waiting[0].revents != 0) return true;
    // finish() wakes it too; what is left must still be written then.
    if (waiting[1].revents != 0) wake_.clear();
  }
  return false;
}

void StreamPump::overflow(Flow& flow) {
  flow.read_end.reset();
  if (overflowed_) return;
  overflowed_ = true;
  on_overflow_();
}

}  // namespace hatchery::cli
