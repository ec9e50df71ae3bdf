// The scheduler and the slot table under a seeded stream of random events, without kernel or clock:
// jobs and groups come and are cancelled, zygotes die at any moment, resets fail. All invariants
// are checked at each step. Replay a failure with HATCHERY_SEED=<seed printed>.
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <vector>

#include "pool/scheduler.h"
#include "pool/slot_state.h"

namespace hatchery {
namespace {

constexpr int kSteps = 100'000;

struct SimulatedSubmission {
  int id = 0;
  std::string client;
  std::size_t jobs = 1;
  std::size_t reported = 0;
  bool cancelled = false;
  std::uint64_t order = 0;
  bool queued = false;
  Scheduler<SimulatedSubmission*>::Position position = {};
};

struct SimulatedSlot {
  SlotState state = SlotState::kStarting;
  SimulatedSubmission* job = nullptr;
};

class Simulation {
 public:
  explicit Simulation(std::uint64_t seed) : random_(seed) {}

  void run() {
    for (int step = 0; step < kSteps; ++step) {
      act();
      schedule();
      check();
      if (::testing::Test::HasFailure()) return;
    }
    drain();
  }

 private:
  static constexpr std::size_t kMinimum = 2;
  static constexpr std::size_t kMaximum = 6;
  static constexpr std::size_t kQueueMax = 50;

  std::size_t pick(std::size_t count) { return random_() % count; }

  void act() {
    switch (pick(10)) {
      case 0:
      case 1:
      case 2: return submit();
      case 3: return cancel_some();
      case 4: return pick(5) == 0 ? lose_some() : remove_dead();
      default: return advance_some();
    }
  }

  void submit() {
    if (queue_.size() >= kQueueMax) return;
    auto submission = std::make_unique<SimulatedSubmission>();
    submission->id = next_id_++;
    submission->client = std::string(1, static_cast<char>('a' + pick(4)));
    submission->jobs = pick(8) == 0 ? 1 + pick(kMaximum) : 1;
    submission->order = ++next_order_[submission->client];
    submission->position = queue_.push(submission->client, {submission.get(), submission->jobs});
    submission->queued = true;
    accepted_ += submission->jobs;
    live_[submission->id] = std::move(submission);
  }

  void cancel_some() {
    if (live_.empty()) return;
    auto chosen = live_.begin();
    std::advance(chosen, static_cast<long>(pick(live_.size())));
    SimulatedSubmission* submission = chosen->second.get();
    if (submission->queued) {
      queue_.remove(submission->position);
      submission->queued = false;
      while (live_.contains(chosen->first) && submission->reported < submission->jobs)
        if (report(*submission)) return;
    }
  }

  /// One report of one job; true when it was the submission's last.
  bool report(SimulatedSubmission& submission) {
    ++reported_;
    EXPECT_LE(++submission.reported, submission.jobs) << "a job was reported twice";
    if (submission.reported < submission.jobs) return false;
    live_.erase(submission.id);
    return true;
  }

  void lose_some() {
    if (slots_.empty()) return;
    SimulatedSlot& slot = *slots_[pick(slots_.size())];
    if (slot.state == SlotState::kDead) return;
    slot.state = next_slot_state(slot.state, SlotEvent::kLost);
    if (slot.job != nullptr) report(*std::exchange(slot.job, nullptr));
  }

  void remove_dead() {
    std::erase_if(slots_, [](const auto& slot) { return slot->state == SlotState::kDead; });
  }

  void advance_some() {
    if (slots_.empty()) return;
    advance(*slots_[pick(slots_.size())]);
  }

  void advance(SimulatedSlot& slot) {
    switch (slot.state) {
      case SlotState::kStarting:
      case SlotState::kResetting:
        slot.state = next_slot_state(slot.state, SlotEvent::kParked);
        return;
      case SlotState::kPlacing:
        if (pick(20) == 0) {
          slot.state = next_slot_state(slot.state, SlotEvent::kUnleased);
          report(*std::exchange(slot.job, nullptr));
        } else {
          slot.state = next_slot_state(slot.state, SlotEvent::kHandedOver);
        }
        return;
      case SlotState::kRunning: slot.state = next_slot_state(slot.state, SlotEvent::kEnded); return;
      case SlotState::kCollecting:
        slot.state = next_slot_state(slot.state, SlotEvent::kCollected);
        report(*std::exchange(slot.job, nullptr));
        return;
      case SlotState::kReady:
      case SlotState::kDead: return;
    }
  }

