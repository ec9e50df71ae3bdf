// The loop itself: waiting, waking, timers, start and end.
#include "pool/loop.h"

#include <poll.h>
#include <sched.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace hatchery {
namespace {

constexpr unsigned kRingEntries = 1024;
constexpr std::int64_t kHousekeepingNs = 1'000'000'000;
constexpr std::int64_t kRemovalNs = 5'000'000'000;
/// Beyond a wake-up's own time: something kept the loop from its ring.
constexpr std::int64_t kLateNs = 1'000'000;

/// Limits are only as exact as this thread is punctual, and jobs may keep every CPU busy: with
/// ordinary scheduling a CPU limit was overrun by up to 17 ms on two CPUs, so by 2 ms. Its turns
/// are short.
void raise_priority() {
  const sched_param first{.sched_priority = 1};
  if (::sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &first) == 0) return;
  // Without CAP_SYS_NICE, or in a group without real-time share: as it is, and a little later under
  // load.
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), -10);
}

}  // namespace

std::int64_t monotonic_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

Loop::Loop(PoolCommon& common, std::size_t index)
    : common_(common),
      index_(index),
      share_(common.shares[index]),
      backlog_(*common.backlog),
      wakeup_(backlog_.taker(index_).wakeup),
      next_slot_(static_cast<std::uint32_t>(index_)) {
  for (std::size_t i = 0; i < common.config.profiles.size(); ++i) {
    ProfileState state;
    state.profile = &common.config.profiles[i];
    state.setup = &common.profiles[i];
    state.offer = &backlog_.taker(index_).offers[i];
    state.slots_min = share_.slots_min[i];
    state.slots_max = share_.slots_max[i];
    state.offer->capacity = state.slots_max;
    for (const std::uint32_t cpu : state.setup->pin_cpus)
      if (std::ranges::find(share_.cpus, cpu) != share_.cpus.end()) state.pin_cpus.push_back(cpu);
    if (state.pin_cpus.empty()) state.pin_cpus = state.setup->pin_cpus;
    profiles_.push_back(std::move(state));
  }
}

Loop::~Loop() { HATCHERY_CHECK(!thread_.joinable()); }

void Loop::start() {
  opened_.emplace();
  started_ = opened_->get_future();
  porter_ = std::make_unique<Porter>();
  thread_ = std::thread([this] { run(); });
}

Result<void> Loop::started() { return started_.get(); }

void Loop::ask_to_stop() {
  stopping_ = true;
  wakeup_.wake();
}

void Loop::join() {
  if (!thread_.joinable()) return;
  thread_.join();
  porter_.reset();
}

void Loop::cancel(JobTicket ticket) {
  post([this, ticket] {
    const auto found = live_.find(ticket);
    if (found != live_.end()) do_cancel(*found->second);
  });
}

void Loop::cancel_waiting(std::unique_ptr<Submission> submission) {
  post([this, raw = submission.release()] {
    end_unplaced(std::unique_ptr<Submission>(raw), Outcome::kCancelled, std::nullopt);
    backlog_.withdrawn();
  });
}

void Loop::count(PoolStats& stats) const {
  stats.running += running_;
  stats.slots_ready += ready_count_;
  stats.slots_total += total_count_;
  stats.slots_replaced += replaced_;
}

void Loop::post(std::function<void()> call) {
  {
    const std::lock_guard lock(posted_mutex_);
    posted_.push_back(std::move(call));
    has_posted_ = true;
  }
  wakeup_.wake();
}

void Loop::run_posted() {
  while (has_posted_.exchange(false)) {
    std::vector<std::function<void()>> calls;
    {
      const std::lock_guard lock(posted_mutex_);
      calls.swap(posted_);
    }
    for (const std::function<void()>& call : calls) call();
  }
}

