// Scheduler: which submission goes next, and how many slots there should be. The highest priority
// first; in it fair between clients (round robin), first come first served within one. Pure: no IO,
// no clock of its own, so that a simulation can drive it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <string>
#include <utility>

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

  /// Where an entry stands; good until it is popped or removed.
  class Position;

  Position push(const std::string& client, Entry entry, std::int32_t priority = 0) {
    const auto found = clients_.try_emplace({priority, client}).first;
    Client& own = found->second;
    std::list<Key>& round = turns_[priority];
    if (own.entries.empty()) own.turn = round.insert(round.end(), found->first);
    ++size_;
    return {found, own.entries.insert(own.entries.end(), std::move(entry))};
  }

  /// The entry whose turn it is, or null. It keeps its turn until popped: a group that waits for
  /// several slots is not overtaken for ever by single jobs.
  const Entry* front() const {
    if (turns_.empty()) return nullptr;
    return &clients_.find(first_round().front())->second.entries.front();
  }

  /// Precondition: not empty. The client goes to the end of the round.
  Entry pop() {
    std::list<Key>& round = turns_.begin()->second;
    const auto found = clients_.find(round.front());
    Entry entry = std::move(found->second.entries.front());
    round.splice(round.end(), round, round.begin());
    remove({found, found->second.entries.begin()});
    return entry;
  }

  /// Takes out one that waits, wherever it stands: a pool that is shut down removes them all.
  void remove(const Position& position) {
    Client& own = position.client_->second;
    own.entries.erase(position.entry_);
    --size_;
    if (!own.entries.empty()) return;
    const auto round = turns_.find(position.client_->first.first);
    round->second.erase(own.turn);
    if (round->second.empty()) turns_.erase(round);
    clients_.erase(position.client_);
  }

  /// Entries, groups counted once.
  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }

 private:
  using Key = std::pair<std::int32_t, std::string>;  ///< Priority and client.
  struct Client {
    std::list<Entry> entries;
    typename std::list<Key>::iterator turn;
  };
  using Clients = std::map<Key, Client>;
  const std::list<Key>& first_round() const { return turns_.begin()->second; }

 public:
  class Position {
   public:
    Position() = default;

   private:
    friend class Scheduler;
    Position(typename Clients::iterator client, typename std::list<Entry>::iterator entry)
        : client_(client), entry_(entry) {}
    typename Clients::iterator client_;
    typename std::list<Entry>::iterator entry_;
  };

 private:
  // Bounded by the pool's queue_max; a client without entries costs nothing.
  Clients clients_;
  std::map<std::int32_t, std::list<Key>, std::greater<>> turns_;  ///< Highest priority first.
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