  std::vector<SimulatedSlot*> ready() const {
    std::vector<SimulatedSlot*> found;
    for (const auto& slot : slots_)
      if (slot->state == SlotState::kReady) found.push_back(slot.get());
    return found;
  }

  void schedule() {
    std::vector<SimulatedSlot*> free = ready();
    while (queue_.front() != nullptr && queue_.front()->slots <= free.size()) {
      const auto entry = queue_.pop();
      entry.item->queued = false;
      EXPECT_GT(entry.item->order, last_started_[entry.item->client])
          << "a client's submissions were started out of order";
      last_started_[entry.item->client] = entry.item->order;
      for (std::size_t i = 0; i < entry.slots; ++i) {
        SimulatedSlot& slot = *free.back();
        free.pop_back();
        EXPECT_EQ(slot.job, nullptr) << "a slot was given to two jobs";
        slot.state = next_slot_state(slot.state, SlotEvent::kLeased);
        slot.job = entry.item;
      }
    }
    SlotDemand demand{.minimum = kMinimum, .maximum = kMaximum};
    for (const auto& slot : slots_) {
      demand.alive += slot->state != SlotState::kDead;
      demand.starting += slot->state == SlotState::kStarting;
      demand.ready += slot->state == SlotState::kReady;
    }
    const auto* front = queue_.front();
    demand.wanted = front == nullptr ? 0 : std::max(queue_.size(), front->slots);
    for (std::size_t count = slots_to_start(demand); count > 0; --count)
      slots_.push_back(std::make_unique<SimulatedSlot>());
  }

  void check() const {
    std::size_t alive = 0;
    std::map<const SimulatedSubmission*, std::size_t> running;
    for (const auto& slot : slots_) {
      alive += slot->state != SlotState::kDead;
      const bool working = slot->state == SlotState::kPlacing ||
                           slot->state == SlotState::kRunning ||
                           slot->state == SlotState::kCollecting;
      EXPECT_EQ(slot->job != nullptr, working) << "a slot has a job exactly while it works on one";
      if (slot->job != nullptr) ++running[slot->job];
    }
    EXPECT_GE(alive, kMinimum) << "the pool must come back to strength at once";
    EXPECT_LE(alive, kMaximum);
    EXPECT_LE(queue_.size(), kQueueMax);
    for (const auto& [submission, jobs] : running)
      EXPECT_LE(jobs + submission->reported, submission->jobs);
    EXPECT_LE(reported_, accepted_);
  }

  /// No more comes in: everything accepted must be reported, without help.
  void drain() {
    for (int round = 0; round < 100'000 && !live_.empty(); ++round) {
      advance_some();
      remove_dead();
      schedule();
      check();
    }
    EXPECT_TRUE(live_.empty()) << live_.size() << " submissions were never reported";
    EXPECT_EQ(reported_, accepted_);
    EXPECT_TRUE(queue_.empty());
  }

