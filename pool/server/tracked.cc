#include "pool/server/tracked.h"

#include <chrono>
#include <utility>

#include "core/check.h"

namespace hatchery::server {

NativeRefusal refusal_of(Error error) {
  int status = 500;
  if (error.step == Step::kQueueJob) status = 503;
  if (error.step == Step::kValidateJob || error.step == Step::kParseRequest ||
      error.step == Step::kOpenInput)
    status = 400;
  return {status, std::move(error)};
}

std::uint64_t size_of(const Report& report) {
  std::uint64_t size = 1024;
  for (const Output& output : report.outputs) size += output.bytes.size();
  return size;
}

std::int64_t Tracked::unix_ms() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

bool Tracked::is_done() const {
  const std::lock_guard lock(mutex_);
  return done_;
}

void Tracked::when_done(std::function<void()> call) {
  {
    const std::lock_guard lock(mutex_);
    if (!done_) {
      waiting_.push_back(std::move(call));
      return;
    }
  }
  call();
}

void Tracked::hold(std::shared_ptr<void> lease) {
  const std::lock_guard lock(mutex_);
  if (!done_) lease_ = std::move(lease);
}

void Tracked::finish() {
  std::vector<std::function<void()>> waiting;
  {
    const std::lock_guard lock(mutex_);
    HATCHERY_CHECK(!done_);
    ended_ms = unix_ms();
    lease_.reset();
    done_ = true;
    waiting.swap(waiting_);
  }
  for (const auto& call : waiting) call();
}

}  // namespace hatchery::server
