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

/// Of a slot with its job: socket, pidfds, directories, cgroup files, streams.
constexpr rlim_t kFilesOfSlot = 32;
constexpr rlim_t kFilesBesides = 2048;

/// Descriptors are the pool's working material; the soft limit is often 1,024, and the hard one too
/// low for a thousand slots. That one only CAP_SYS_RESOURCE raises, up to fs.nr_open. Without room
/// for all, slots do with few.
CgroupFiles make_room_for_files(const PoolConfig& config) {
  rlim_t wanted = kFilesBesides;
  for (const Profile& profile : config.profiles) wanted += kFilesOfSlot * profile.slots_max;
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) < 0) return CgroupFiles::kOpenedForEachUse;
  const rlim_t hard = std::max(files.rlim_max, wanted);
  const rlimit enough{hard, hard};
  if (::setrlimit(RLIMIT_NOFILE, &enough) == 0) return CgroupFiles::kKept;
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  return CgroupFiles::kOpenedForEachUse;
}

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

Loop::Loop(LoopSetup setup)
    : setup_(std::move(setup)),
      host_name_(setup_.cgroups.name()),
      files_(setup_.config.store_bytes_max),
      submissions_(setup_.config.queue_max) {
  for (std::size_t i = 0; i < setup_.config.profiles.size(); ++i) {
    ProfileState state;
    state.profile = &setup_.config.profiles[i];
    state.slot_plan = std::move(setup_.slot_plans[i]);
    state.pin_cpus = std::move(setup_.pin_cpus[i]);
    state.io_max = std::move(setup_.io_max[i]);
    profiles_.push_back(std::move(state));
  }
}

Loop::~Loop() { HATCHERY_CHECK(!thread_.joinable()); }

Result<void> Loop::start() {
  cgroup_files_ = make_room_for_files(setup_.config);
  opened_.emplace();
  std::future<Result<void>> opened = opened_->get_future();
  porter_ = std::make_unique<Porter>();
  thread_ = std::thread([this] { run(); });
  Result<void> result = opened.get();
  if (!result) {
    stopping_ = true;
    submissions_.wake();
    thread_.join();
    porter_.reset();
  }
  return result;
}

void Loop::stop() {
  if (!thread_.joinable()) return;
  stopping_ = true;
  submissions_.wake();
  thread_.join();
  porter_.reset();
}

bool Loop::submit(std::unique_ptr<Submission>& submission) {
  if (stopping_) return false;
  const std::size_t jobs = submission->jobs.size();
  submitted_ += jobs;
  if (!submissions_.push(submission.get())) {
    submitted_ -= jobs;
    return false;
  }
  static_cast<void>(submission.release());  // The loop's from here on.
  return true;
}

bool Loop::cancel(JobTicket ticket) {
  if (stopping_ && !thread_.joinable()) return false;
  std::promise<bool> known;
  std::future<bool> answer = known.get_future();
  const auto ask = [this, ticket, &known] {
    accept_submissions();
    // One that is reported stays until the end of the turn.
    const auto found = live_.find(ticket);
    known.set_value(found != live_.end() && found->second->unreported > 0);
    do_cancel(ticket);
  };
  if (std::this_thread::get_id() == thread_.get_id())
    ask();
  else
    post(ask);
  return answer.get();
}

void Loop::drain() {
  std::unique_lock lock(idle_mutex_);
  idle_changed_.wait(lock, [this] { return submitted_ == reported_; });
}

PoolStats Loop::stats() const {
  PoolStats stats;
  stats.reported = reported_;
  stats.submitted = submitted_;
  stats.running = running_;
  const std::uint64_t waiting = stats.submitted - stats.reported;
  stats.queued = waiting > stats.running ? static_cast<std::uint32_t>(waiting) - stats.running : 0;
  stats.slots_ready = ready_count_;
  stats.slots_total = total_count_;
  stats.slots_replaced = replaced_;
  return stats;
}

void Loop::post(std::function<void()> call) {
  {
    const std::lock_guard lock(posted_mutex_);
    posted_.push_back(std::move(call));
    has_posted_ = true;
  }
  submissions_.wake();
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
  const PoolConfig& config = setup_.config;
  Result<HostState> host = HostState::open(config.state_directory, config.name, setup_.cgroups,
                                           config.uid_base, config.uid_count);
  if (!host) return std::move(host).error();
  host_.emplace(*std::move(host));
  HATCHERY_TRY(start_launcher());
  listen_for_wakeups();
  start_slots();
  return {};
}