  std::mt19937_64 random_;
  Scheduler<SimulatedSubmission*> queue_;
  std::vector<std::unique_ptr<SimulatedSlot>> slots_;
  std::map<int, std::unique_ptr<SimulatedSubmission>> live_;
  std::map<std::string, std::uint64_t> next_order_;
  std::map<std::string, std::uint64_t> last_started_;
  int next_id_ = 0;
  std::size_t accepted_ = 0;
  std::size_t reported_ = 0;
};

class PoolSimulation : public testing::TestWithParam<int> {};

TEST_P(PoolSimulation, EveryJobIsReportedOnceWhateverHappens) {
  std::uint64_t seed = std::random_device{}() + static_cast<std::uint64_t>(GetParam());
  // NOLINTNEXTLINE(concurrency-mt-unsafe): one thread.
  if (const char* fixed = std::getenv("HATCHERY_SEED")) seed = std::strtoull(fixed, nullptr, 10);
  SCOPED_TRACE("HATCHERY_SEED=" + std::to_string(seed));
  Simulation(seed).run();
}

INSTANTIATE_TEST_SUITE_P(Seeds, PoolSimulation, testing::Range(0, 8));

TEST(Scheduler, GoesRoundTheClients) {
  Scheduler<int> queue;
  for (int i = 0; i < 3; ++i) queue.push("many", {i});
  queue.push("few", {10});
  std::vector<int> order;
  while (!queue.empty()) order.push_back(queue.pop().item);
  EXPECT_EQ(order, (std::vector<int>{0, 10, 1, 2}));
}

TEST(Scheduler, TheHighestPriorityGoesFirst) {
  Scheduler<int> queue;
  queue.push("a", {1}, 0);
  queue.push("a", {2}, -5);
  const auto gone = queue.push("b", {3}, 7);
  queue.push("b", {4}, 7);
  queue.push("c", {5}, 7);
  queue.remove(gone);
  std::vector<int> order;
  while (!queue.empty()) order.push_back(queue.pop().item);
  EXPECT_EQ(order, (std::vector<int>{4, 5, 1, 2}));
}

TEST(Scheduler, KeepsTheTurnOfAGroupThatWaits) {
  Scheduler<int> queue;
  queue.push("a", {1, 4});
  queue.push("b", {2, 1});
  ASSERT_NE(queue.front(), nullptr);
  EXPECT_EQ(queue.front()->slots, 4U);
  EXPECT_EQ(queue.front()->item, 1) << "a later single job must not overtake it";
}

TEST(Scheduler, RemovesWhatItIsToldAndKeepsTheTurns) {
  Scheduler<int> queue;
  const auto only = queue.push("a", {1});
  queue.push("b", {2});
  const auto middle = queue.push("b", {3});
  queue.push("b", {4});
  queue.push("c", {5});
  queue.remove(only);
  queue.remove(middle);
  EXPECT_EQ(queue.size(), 3U);
  queue.push("a", {6});
  std::vector<int> order;
  while (!queue.empty()) order.push_back(queue.pop().item);
  EXPECT_EQ(order, (std::vector<int>{2, 5, 6, 4}));
}

// A pool that is shut down with a deep queue does it: a search for each entry would take hours.
TEST(Scheduler, RemovesAMillionFromTheBack) {
  Scheduler<int> queue;
  std::vector<Scheduler<int>::Position> positions;
  for (int i = 0; i < 1'000'000; ++i) positions.push_back(queue.push(std::to_string(i % 7), {i}));
  for (; positions.size() > 1; positions.pop_back()) queue.remove(positions.back());
  EXPECT_EQ(queue.pop().item, 0);
  EXPECT_TRUE(queue.empty());
}

TEST(SlotDemand, NeverExceedsTheMaximum) {
  for (std::size_t alive = 0; alive <= 8; ++alive)
    for (std::size_t wanted = 0; wanted <= 20; ++wanted) {
      const SlotDemand demand{.minimum = 2, .maximum = 8, .alive = alive, .wanted = wanted};
      EXPECT_LE(alive + slots_to_start(demand), 8U);
      EXPECT_GE(alive + slots_to_start(demand), 2U);
    }
}

TEST(SlotTable, HasNoWayOutOfDead) {
  for (std::size_t event = 0; event < kSlotEvents; ++event) {
    const auto as_event = static_cast<SlotEvent>(event);
    if (!slot_event_is_legal(SlotState::kDead, as_event)) continue;
    EXPECT_EQ(next_slot_state(SlotState::kDead, as_event), SlotState::kDead);
  }
}

TEST(SlotTable, LosesFromEveryState) {
  for (std::size_t state = 0; state < kSlotStates; ++state)
    EXPECT_EQ(next_slot_state(static_cast<SlotState>(state), SlotEvent::kLost), SlotState::kDead);
}

TEST(SlotTable, AbortsOnAnIllegalEvent) {
  EXPECT_DEATH(static_cast<void>(next_slot_state(SlotState::kReady, SlotEvent::kEnded)),
               "CHECK failed");
}

}  // namespace
}  // namespace hatchery
