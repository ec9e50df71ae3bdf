// Backlog: what waits for slots, in one order for all loops of a pool, and which loop has what no
// longer waits. Runs in: pool. Thread: any, except where said.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "pool/scheduler.h"
#include "pool/submission.h"
#include "pool/submission_queue.h"
#include "pool/wakeup.h"

namespace hatchery {

class Backlog {
 public:
  /// What a loop could do for a profile's submissions. Written by the loop.
  struct Offer {
    std::atomic<std::size_t> ready{0};  ///< Slots with a parked worker.
    /// Slots that it has or may come to have: fewer than its share once starts go on failing.
    std::atomic<std::size_t> capacity{0};
  };
  /// A loop, as seen from here.
  struct Taker {
    explicit Taker(std::size_t profiles) : offers(profiles) {}
    Wakeup wakeup;
    std::vector<Offer> offers;  ///< By profile.
  };
  struct Demand {
    std::size_t startable = 0;  ///< Submissions that could start, were there slots.
    std::size_t front = 0;      ///< Slots that the first that waits needs at once; 0: none waits.
    std::uint64_t version = 0;  ///< version() then.
  };

  /// `running_max`: Profile::running_max of each profile.
  Backlog(std::size_t count_max, std::vector<std::uint32_t> running_max, std::size_t loops);

  Taker& taker(std::size_t loop) { return *takers_[loop]; }

  /// False when full or closed; then `submission` stays the caller's.
  bool push(std::unique_ptr<Submission>& submission);
  /// From now on push() refuses.
  void close();

  // For loops.
  /// The submission whose turn it is, if `slots_ready` and running_max are enough for it. It runs
  /// in `loop` until over(). When there is none, and `left` is not null, that is what waits.
  std::unique_ptr<Submission> take(std::size_t profile, std::size_t loop, std::size_t slots_ready,
                                   Demand* left = nullptr);
  /// The first, if no loop has the capacity for it, to be ended without having run.
  std::unique_ptr<Submission> take_hopeless(std::size_t profile, std::size_t loop);
  /// Any, whatever its profile: when the pool ends.
  std::unique_ptr<Submission> take_any(std::size_t loop);
  /// Its last report is about to be delivered: cancel() knows it no longer.
  void over(const Submission& submission);
  Demand demand(std::size_t profile);
  /// Wakes a loop that could take what waits and `loop` can't.
  void hand_on(std::size_t profile, std::size_t loop);
  /// Moves when one of the profile may have become takeable.
  std::uint64_t version(std::size_t profile) const { return queues_[profile].version; }
  bool has_new() const { return !queue_.empty(); }
  /// What waits, was withdrawn and is not reported yet included.
  std::size_t count() const { return queue_.count(); }

  // For cancel().
  struct Found {
    std::unique_ptr<Submission> waiting;  ///< Taken out, for withdrawn() after its report.
    std::optional<std::size_t> loop;      ///< Or the loop that has it.
  };
  Found find(JobTicket ticket);
  void withdrawn();

  // Counts, of jobs.
  void reported(std::size_t jobs);
  std::uint64_t submitted() const { return submitted_; }
  std::uint64_t reported() const { return reported_; }
  /// Until all that was pushed is reported.
  void drain();

 private:
  struct Queue {
    Scheduler<Submission*> waiting;
    std::uint32_t running_max = 0;
    std::uint32_t running = 0;
    std::atomic<std::uint64_t> version{0};
    bool may_start() const { return running_max == 0 || running < running_max; }
  };
  void sort_in();
  void sort_in(Submission& submission);
  static Demand demand_of(const Queue& queue);
  std::unique_ptr<Submission> take_new(std::size_t profile, std::size_t slots_ready);
  std::unique_ptr<Submission> take_out(Submission& submission);
  std::unique_ptr<Submission> give(std::unique_ptr<Submission> submission, std::size_t loop);
  void release();

  SubmissionQueue<Submission> queue_;
  std::vector<std::unique_ptr<Taker>> takers_;
  std::atomic<bool> closed_{false};

  std::mutex mutex_;
  std::vector<Queue> queues_;  ///< By profile.
  std::unordered_map<JobTicket, std::unique_ptr<Submission>> waiting_;
  std::unordered_map<JobTicket, std::size_t> taken_;  ///< By which loop.

  std::atomic<std::uint64_t> submitted_{0};
  std::atomic<std::uint64_t> reported_{0};
  std::mutex idle_mutex_;
  std::condition_variable idle_changed_;
};

}  // namespace hatchery