void Loop::run() {
  raise_priority();
  if (Result<void> opened = open(); !opened) {
    opened_->set_value(std::move(opened));
    opened_.reset();
    stopping_ = true;
  }
  while (!(stopping_ && slots_.empty() && live_.empty() && submissions_.count() == 0)) turn();
  finish();
}

void Loop::announce_if_ready() {
  if (!opened_) return;
  for (const ProfileState& state : profiles_) {
    if (!state.ready.empty()) continue;
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
  accept_submissions();
  run_posted();
  const std::int64_t now_ns = monotonic_ns();
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
  // With something waiting already, only reap what is there.
  if (!submissions_.prepare_sleep() || has_posted_ || !finished_.empty()) deadline = 0;
  const Result<void> waited = ring_->run_once(deadline);
  HATCHERY_CHECK(waited.has_value());
  submissions_.awake();
}

void Loop::listen_for_wakeups() {
  woken_ = std::make_unique<Completion>([this](int result) {
    if (result != -ECANCELED) ring_->poll(*woken_, submissions_.wake_fd(), POLLIN);
  });
  ring_->poll(*woken_, submissions_.wake_fd(), POLLIN);
}

void Loop::accept_submissions() {
  while (Submission* raw = submissions_.pop()) {
    std::unique_ptr<Submission> submission(raw);
    Submission* kept = submission.get();
    live_[kept->ticket] = std::move(submission);
    kept->position = profiles_[kept->profile].queue.push(kept->client, {kept, kept->jobs.size()},
                                                         kept->priority);
    kept->queued = true;
  }
}

void Loop::set_due(Slot& slot) {
  std::int64_t due_ns = slot.lost_due_ns;
  const auto earlier = [&due_ns](std::int64_t other) {
    if (other != 0 && (due_ns == 0 || other < due_ns)) due_ns = other;
  };
  earlier(slot.park_due_ns);
  earlier(slot.remove_due_ns);
  if (slot.job != nullptr) {
    earlier(slot.job->cpu_due_ns);
    earlier(slot.job->wall_due_ns);
    earlier(slot.job->stuck_due_ns);
    earlier(slot.job->health_due_ns);
  }
  if (due_ns == slot.due_ns) return;
  if (slot.due_ns != 0) due_.erase({slot.due_ns, &slot});
  if (due_ns != 0) due_.insert({due_ns, &slot});
  slot.due_ns = due_ns;
}

std::optional<std::int64_t> Loop::next_deadline() const {
  std::optional<std::int64_t> deadline;
  const auto earlier = [&deadline](std::int64_t other) {
    deadline = std::min(deadline.value_or(other), other);
  };
  if (!due_.empty()) earlier(due_.begin()->first);
  if (!killing_all_) earlier(housekeeping_due_ns_);
  if (stopping_ && !killing_all_) earlier(stop_due_ns_);
  return deadline;
}

void Loop::fire_timers(std::int64_t now_ns) {
  while (!due_.empty() && due_.begin()->first <= now_ns) {
    Slot& slot = *due_.begin()->second;
    due_.erase(due_.begin());
    slot.due_ns = 0;
    if (slot.lost_due_ns != 0 && slot.lost_due_ns <= now_ns)
      give_up_zygote(slot);
    else if (slot.park_due_ns != 0 && slot.park_due_ns <= now_ns)
      lose(slot, Error{.step = Step::kReceiveMessage,
                       .object = "from the zygote of slot " + std::to_string(slot.number),
                       .errnum = ETIMEDOUT,
                       .detail = "it does not get its slot ready",
                       .remedy = "the slot is replaced; was the zygote stopped?"});
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
    stop_due_ns_ = now_ns + static_cast<std::int64_t>(setup_.config.shutdown_ms) * 1'000'000;
  const bool nothing_left = live_.empty() && submissions_.count() == 0;
  if (killing_all_ || (!nothing_left && now_ns < stop_due_ns_)) return;
  killing_all_ = true;
  std::vector<JobTicket> tickets;
  for (const auto& [ticket, submission] : live_) tickets.push_back(ticket);
  for (const JobTicket ticket : tickets) do_cancel(ticket);
  for (const auto& [number, slot] : slots_) {
    if (slot->given_up || slot->remove_due_ns != 0)
      abandon(*slot);
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
  if (host_) {
    static_cast<void>(remove_pool_cgroups(setup_.cgroups, host_->pool_name()).has_value());
    host_.reset();
  }
  if (opened_) {
    opened_->set_value(Error{.step = Step::kStartLauncher, .detail = "the pool was stopped"});
    opened_.reset();
  }
  woken_.reset();
  launcher_received_.reset();
  ring_.reset();
}

}  // namespace hatchery
