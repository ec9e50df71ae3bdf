#include "core/ring.h"

#include <liburing.h>
#include <time.h>

#include <algorithm>

namespace hatchery {
namespace {

std::int64_t now_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

const char* remedy_for(int errnum) {
  switch (errnum) {
    case EPERM:
      return "allow io_uring: sysctl kernel.io_uring_disabled=0, and a container's seccomp profile "
             "must permit io_uring_setup, io_uring_enter and io_uring_register";
    case ENOSYS: return "a kernel of 6.1 or newer with CONFIG_IO_URING is needed";
    case ENOMEM: return "raise RLIMIT_MEMLOCK or the memory limit of the pool's own cgroup";
    default: return "see `hatchery doctor`";
  }
}

}  // namespace

struct Ring::Queue {
  io_uring ring{};
};

Completion::~Completion() { HATCHERY_CHECK(!in_flight_); }

Ring::Ring(std::unique_ptr<Queue> queue) : queue_(std::move(queue)) {}

Ring::~Ring() {
  HATCHERY_CHECK(in_flight_ == 0);
  ::io_uring_queue_exit(&queue_->ring);
}

Result<std::unique_ptr<Ring>> Ring::create(unsigned entries) {
  auto queue = std::make_unique<Queue>();
  io_uring_params params{};
  // SINGLE_ISSUER since 6.0, DEFER_TASKRUN since 6.1: completions are made when the loop asks for
  // them, never by interrupting it.
  params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CLAMP |
                 IORING_SETUP_CQSIZE;
  params.cq_entries = entries * 4;
  int result = ::io_uring_queue_init_params(entries, &queue->ring, &params);
  if (result == -EINVAL) {  // An older kernel.
    params = {};
    params.flags = IORING_SETUP_CLAMP;
    result = ::io_uring_queue_init_params(entries, &queue->ring, &params);
  }
  if (result < 0) return errno_error(Step::kCreateRing, "", -result, remedy_for(-result));
  if ((params.features & IORING_FEAT_EXT_ARG) == 0 || (params.features & IORING_FEAT_NODROP) == 0) {
    ::io_uring_queue_exit(&queue->ring);
    return errno_error(Step::kCreateRing, "", ENOSYS, remedy_for(ENOSYS));
  }
  // No child of this process may share the ring's memory.
  ::io_uring_ring_dontfork(&queue->ring);
  return std::unique_ptr<Ring>(new Ring(std::move(queue)));
}

void* Ring::next_entry(Completion* completion) {
  io_uring_sqe* entry = ::io_uring_get_sqe(&queue_->ring);
  if (entry == nullptr) {  // The submission queue is full: hand it over and take a fresh slot.
    ::io_uring_submit(&queue_->ring);
    entry = ::io_uring_get_sqe(&queue_->ring);
    HATCHERY_CHECK(entry != nullptr);
  }
  if (completion != nullptr) {
    HATCHERY_CHECK(!completion->in_flight_);
    completion->in_flight_ = true;
    ++in_flight_;
  }
  return entry;
}

void Ring::poll(Completion& completion, int fd, unsigned events) {
  auto* entry = static_cast<io_uring_sqe*>(next_entry(&completion));
  ::io_uring_prep_poll_add(entry, fd, events);
  ::io_uring_sqe_set_data(entry, &completion);
}

void Ring::read(Completion& completion, int fd, void* buffer, std::size_t size) {
  auto* entry = static_cast<io_uring_sqe*>(next_entry(&completion));
  ::io_uring_prep_read(entry, fd, buffer, static_cast<unsigned>(size), 0);
  entry->off = static_cast<__u64>(-1);  // The file's own position; pipes have no other.
  ::io_uring_sqe_set_data(entry, &completion);
}

void Ring::receive(Completion& completion, int fd, msghdr* message) {
  auto* entry = static_cast<io_uring_sqe*>(next_entry(&completion));
  ::io_uring_prep_recvmsg(entry, fd, message, MSG_CMSG_CLOEXEC);
  ::io_uring_sqe_set_data(entry, &completion);
}

void Ring::cancel(Completion& completion) {
  if (!completion.in_flight_) return;
  auto* entry = static_cast<io_uring_sqe*>(next_entry(nullptr));
  ::io_uring_prep_cancel(entry, &completion, 0);
  ::io_uring_sqe_set_data(entry, nullptr);
}

void Ring::reap() {
  io_uring_cqe* cqe = nullptr;
  unsigned head = 0;
  unsigned count = 0;
  io_uring_for_each_cqe(&queue_->ring, head, cqe) {
    ++count;
    auto* completion = static_cast<Completion*>(::io_uring_cqe_get_data(cqe));
    if (completion == nullptr) continue;  // A cancel's own.
    completion->result_ = cqe->res;
    completion->next_ready_ = nullptr;
    *ready_last_ = completion;
    ready_last_ = &completion->next_ready_;
  }
  ::io_uring_cq_advance(&queue_->ring, count);
}

Result<void> Ring::run_once(std::optional<std::int64_t> deadline_ns) {
  __kernel_timespec timeout{};
  __kernel_timespec* timeout_pointer = nullptr;
  if (deadline_ns) {
    const std::int64_t left_ns = std::max<std::int64_t>(*deadline_ns - now_ns(), 0);
    timeout.tv_sec = left_ns / 1'000'000'000;
    timeout.tv_nsec = left_ns % 1'000'000'000;
    timeout_pointer = &timeout;
  }
  io_uring_cqe* cqe = nullptr;
  const int result =
      ::io_uring_submit_and_wait_timeout(&queue_->ring, &cqe, 1, timeout_pointer, nullptr);
  if (result < 0 && result != -ETIME && result != -EINTR && result != -EAGAIN && result != -EBUSY)
    return errno_error(Step::kWaitRing, "", -result);
  reap();
  while (ready_first_ != nullptr) {
    Completion* completion = ready_first_;
    ready_first_ = completion->next_ready_;
    if (ready_first_ == nullptr) ready_last_ = &ready_first_;
    completion->in_flight_ = false;
    --in_flight_;
    completion->callback_(completion->result_);
  }
  return {};
}

}  // namespace hatchery
