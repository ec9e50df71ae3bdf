// Scheduler: which submission goes next, and how many slots there should be. Fair between clients
// (round robin), first come first served within one. Pure: no IO, no clock of its own, so that a
// simulation can drive it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <string>

namespace hatchery {

/// One profile's queue. `T` is a pointer-like handle; the scheduler never looks into it.
template <typename T>
class Scheduler {
 public:
  struct Entry {
    T item;
    /// Slots that must be free at once: 1, or the size of a group.
    std::size_t slots = 1;
  };

  void push(const std::string& client, Entry entry) {
    std::deque<Entry>& queue = queues_[client];
    if (queue.empty()) turn_.push_back(client);
    queue.push_back(std::move(entry));
    ++size_;
  }

  /// The entry whose turn it is, or null. It keeps its turn until popped: a group that waits for
  /// several slots is not overtaken for ever by single jobs.
  const Entry* front() const {
    if (turn_.empty()) return nullptr;
    return &queues_.find(turn_.front())->second.front();
  }

  /// Precondition: not empty. The client goes to the end of the round.
  Entry pop() {
    const auto found = queues_.find(turn_.front());
    Entry entry = std::move(found->second.front());
    found->second.pop_front();
    --size_;
    if (found->second.empty()) {
      turn_.pop_front();
      queues_.erase(found);
    } else {
      turn_.splice(turn_.end(), turn_, turn_.begin());
    }
    return entry;
  }

  /// Takes out the first entry for which `matches(item)` holds; false when there is none.
  template <typename Matches>
  bool remove(const Matches& matches, Entry& removed) {
    for (auto found = queues_.begin(); found != queues_.end(); ++found) {
      std::deque<Entry>& queue = found->second;
      for (auto entry = queue.begin(); entry != queue.end(); ++entry) {
        if (!matches(entry->item)) continue;
        removed = std::move(*entry);
        queue.erase(entry);
        --size_;
        if (queue.empty()) {
          turn_.remove(found->first);
          queues_.erase(found);
        }
        return true;
      }
    }
    return false;
  }

  /// Entries, groups counted once.
  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }

 private:
  // Bounded by the pool's queue_max; a client without entries costs nothing.
  std::map<std::string, std::deque<Entry>> queues_;
  std::list<std::string> turn_;
  std::size_t size_ = 0;
};

/// How many slots to start now. `wanted`: slots that queued entries could use at once.
struct SlotDemand {
  std::size_t minimum = 1;
  std::size_t maximum = 1;
  std::size_t alive = 0;     ///< All but dead ones.
  std::size_t starting = 0;  ///< Of these, those not yet ready.
  std::size_t ready = 0;
  std::size_t wanted = 0;
};

constexpr std::size_t slots_to_start(const SlotDemand& demand) {
  const std::size_t coming = demand.starting + demand.ready;
  const std::size_t for_queue = demand.wanted > coming ? demand.wanted - coming : 0;
  const std::size_t for_minimum = demand.alive < demand.minimum ? demand.minimum - demand.alive : 0;
  const std::size_t asked = for_queue > for_minimum ? for_queue : for_minimum;
  const std::size_t room = demand.alive < demand.maximum ? demand.maximum - demand.alive : 0;
  return asked < room ? asked : room;
}

}  // namespace hatchery
