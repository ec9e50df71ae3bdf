#include "pool/backlog.h"

#include <algorithm>
#include <utility>

#ifdef __SANITIZE_THREAD__
/// A node of Boost.Lockfree's that is free is looked at by whoever had it before, atomically, while
/// its next owner writes it; what was read then is thrown away.
extern "C" const char* __tsan_default_suppressions() {  // NOLINT(bugprone-reserved-identifier)
  return "race:boost::lockfree::queue\n";
}
#endif

namespace hatchery {

Backlog::Backlog(std::size_t count_max, std::vector<std::uint32_t> running_max, std::size_t loops)
    : queue_(count_max), queues_(running_max.size()) {
  for (std::size_t i = 0; i < running_max.size(); ++i) queues_[i].running_max = running_max[i];
  for (std::size_t i = 0; i < loops; ++i)
    takers_.push_back(std::make_unique<Taker>(running_max.size()));
}

bool Backlog::push(std::unique_ptr<Submission>& submission) {
  if (closed_) return false;
  const std::size_t jobs = submission->jobs.size();
  const std::size_t profile = submission->profile;
  const JobTicket ticket = submission->ticket;
  submitted_ += jobs;
  if (!queue_.push(submission.get())) {
    submitted_ -= jobs;
    return false;
  }
  static_cast<void>(submission.release());  // The loops' from here on.
  // One that can take it at once; else one that may start a slot for it, by turns.
  for (const auto& taker : takers_)
    if (taker->offers[profile].ready > 0) {
      taker->wakeup.wake();
      return true;
    }
  takers_[ticket % takers_.size()]->wakeup.wake();
  return true;
}

void Backlog::close() { closed_ = true; }

void Backlog::sort_in() {
  while (Submission* submission = queue_.pop()) sort_in(*submission);
}

void Backlog::sort_in(Submission& submission) {
  waiting_[submission.ticket].reset(&submission);
  submission.position = queues_[submission.profile].waiting.push(
      submission.client, {&submission, submission.jobs.size()}, submission.priority);
  ++queues_[submission.profile].version;
}

/// Alone, and with a slot that waits for it, it need not be sorted in first. The others are.
std::unique_ptr<Submission> Backlog::take_new(std::size_t profile, std::size_t slots_ready) {
  const Queue& queue = queues_[profile];
  while (Submission* submission = queue_.pop()) {
    if (submission->profile == profile && queue_.empty() && queue.waiting.empty() &&
        submission->jobs.size() <= slots_ready && queue.may_start())
      return std::unique_ptr<Submission>(submission);
    sort_in(*submission);
  }
  return nullptr;
}

std::unique_ptr<Submission> Backlog::take_out(Submission& submission) {
  queues_[submission.profile].waiting.remove(submission.position);
  return std::move(waiting_.extract(submission.ticket).mapped());
}

std::unique_ptr<Submission> Backlog::give(std::unique_ptr<Submission> submission,
                                          std::size_t loop) {
  taken_[submission->ticket] = loop;
  release();
  return submission;
}

std::unique_ptr<Submission> Backlog::take(std::size_t profile, std::size_t loop,
                                          std::size_t slots_ready, Demand* left) {
  const std::lock_guard lock(mutex_);
  Queue& queue = queues_[profile];
  std::unique_ptr<Submission> taken = take_new(profile, slots_ready);
  const auto* front = queue.waiting.front();
  if (taken == nullptr && front != nullptr && front->slots <= slots_ready && queue.may_start())
    taken = take_out(*front->item);
  if (taken == nullptr) {
    if (left != nullptr) *left = demand_of(queue);
    return nullptr;
  }
  ++queue.running;
  taken->counted = true;
  return give(std::move(taken), loop);
}

std::unique_ptr<Submission> Backlog::take_hopeless(std::size_t profile, std::size_t loop) {
  const std::lock_guard lock(mutex_);
  sort_in();
  const auto* front = queues_[profile].waiting.front();
  if (front == nullptr || std::any_of(takers_.begin(), takers_.end(), [&](const auto& taker) {
        return taker->offers[profile].capacity >= front->slots;
      }))
    return nullptr;
  return give(take_out(*front->item), loop);
}

std::unique_ptr<Submission> Backlog::take_any(std::size_t loop) {
  const std::lock_guard lock(mutex_);
  sort_in();
  return waiting_.empty() ? nullptr : give(take_out(*waiting_.begin()->second), loop);
}

void Backlog::over(const Submission& submission) {
  const std::lock_guard lock(mutex_);
  taken_.erase(submission.ticket);
  if (!submission.counted) return;
  --queues_[submission.profile].running;
  ++queues_[submission.profile].version;
}

Backlog::Demand Backlog::demand(std::size_t profile) {
  const std::lock_guard lock(mutex_);
  sort_in();
  return demand_of(queues_[profile]);
}

Backlog::Demand Backlog::demand_of(const Queue& queue) {
  const auto* front = queue.waiting.front();
  if (front == nullptr) return {.version = queue.version};
  Demand demand{queue.waiting.size(), front->slots, queue.version};
  if (queue.running_max > 0)
    demand.startable = std::min<std::size_t>(demand.startable, queue.running_max - queue.running);
  return demand;
}

void Backlog::hand_on(std::size_t profile, std::size_t loop) {
  if (takers_.size() == 1) return;
  const std::lock_guard lock(mutex_);
  const Queue& queue = queues_[profile];
  const auto* front = queue.waiting.front();
  if (front == nullptr || !queue.may_start()) return;
  for (std::size_t i = 0; i < takers_.size(); ++i)
    if (i != loop && takers_[i]->offers[profile].ready >= front->slots)
      return takers_[i]->wakeup.wake();
}

Backlog::Found Backlog::find(JobTicket ticket) {
  const std::lock_guard lock(mutex_);
  sort_in();
  if (const auto found = waiting_.find(ticket); found != waiting_.end())
    return {take_out(*found->second), {}};
  if (const auto found = taken_.find(ticket); found != taken_.end()) return {{}, found->second};
  return {};
}

void Backlog::withdrawn() { release(); }

void Backlog::release() {
  queue_.release(1);
  // Loops that end wait for the last.
  if (closed_ && queue_.count() == 0)
    for (const auto& taker : takers_) taker->wakeup.wake();
}

void Backlog::reported(std::size_t jobs) {
  {
    const std::lock_guard lock(idle_mutex_);
    reported_ += jobs;
  }
  idle_changed_.notify_all();
}

void Backlog::drain() {
  std::unique_lock lock(idle_mutex_);
  idle_changed_.wait(lock, [this] { return submitted_ == reported_; });
}

}  // namespace hatchery
