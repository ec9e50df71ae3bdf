// Loop: the thread that owns a ring, and slots with their running jobs; a pool has one or several.
// Events come in from the ring, the backlog and posted calls; what follows from each is written in
// loop_slots.cc and loop_slot_end.cc (life of a slot), loop_place.cc and loop_jobs.cc (life of a
// job). Runs in: pool. Thread: its own, except where said.
#pragma once

#include <atomic>
#include <functional>
#include <future>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "core/cgroup.h"
#include "core/ring.h"
#include "pool/backlog.h"
#include "pool/config.h"
#include "pool/file_store.h"
#include "pool/host_state.h"
#include "pool/launcher_link.h"
#include "pool/limits.h"
#include "pool/outcome.h"
#include "pool/pool_setup.h"
#include "pool/porter.h"
#include "pool/slot.h"
#include "pool/submission.h"

namespace hatchery {

struct SlotDirectories;

/// Starts of slots that failed in a row, after which a profile's jobs are not let wait any longer.
inline constexpr std::uint32_t kStartFailuresMax = 5;
/// What a job can pin in its slot, and later jobs do not pay for; more replaces the slot.
inline constexpr std::uint64_t kIrreclaimableMax = 8ULL << 20;

/// One profile's share of the loop.
struct ProfileState {
  const Profile* profile = nullptr;
  const ProfileSetup* setup = nullptr;
  Backlog::Offer* offer = nullptr;
  std::uint32_t slots_min = 0;
  std::uint32_t slots_max = 0;
  std::vector<std::uint32_t> pin_cpus;  ///< Of setup->pin_cpus, those of this loop.
  std::vector<Slot*> ready;             ///< Used last in, first out: caches are warm.
  std::uint64_t version_seen = 0;       ///< Of the backlog, when this loop last looked.
  std::size_t alive = 0;
  std::size_t starting = 0;
  std::uint32_t failures = 0;  ///< Starts that failed in a row.
  std::int64_t retry_due_ns = 0;
  std::optional<Error> last_failure;
};

class Loop {
 public:
  /// Has common.shares[index].
  Loop(PoolCommon& common, std::size_t index);
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Caller's thread.
  /// Starts the thread.
  void start();
  /// When the first slot of each profile that has a minimum here is ready, or the error.
  Result<void> started();
  /// From now on it drains for shutdown_ms, cancels the rest, and removes everything.
  void ask_to_stop();
  void join();

  // Any thread.
  /// Of one that find() gave this loop for.
  void cancel(JobTicket ticket);
  /// Of one that find() took out.
  void cancel_waiting(std::unique_ptr<Submission> submission);
  /// Adds its part.
  void count(PoolStats& stats) const;

 private:
  // loop.cc
  void run();
  Result<void> open();
  void turn();
  void sleep_until_something();
  bool has_work() const;
  void run_posted();
  void post(std::function<void()> call);
  void listen_for_wakeups();
  void housekeeping(std::int64_t now_ns);
  void shut_down(std::int64_t now_ns);
  void fire_timers(std::int64_t now_ns);
  void set_due(Slot& slot);
  std::optional<std::int64_t> next_deadline() const;
  void finish();
  void announce_if_ready();

  // loop_slots.cc
  Result<void> start_launcher();
  void listen_to_launcher();
  void on_launcher_message(int result);
  void start_slots();
  void start_slots(std::size_t profile, const Backlog::Demand& waiting);
  void start_slot(std::size_t profile);
  Result<void> place_slot(Slot& slot);
  Result<void> prepare_slot(Slot& slot, protocol::StartSlot& message, UniqueFd& theirs);
  void slot_start_failed(Slot& slot, Error error);
  Error failure_error(const Slot& slot, const protocol::Failure& failure) const;
  void listen_to_slot(Slot& slot);
  /// While no job waits for a slot, a zygote that makes one new need not wake the loop when it has:
  /// what it says is read in the next turn, or kUnheardNs from now.
  void listen_later(Slot& slot);
  /// What those have said meanwhile.
  void hear_unheard(std::int64_t now_ns);
  void listen_to_unheard();
  void on_slot_message(Slot& slot, int result);
  void on_parked(Slot& slot, const protocol::Parked& parked, std::vector<UniqueFd> fds);
  void reclaim(Slot& slot, int tries_left);
  void slot_becomes_ready(Slot& slot);

  // loop_slot_end.cc
  void lose(Slot& slot, Error why);
  void on_zygote_dead(Slot& slot);
  /// What was running in a slot that is lost is reported, or about to be.
  void end_job_of_lost(Slot& slot);
  /// Whether what is late could do its work, were it given a CPU: the host is to blame, and is
  /// waited for, up to a minute.
  bool is_starved(Slot& slot, std::int64_t now_ns);
  void give_up_parking(Slot& slot, std::int64_t now_ns);
  void give_up_zygote(Slot& slot);
  /// At the pool's end: only the launcher's answer names the process that would outlive the pool
  /// where no group is emptied.
  void await_start(Slot& slot);
  /// At the pool's end: waits for its zygote, or for its groups to be free, no longer.
  void abandon(Slot& slot);
  void remove_slot(Slot& slot);
  /// Puts it once into the list that forget_dead_slots() works off.
  void bury(Slot& slot);
  void forget_dead_slots();
  void retire_idle(std::int64_t now_ns);
  void fail_queue(std::size_t profile);

