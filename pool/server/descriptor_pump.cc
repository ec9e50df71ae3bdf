#include "pool/server/descriptor_pump.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>

namespace hatchery::server {
// Named: DescriptorPump::Impl has members of these types.
namespace pump {

constexpr std::size_t kPieceBytes = std::size_t{32} << 10;
constexpr std::size_t kWaitingMax = std::size_t{16} << 20;

void set_nonblocking(int fd) { ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK); }

/// One flow; its descriptors are watched by the pump's epoll. Pump's thread only.
class Flow {
 public:
  virtual ~Flow() = default;
  /// Something became possible. False when it is over.
  virtual bool advance() = 0;
  /// What it waits for now: events by descriptor; −1 for none.
  struct Wanted {
    int fd = -1;
    std::uint32_t events = 0;
  };
  virtual Wanted wanted() const = 0;
};

class ReadFlow final : public Flow {
 public:
  ReadFlow(UniqueFd source, DescriptorPump::OnBytes on_bytes, DescriptorPump::OnEnd on_end)
      : source_(std::move(source)), on_bytes_(std::move(on_bytes)), on_end_(std::move(on_end)) {}
  bool advance() override {
    std::array<char, kPieceBytes> part;
    const ssize_t got = ::read(source_.get(), part.data(), part.size());
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return true;
    if (got > 0) {
      on_bytes_({part.data(), static_cast<std::size_t>(got)});
      return true;
    }
    source_.reset();
    on_end_();
    return false;
  }
  Wanted wanted() const override { return {source_.get(), EPOLLIN}; }

 private:
  UniqueFd source_;
  DescriptorPump::OnBytes on_bytes_;
  DescriptorPump::OnEnd on_end_;
};

class RelayFlow final : public Flow {
 public:
  RelayFlow(UniqueFd source, UniqueFd target, std::uint64_t kept_max,
            DescriptorPump::OnRelayed on_end)
      : source_(std::move(source)),
        target_(std::move(target)),
        kept_max_(kept_max),
        on_end_(std::move(on_end)) {}
  bool advance() override {
    if (waiting_.empty() && !fill()) {
      target_.reset();
      on_end_(std::move(kept_));
      return false;
    }
    drain();
    return true;
  }
  Wanted wanted() const override {
    return waiting_.empty() ? Wanted{source_.get(), EPOLLIN} : Wanted{target_.get(), EPOLLOUT};
  }

 private:
  bool fill() {
    std::array<char, kPieceBytes> part;
    const ssize_t got = ::read(source_.get(), part.data(), part.size());
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return true;
    if (got <= 0) return false;
    const auto size = static_cast<std::size_t>(got);
    const std::uint64_t room = kept_max_ - kept_.size();
    kept_.append(part.data(), static_cast<std::size_t>(std::min<std::uint64_t>(size, room)));
    if (target_.valid()) waiting_.assign(part.data(), size);
    return true;
  }
  void drain() {
    if (waiting_.empty()) return;
    const ssize_t wrote = ::write(target_.get(), waiting_.data(), waiting_.size());
    if (wrote >= 0) {
      waiting_.erase(0, static_cast<std::size_t>(wrote));
    } else if (errno != EAGAIN && errno != EINTR) {
      target_.reset();  // EPIPE: the reader is gone.
      waiting_.clear();
    }
  }

  UniqueFd source_;
  UniqueFd target_;
  std::uint64_t kept_max_;
  std::string kept_;
  std::string waiting_;
  DescriptorPump::OnRelayed on_end_;
};

/// Shared with whoever writes into it.
struct SinkState {
  std::mutex mutex;
  std::string waiting;
  bool closed = false;  ///< Nothing more comes.
  bool broken = false;  ///< Nobody reads.
  UniqueFd fd;
};

class SinkFlow final : public Flow {
 public:
  explicit SinkFlow(std::shared_ptr<SinkState> state) : state_(std::move(state)) {}
  bool advance() override {
    const std::lock_guard lock(state_->mutex);
    if (!state_->fd.valid()) return false;
    if (!state_->waiting.empty()) {
      const ssize_t wrote =
          ::write(state_->fd.get(), state_->waiting.data(), state_->waiting.size());
      if (wrote >= 0)
        state_->waiting.erase(0, static_cast<std::size_t>(wrote));
      else if (errno != EAGAIN && errno != EINTR)
        state_->broken = true;
    }
    if (!state_->broken && !(state_->closed && state_->waiting.empty())) return true;
    state_->fd.reset();
    state_->waiting.clear();
    return false;
  }
  Wanted wanted() const override {
    const std::lock_guard lock(state_->mutex);
    // Not watched while nothing waits: a pipe without a reader would tell so for ever.
    return state_->waiting.empty() ? Wanted{} : Wanted{state_->fd.get(), EPOLLOUT};
  }
  const SinkState* state() const { return state_.get(); }

 private:
  std::shared_ptr<SinkState> state_;
};

}  // namespace pump

using namespace pump;

