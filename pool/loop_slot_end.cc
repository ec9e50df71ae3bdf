// The end of a slot: lost, given up, retired, removed.
#include <poll.h>
#include <signal.h>

#include <algorithm>
#include <utility>

#include "core/process.h"
#include "pool/loop.h"

namespace hatchery {
namespace {

constexpr std::int64_t kRetryFirstNs = 50'000'000;
constexpr std::int64_t kRetryMaxNs = 5'000'000'000;
constexpr std::int64_t kZygoteDeathNs = 5'000'000'000;
/// How long what could do its work, but is given no CPU, is waited for: a job whose process has
/// ended well would be an internal error. Seen: 8 s, on two CPUs with builds and a guest.
constexpr std::int64_t kStarvedNs = 60'000'000'000;
constexpr std::uint32_t kRemoveWaitFirstMs = 100;
constexpr std::uint32_t kRemoveWaitMs = 5'000;
constexpr std::int64_t kRemoveAgainNs = 1'000'000'000;

}  // namespace

void Loop::lose(Slot& slot, Error why) {
  if (slot.state == SlotState::kDead) return;
  ProfileState& state = profiles_[slot.profile];
  if (slot.state == SlotState::kReady) {
    std::erase(state.ready, &slot);
    --ready_count_;
  }
  if (!slot.ever_ready) {
    --state.starting;
    // A start that failed is tried again, later each time, so that a broken host isn't hammered.
    // Those that were tried with it and fail for the same reason, such as a launcher that died, are
    // no further attempts: eight slots at once would else use up all five.
    const std::int64_t now_ns = monotonic_ns();
    state.last_failure = why;
    if (now_ns >= state.retry_due_ns) {
      ++state.failures;
      state.retry_due_ns =
          now_ns +
          std::min(kRetryFirstNs << std::min<std::uint32_t>(state.failures - 1, 10), kRetryMaxNs);
    }
    housekeeping_due_ns_ = std::min(housekeeping_due_ns_, state.retry_due_ns);
  }
  --state.alive;
  if (!stopping_ && why.step != Step::kNone) ++replaced_;
  slot.failure = std::move(why);
  slot.apply(SlotEvent::kLost);
  slot.park_due_ns = slot.reset_due_ns = 0;
  send_signal(slot.zygote_pidfd.get(), SIGKILL);
  if (slot.received) ring_->cancel(*slot.received);
  if (!slot.zygote_pidfd.valid()) return on_zygote_dead(slot);
  // Only when the zygote is gone are all processes of its pid namespace.
  slot.lost_due_ns = monotonic_ns() + kZygoteDeathNs;
  set_due(slot);
  slot.zygote_died = std::make_unique<Completion>([this, &slot](int result) {
    if (result != -ECANCELED) on_zygote_dead(slot);
  });
  ring_->poll(*slot.zygote_died, slot.zygote_pidfd.get(), POLLIN);
}

void Loop::on_zygote_dead(Slot& slot) {
  slot.lost_due_ns = 0;
  slot.given_up = false;
  end_job_of_lost(slot);
  set_due(slot);
  if (!slot.porter_busy) bury(slot);
}

void Loop::end_job_of_lost(Slot& slot) {
  if (slot.job == nullptr || slot.porter_busy) return;
  Job& job = *slot.job;
  if (job.killed == KillReason::kNone) job.killed = KillReason::kSlotLost;
  if (job.handed_over) {
    collect(slot, job);
  } else {
    never_ran(job, Outcome::kInternalError, slot.failure);
    unlease(slot);
  }
}

bool Loop::is_starved(Slot& slot, std::int64_t now_ns) {
  if (slot.starved_ns == 0) slot.starved_ns = now_ns;
  if (now_ns - slot.starved_ns >= kStarvedNs) return false;
  if (is_runnable(slot.zygote_pidfd.get())) return true;
  if (!slot.cgroup || slot.porter_busy) return false;  // The porter may have the groups in hand.
  // It waits for processes that are being killed.
  const std::vector<pid_t> processes = slot.cgroup->processes();
  return std::any_of(processes.begin(), processes.end(), is_runnable_pid);
}

void Loop::give_up_parking(Slot& slot, std::int64_t now_ns) {
  if (is_starved(slot, now_ns)) {
    slot.park_due_ns = now_ns + kZygoteDeathNs;
    return;
  }
  lose(slot, Error{.step = Step::kReceiveMessage,
                   .object = "from the zygote of slot " + std::to_string(slot.number),
                   .errnum = ETIMEDOUT,
                   .detail = "it does not get its slot ready: its zygote, " +
                             process_state(slot.zygote_pidfd.get()),
                   .remedy = "the slot is replaced; was the zygote stopped?"});
}

void Loop::give_up_zygote(Slot& slot) {
  if (const std::int64_t now_ns = monotonic_ns(); is_starved(slot, now_ns)) {
    slot.lost_due_ns = now_ns + kZygoteDeathNs;
    return;
  }
  // In an uninterruptible sleep, frozen, or without a CPU: SIGKILL is pending, the report can't
  // wait for ever. What the slot has stays its own until the zygote dies after all.
  slot.lost_due_ns = 0;
  slot.given_up = true;
  slot.failure =
      Error{.step = Step::kRemoveCgroup,
            .object = "slot " + std::to_string(slot.number),
            .errnum = EBUSY,
            .detail = "its zygote can't be killed: " + process_state(slot.zygote_pidfd.get()),
            .remedy = "see its stack in /proc/PID/stack"};
  end_job_of_lost(slot);
  if (killing_all_) abandon(slot);
}

void Loop::await_start(Slot& slot) {
  slot.park_due_ns = std::min(slot.park_due_ns, monotonic_ns() + kZygoteDeathNs);
  set_due(slot);
}

void Loop::abandon(Slot& slot) {
  slot.remove_due_ns = 0;
  if (slot.zygote_died && slot.zygote_died->in_flight()) ring_->cancel(*slot.zygote_died);
  bury(slot);
}

void Loop::remove_slot(Slot& slot) {
  slot.removing = true;
  slot.socket.reset();
  slot.root_dir.reset();
  if (!slot.cgroup) return bury(slot);
  slot.porter_busy = true;
  // While the pool runs others wait for the porter; at its end this is the last try: what is left
  // is found by the next start of any pool.
  const bool last = killing_all_;
  porter_->run([this, &slot, last] {
    const bool removed = slot.cgroup->remove(last ? kRemoveWaitMs : kRemoveWaitFirstMs).has_value();
    post([this, &slot, gone = removed || last] {
      slot.porter_busy = false;
      if (gone) {
        slot.cgroup.reset();
        return bury(slot);
      }
      slot.removing = false;
      if (killing_all_) return bury(slot);
      slot.remove_due_ns = monotonic_ns() + kRemoveAgainNs;
      set_due(slot);
    });
  });
}

void Loop::bury(Slot& slot) {
  if (!std::exchange(slot.buried, true)) dead_.push_back(&slot);
}

void Loop::forget_dead_slots() {
  std::vector<Slot*> dead;
  dead.swap(dead_);
  for (Slot* slot : dead) {
    slot->buried = false;
    // Buried when its zygote dies, or the pool ends.
    if (slot->given_up && !killing_all_) continue;
    if (!slot->idle() || slot->job != nullptr) {
      bury(*slot);
      continue;
    }
    if (!slot->removing) {
      remove_slot(*slot);
      continue;
    }
    if (slot->lease.uid != 0 && !slot->given_up) common_.host->release_uid(slot->lease);
    if (slot->categories && !slot->given_up) common_.host->release_categories(*slot->categories);
    if (slot->due_ns != 0) due_.erase({slot->due_ns, slot});
    if (slot->cpu) --at_home_[*slot->cpu];
    --total_count_;
    slots_.erase(slot->number);
  }
  for (std::size_t i = 0; i < profiles_.size(); ++i)
    if (profiles_[i].failures >= kStartFailuresMax) fail_queue(i);
}

void Loop::fail_queue(std::size_t profile) {
  ProfileState& state = profiles_[profile];
  // With the slots that there are, what comes first could never run, and what comes after it would
  // wait for it.
  state.offer->capacity = state.alive - state.starting;
  while (std::unique_ptr<Submission> submission = backlog_.take_hopeless(profile, index_))
    end_unplaced(std::move(submission), Outcome::kInternalError, state.last_failure);
}

void Loop::retire_idle(std::int64_t now_ns) {
  for (std::size_t i = 0; i < profiles_.size(); ++i) {
    if (backlog_.demand(i).front > 0) continue;
    ProfileState& state = profiles_[i];
    const std::int64_t idle_ns = static_cast<std::int64_t>(state.profile->slot_idle_ms) * 1'000'000;
    // The front of the list has been idle longest: slots are used last in, first out.
    while (state.alive > state.slots_min && !state.ready.empty() &&
           now_ns - state.ready.front()->ready_since_ns > idle_ns)
      lose(*state.ready.front(), Error{.detail = "idle"});
  }
}

}  // namespace hatchery
