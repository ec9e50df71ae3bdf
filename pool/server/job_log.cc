#include "pool/server/job_log.h"

#include <algorithm>
#include <boost/json/serialize.hpp>

#include "pool/job_json.h"
#include "pool/server/answers.h"
#include "pool/utf8.h"

namespace hatchery::server {

namespace json = boost::json;

bool JobLog::append(bool is_stderr, std::string_view bytes, std::uint64_t bytes_max) {
  const std::lock_guard lock(mutex_);
  const std::uint64_t room = bytes_max - std::min(size_, bytes_max);
  const std::string_view kept = bytes.substr(0, std::min<std::uint64_t>(room, bytes.size()));
  if (!kept.empty()) {
    parts_.push_back({size_, is_stderr, std::string(kept)});
    size_ += kept.size();
    const std::string event = event_of(parts_.back(), parts_.back().offset);
    std::erase_if(listeners_, [&](const auto& listener) { return !listener->send(event); });
  }
  return kept.size() == bytes.size();
}

void JobLog::end(const std::string& outcome) {
  const std::lock_guard lock(mutex_);
  outcome_ = outcome;
  for (const auto& listener : listeners_) {
    listener->send("event: end\ndata: {\"outcome\":" + json_text(outcome) + "}\n\n");
    listener->finish();
  }
  listeners_.clear();
}

void JobLog::follow(std::shared_ptr<EventStream> listener, std::uint64_t offset) {
  const std::lock_guard lock(mutex_);
  for (const Part& part : parts_) {
    if (part.offset + part.bytes.size() <= offset) continue;
    if (!listener->send(event_of(part, std::max(offset, part.offset)))) return;
  }
  if (!outcome_) {
    listeners_.push_back(std::move(listener));
    return;
  }
  listener->send("event: end\ndata: {\"outcome\":" + json_text(*outcome_) + "}\n\n");
  listener->finish();
}

std::uint64_t JobLog::size() const {
  const std::lock_guard lock(mutex_);
  return size_;
}

std::string JobLog::event_of(const Part& part, std::uint64_t from) {
  const std::string_view bytes = std::string_view(part.bytes).substr(from - part.offset);
  // The id is where to go on: a browser sends it back as Last-Event-ID.
  std::string event = "id: " + std::to_string(part.offset + part.bytes.size()) +
                      "\nevent: " + (part.is_stderr ? "stderr" : "stdout") +
                      "\ndata: {\"offset\":" + std::to_string(from);
  if (is_utf8(bytes))
    event += ",\"text\":" + json::serialize(json::string_view(bytes.data(), bytes.size()));
  else
    event += ",\"base64\":\"" + base64_encode(bytes) + "\"";
  return event + "}\n\n";
}

}  // namespace hatchery::server