  // loop_jobs.cc
  void schedule();
  void schedule_profile(std::size_t profile);
  void place(Slot& slot, Job& job);
  Result<void> wire(const Slot& slot, Job& job, std::vector<UniqueFd>& fds);
  Result<UniqueFd> open_stream(const Slot& slot, Job& job, int number, const Stream& stream);
  Result<UniqueFd> open_stream_file(const Slot& slot, Job& job, int number,
                                    const FileCollectorStream& asked);
  void files_are_in(Slot& slot, Job& job, Result<void> result);
  bool looks_at_once(const Slot& slot, const Job& job) const;
  void hand_over(Slot& slot, Job& job);
  void arm_limits(Slot& slot, Job& job, std::int64_t now_ns);
  void check_limits(Slot& slot, Job& job, std::int64_t now_ns);
  void kill_job(Slot& slot, Job& job, KillReason reason);
  void on_forbidden(Slot& slot, Job& job);
  void listen_to_collector(Collector& collector);
  void drain_collector(Slot* slot, Collector& collector);
  void on_ended(Slot& slot, const protocol::Ended& ended);
  SlotDirectories directories_of(const Slot& slot, const Job& job) const;
  /// From then to the job's end they are the same, whatever becomes of the slot.
  static Result<void> open_directories(const Slot& slot, Job& job);
  static void record_end(Job& job);
  void collect(Slot& slot, Job& job);
  void report(Slot& slot, Job& job);
  void never_ran(Job& job, Outcome outcome, std::optional<Error> error);
  void deliver(Job& job);
  /// It counts as replaced if `why` has a step.
  void unlease(Slot& slot, Error why = {});
  void end_unplaced(std::unique_ptr<Submission> submission, Outcome outcome,
                    const std::optional<Error>& error);
  void do_cancel(Submission& submission);
  void all_placed(Submission& submission);
  void fill_figures(Slot& slot, Job& job);
  std::vector<Output> take_outputs(Job& job, const SlotDirectories& directories);
  void finish_collecting(Slot& slot, Job& job, std::vector<Output> outputs);
  /// Whether other jobs run or wait: then a slot is made new at once, else after the report has got
  /// where it goes.
  bool is_busy() const { return running_ > 0 || backlog_.count() > 0; }
  void ask_for_reset(Slot& slot);
  void send_reset(Slot& slot, bool new_group);

  PoolCommon& common_;
  const std::size_t index_;
  const LoopShare& share_;
  Backlog& backlog_;
  Wakeup& wakeup_;
  std::unique_ptr<Porter> porter_;

  std::unique_ptr<Ring> ring_;
  LauncherLink launcher_;
  Inbox launcher_inbox_{};
  std::unique_ptr<Completion> launcher_received_;
  std::uint32_t starts_unanswered_ = 0;  ///< By the launcher; the others wait in start_slots().
  std::unique_ptr<Completion> woken_;

  std::vector<ProfileState> profiles_;
  std::map<std::uint32_t, std::unique_ptr<Slot>> slots_;
  std::map<std::uint32_t, std::uint32_t> at_home_;  ///< Slots on each CPU that has one.
  std::uint32_t next_slot_;
  std::size_t next_fault_ = 0;
  std::vector<Slot*> dead_;
  std::vector<std::uint32_t> unheard_;  ///< Numbers of slots: see listen_later().
  std::int64_t unheard_due_ns_ = 0;     ///< When they are listened to after all; 0: none.
  SlotTimers due_;
  std::int64_t housekeeping_due_ns_ = 0;

  std::unordered_map<JobTicket, std::unique_ptr<Submission>> live_;
  std::list<std::unique_ptr<Job>> lingering_;  ///< Reported, but the kernel still refers to them.
  std::vector<JobTicket> finished_;            ///< Erased from live_ at the end of the turn.

  std::mutex posted_mutex_;
  std::vector<std::function<void()>> posted_;
  std::atomic<bool> has_posted_{false};

  std::atomic<std::uint64_t> replaced_{0};
  std::atomic<std::uint32_t> running_{0}, ready_count_{0}, total_count_{0};
  std::atomic<bool> stopping_{false};
  std::int64_t stop_due_ns_ = 0;
  bool killing_all_ = false;

  std::optional<std::promise<Result<void>>> opened_;
  std::future<Result<void>> started_;
  std::thread thread_;
};

std::int64_t monotonic_ns();

}  // namespace hatchery