class DescriptorPump::Impl {
 public:
  Impl(UniqueFd epoll, UniqueFd wake) : epoll_(std::move(epoll)), wake_(std::move(wake)) {
    epoll_event event{.events = EPOLLIN, .data = {.u64 = 0}};
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event);
    thread_ = std::thread([this] { run(); });
  }
  ~Impl() {
    stopping_ = true;
    wake();
    thread_.join();
  }

  void add(std::unique_ptr<Flow> flow) {
    {
      const std::lock_guard lock(mutex_);
      arrived_.push_back(std::move(flow));
    }
    wake();
  }
  /// Its sink has bytes now, or was closed.
  void look_at(const SinkState* state) {
    {
      const std::lock_guard lock(mutex_);
      changed_.push_back(state);
    }
    wake();
  }

 private:
  struct Watched {
    std::unique_ptr<Flow> flow;
    Flow::Wanted wanted;
  };

  void wake() const {
    const std::uint64_t one = 1;
    static_cast<void>(::write(wake_.get(), &one, sizeof one));
  }

  void run() {
    std::array<epoll_event, 64> events;
    while (!stopping_) {
      const int count = ::epoll_wait(epoll_.get(), events.data(), events.size(), -1);
      for (int i = 0; i < count; ++i) {
        if (events[static_cast<std::size_t>(i)].data.u64 == 0)
          take_news();
        else
          advance(events[static_cast<std::size_t>(i)].data.u64);
      }
    }
  }

  void take_news() {
    std::uint64_t count = 0;
    static_cast<void>(::read(wake_.get(), &count, sizeof count));
    std::vector<std::unique_ptr<Flow>> arrived;
    std::vector<const SinkState*> changed;
    {
      const std::lock_guard lock(mutex_);
      arrived.swap(arrived_);
      changed.swap(changed_);
    }
    for (std::unique_ptr<Flow>& flow : arrived) {
      const std::uint64_t id = ++last_id_;
      if (const auto* sink = dynamic_cast<const SinkFlow*>(flow.get())) sinks_[sink->state()] = id;
      flows_[id] = {std::move(flow), {}};
      advance(id);
    }
    for (const SinkState* state : changed)
      if (const auto found = sinks_.find(state); found != sinks_.end()) advance(found->second);
  }

  void advance(std::uint64_t id) {
    const auto found = flows_.find(id);
    if (found == flows_.end()) return;
    Watched& watched = found->second;
    const Flow::Wanted before = watched.wanted;
    if (!watched.flow->advance()) {
      // Its descriptors are closed, and so out of the epoll, unless a job has a copy.
      if (const auto* sink = dynamic_cast<const SinkFlow*>(watched.flow.get()))
        sinks_.erase(sink->state());
      flows_.erase(found);
      return;
    }
    const Flow::Wanted now = watched.flow->wanted();
    if (now.fd == before.fd && now.events == before.events) return;
    if (before.fd >= 0 && before.fd != now.fd)
      ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, before.fd, nullptr);
    watched.wanted = now;
    if (now.fd < 0) return;
    epoll_event event{.events = now.events, .data = {.u64 = id}};
    const int action = before.fd == now.fd ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    ::epoll_ctl(epoll_.get(), action, now.fd, &event);
  }

  UniqueFd epoll_;
  UniqueFd wake_;
  std::atomic<bool> stopping_{false};
  std::mutex mutex_;
  std::vector<std::unique_ptr<Flow>> arrived_;
  std::vector<const SinkState*> changed_;
  std::unordered_map<std::uint64_t, Watched> flows_;
  std::unordered_map<const SinkState*, std::uint64_t> sinks_;
  std::uint64_t last_id_ = 0;
  std::thread thread_;
};

namespace {

class PumpSink final : public DescriptorPump::Sink {
 public:
  PumpSink(std::shared_ptr<SinkState> state, std::function<void(const SinkState*)> look_at)
      : state_(std::move(state)), look_at_(std::move(look_at)) {}
  ~PumpSink() override { PumpSink::close(); }
  bool write(std::string_view bytes) override {
    {
      const std::lock_guard lock(state_->mutex);
      if (state_->closed || state_->waiting.size() + bytes.size() > kWaitingMax) return false;
      if (state_->broken) return true;  // As a pipe into a job that has ended.
      state_->waiting += bytes;
    }
    look_at_(state_.get());
    return true;
  }
  void close() override {
    {
      const std::lock_guard lock(state_->mutex);
      if (state_->closed) return;
      state_->closed = true;
    }
    look_at_(state_.get());
  }
  bool resize(std::uint16_t rows, std::uint16_t cols, std::uint16_t x, std::uint16_t y) override {
    const std::lock_guard lock(state_->mutex);
    const winsize size{rows, cols, x, y};
    return state_->fd.valid() && ::ioctl(state_->fd.get(), TIOCSWINSZ, &size) == 0;
  }

 private:
  std::shared_ptr<SinkState> state_;
  std::function<void(const SinkState*)> look_at_;
};

}  // namespace

DescriptorPump::DescriptorPump(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
DescriptorPump::~DescriptorPump() = default;

Result<std::unique_ptr<DescriptorPump>> DescriptorPump::create() {
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  UniqueFd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!epoll.valid() || !wake.valid())
    return errno_error(Step::kCreatePipe, "epoll", errno, "raise RLIMIT_NOFILE of the pool");
  return std::unique_ptr<DescriptorPump>(
      new DescriptorPump(std::make_unique<Impl>(std::move(epoll), std::move(wake))));
}

void DescriptorPump::read(UniqueFd source, OnBytes on_bytes, OnEnd on_end) {
  set_nonblocking(source.get());
  impl_->add(std::make_unique<ReadFlow>(std::move(source), std::move(on_bytes), std::move(on_end)));
}

void DescriptorPump::relay(UniqueFd source, UniqueFd target, std::uint64_t kept_max,
                           OnRelayed on_end) {
  set_nonblocking(source.get());
  set_nonblocking(target.get());
  impl_->add(std::make_unique<RelayFlow>(std::move(source), std::move(target), kept_max,
                                         std::move(on_end)));
}

std::shared_ptr<DescriptorPump::Sink> DescriptorPump::sink(UniqueFd target) {
  set_nonblocking(target.get());
  auto state = std::make_shared<SinkState>();
  state->fd = std::move(target);
  impl_->add(std::make_unique<SinkFlow>(state));
  return std::make_shared<PumpSink>(
      state, [impl = impl_.get()](const SinkState* changed) { impl->look_at(changed); });
}

}  // namespace hatchery::server
