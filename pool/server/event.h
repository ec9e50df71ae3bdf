// Event: what the server tells the operator's log.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <functional>
#include <string>

namespace hatchery::server {

enum class EventLevel : std::uint8_t { kError, kInfo };

struct Event {
  EventLevel level = EventLevel::kInfo;
  std::string message = {};         ///< For people: whole without the fields.
  boost::json::object fields = {};  ///< For programs, under one key that names the event.
};

struct EventLog {
  /// Any thread, several at once. Null: nothing is told.
  std::function<void(const Event&)> tell = {};
  /// kInfo: each request that was answered and each job, beside the errors.
  EventLevel level = EventLevel::kError;

  bool wants(EventLevel event) const { return tell && event <= level; }
};

}  // namespace hatchery::server