Result<void> Loop::open() {
  Result<std::unique_ptr<Ring>> ring = Ring::create(kRingEntries);
  if (!ring) return std::move(ring).error();
  ring_ = *std::move(ring);
  HATCHERY_TRY(start_launcher());
  listen_for_wakeups();
  start_slots();
  return {};
}

void Loop::run() {
  if (Result<void> opened = open(); !opened) {
    opened_->set_value(std::move(opened));
    opened_.reset();
    stopping_ = true;
  }
  // Not while it makes the first slots: the launcher, which has its part in that, was kept waiting
  // on this CPU, with another idle.
  raise_priority();
  while (!(stopping_ && slots_.empty() && live_.empty() && backlog_.count() == 0)) turn();
  finish();
}

void Loop::announce_if_ready() {
  if (!opened_) return;
  for (const ProfileState& state : profiles_) {
    if (!state.ready.empty() || state.slots_min == 0) continue;
    if (state.failures == 0 || state.starting > 0) return;
    opened_->set_value(*state.last_failure);
    opened_.reset();
    stopping_ = true;
    return;
  }
  opened_->set_value({});
  opened_.reset();
}

void Loop::turn() {
  run_posted();
  const std::int64_t now_ns = monotonic_ns();
  hear_unheard(now_ns);
  // Late itself, the loop hears what is there unread before it finds others late.
  if (!due_.empty() && now_ns - due_.begin()->first > kLateNs)
    HATCHERY_CHECK(ring_->run_once(0).has_value());
  fire_timers(now_ns);
  if (stopping_) shut_down(now_ns);
  if (now_ns >= housekeeping_due_ns_ && !killing_all_) housekeeping(now_ns);
  schedule();
  announce_if_ready();
  forget_dead_slots();
  for (const JobTicket ticket : finished_) live_.erase(ticket);
  finished_.clear();
  lingering_.remove_if([](const std::unique_ptr<Job>& job) { return job->idle(); });
  if (stopping_ && slots_.empty() && live_.empty()) return;
  sleep_until_something();
}

void Loop::sleep_until_something() {
  std::optional<std::int64_t> deadline = next_deadline();
  wakeup_.prepare_sleep();
  // With something to do already, only reap what is there.
  if (has_work()) deadline = 0;
  const Result<void> waited = ring_->run_once(deadline);
  HATCHERY_CHECK(waited.has_value());
  wakeup_.awake();
}

bool Loop::has_work() const {
  if (has_posted_ || !finished_.empty() || backlog_.has_new()) return true;
  for (std::size_t i = 0; i < profiles_.size(); ++i) {
    const ProfileState& state = profiles_[i];
    const bool could = !state.ready.empty() || !unheard_.empty() || state.alive < state.slots_max;
    if (could && backlog_.version(i) != state.version_seen) return true;
  }
  return false;
}

void Loop::listen_for_wakeups() {
  woken_ = std::make_unique<Completion>([this](int result) {
    if (result == -ECANCELED) return;
    wakeup_.swallow();
    ring_->poll(*woken_, wakeup_.fd(), POLLIN);
  });
  ring_->poll(*woken_, wakeup_.fd(), POLLIN);
}

void Loop::set_due(Slot& slot) {
  std::int64_t due_ns = slot.lost_due_ns;
  const auto earlier = [&due_ns](std::int64_t other) {
    if (other != 0 && (due_ns == 0 || other < due_ns)) due_ns = other;
  };
  earlier(slot.park_due_ns);
  earlier(slot.remove_due_ns);
  earlier(slot.reset_due_ns);
  if (slot.job != nullptr) {
    earlier(slot.job->cpu_due_ns);
    earlier(slot.job->wall_due_ns);
    earlier(slot.job->stuck_due_ns);
    earlier(slot.job->health_due_ns);
  }
  if (due_ns == slot.due_ns) return;
  // The node is used again: this is done some times a job.
  if (slot.due_ns != 0) slot.timer = due_.extract({slot.due_ns, &slot});
  slot.due_ns = due_ns;
  if (due_ns == 0) return;
  if (slot.timer.empty()) {
    due_.insert({due_ns, &slot});
    return;
  }
  slot.timer.value() = {due_ns, &slot};
  due_.insert(std::move(slot.timer));
}

std::optional<std::int64_t> Loop::next_deadline() const {
  std::optional<std::int64_t> deadline;
  const auto earlier = [&deadline](std::int64_t other) {
    deadline = std::min(deadline.value_or(other), other);
  };
  if (!due_.empty()) earlier(due_.begin()->first);
  if (unheard_due_ns_ != 0) earlier(unheard_due_ns_);
  if (!killing_all_) earlier(housekeeping_due_ns_);
  if (stopping_ && !killing_all_) earlier(stop_due_ns_);
  return deadline;
}

void Loop::fire_timers(std::int64_t now_ns) {
  while (!due_.empty() && due_.begin()->first <= now_ns) {
    Slot& slot = *due_.begin()->second;
    slot.timer = due_.extract(due_.begin());
    slot.due_ns = 0;
    if (slot.lost_due_ns != 0 && slot.lost_due_ns <= now_ns)
      give_up_zygote(slot);
    else if (slot.park_due_ns != 0 && slot.park_due_ns <= now_ns)
      give_up_parking(slot, now_ns);
    else if (slot.reset_due_ns != 0 && slot.reset_due_ns <= now_ns)
      send_reset(slot, false);
    else if (std::exchange(slot.remove_due_ns, 0) != 0)
      bury(slot);
    else if (slot.job != nullptr)
      check_limits(slot, *slot.job, now_ns);
    set_due(slot);
  }
}

void Loop::housekeeping(std::int64_t now_ns) {
  housekeeping_due_ns_ = now_ns + kHousekeepingNs;
  retire_idle(now_ns);
  start_slots();
  for (const ProfileState& state : profiles_)
    if (state.retry_due_ns > now_ns)
      housekeeping_due_ns_ = std::min(housekeeping_due_ns_, state.retry_due_ns);
}

void Loop::shut_down(std::int64_t now_ns) {
  if (stop_due_ns_ == 0)
    stop_due_ns_ = now_ns + static_cast<std::int64_t>(common_.config.shutdown_ms) * 1'000'000;
  const bool nothing_left = live_.empty() && backlog_.count() == 0;
  if (killing_all_ || (!nothing_left && now_ns < stop_due_ns_)) return;
  killing_all_ = true;
  for (const auto& [ticket, submission] : live_) do_cancel(*submission);
  while (std::unique_ptr<Submission> submission = backlog_.take_any(index_))
    end_unplaced(std::move(submission), Outcome::kCancelled, std::nullopt);
  for (const auto& [number, slot] : slots_) {
    if (slot->given_up || slot->remove_due_ns != 0)
      abandon(*slot);
    else if (!slot->start_answered && slot->state != SlotState::kDead)
      await_start(*slot);
    else if (slot->job == nullptr && slot->state != SlotState::kDead)
      lose(*slot, Error{.step = Step::kNone, .detail = "the pool shuts down"});
  }
}

void Loop::finish() {
  // Reports are made; what the kernel still holds is called back now.
  if (woken_) ring_->cancel(*woken_);
  if (launcher_received_) ring_->cancel(*launcher_received_);
  const std::int64_t until_ns = monotonic_ns() + kRemovalNs;
  while (ring_ && ring_->in_flight() > 0 && monotonic_ns() < until_ns) {
    const Result<void> waited = ring_->run_once(until_ns);
    HATCHERY_CHECK(waited.has_value());
  }
  lingering_.clear();
  launcher_ = LauncherLink();
  if (opened_) {
    opened_->set_value(Error{.step = Step::kStartLauncher, .detail = "the pool was stopped"});
    opened_.reset();
  }
  woken_.reset();
  launcher_received_.reset();
  ring_.reset();
}

}  // namespace hatchery
