#include "pool/server/pool_watch.h"

#include <algorithm>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <chrono>

#include "pool/utf8.h"

namespace hatchery::server {
namespace {

namespace json = boost::json;

constexpr std::size_t kSecondsMax = 120;
constexpr std::size_t kRecentMax = 50;
/// More in a second would only make its percentiles more exact.
constexpr std::size_t kLatenciesMax = 20'000;

double milliseconds(const std::optional<Nanoseconds>& time) {
  return time ? std::chrono::duration<double, std::milli>(*time).count() : 0;
}

double percentile(std::vector<double>& values, double part) {
  if (values.empty()) return 0;
  const auto at = static_cast<std::size_t>(static_cast<double>(values.size() - 1) * part);
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(at), values.end());
  return values[at];
}

}  // namespace

void PoolWatch::saw(const Report& report) {
  const StepTimes& steps = report.steps;
  const double latency_ms = milliseconds(steps.queued) + milliseconds(steps.placed) +
                            milliseconds(steps.handed_over) + milliseconds(steps.exec_done) +
                            milliseconds(steps.ended) + milliseconds(steps.read);
  metrics_.count_report(report);
  log(report, latency_ms);
  Recent recent{report.outcome,  report.id.substr(0, 64),  latency_ms,       report.slot,
                report.cpu_time, report.memory_peak_bytes, report.exit_code, report.signal};
  const std::lock_guard lock(mutex_);
  ++jobs_;
  ++outcomes_[report.outcome];
  if (latencies_ms_.size() < kLatenciesMax) latencies_ms_.push_back(latency_ms);
  recent_.push_front(std::move(recent));
  if (recent_.size() > kRecentMax) recent_.pop_back();
}

void PoolWatch::log(const Report& report, double latency_ms) const {
  const bool failed = report.outcome == Outcome::kInternalError;
  const EventLevel level = failed ? EventLevel::kError : EventLevel::kInfo;
  if (!log_.wants(level)) return;
  const std::string id = utf8_or_replaced(report.id.substr(0, 64));
  std::string message = "job " + (id.empty() ? "" : id + " ") + "in slot " +
                        std::to_string(report.slot) + ": " + outcome_name(report.outcome);
  if (report.error) message += ": " + utf8_or_replaced(report.error->message());
  json::object job{{"id", id},
                   {"outcome", outcome_name(report.outcome)},
                   {"slot", report.slot},
                   {"latency_ms", latency_ms}};
  if (report.cpu_time) job["cpu_ms"] = milliseconds(report.cpu_time);
  if (report.wall_time) job["wall_ms"] = milliseconds(report.wall_time);
  if (report.memory_peak_bytes) job["memory_bytes"] = *report.memory_peak_bytes;
  if (report.exit_code) job["exit_code"] = *report.exit_code;
  if (report.signal) job["signal"] = *report.signal;
  log_.tell({level, std::move(message), {{"job", std::move(job)}}});
}

void PoolWatch::tick() {
  const PoolStats stats = pool_.stats();
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const std::lock_guard lock(mutex_);
  Second second{.unix_ms = std::chrono::duration_cast<std::chrono::milliseconds>(now).count(),
                .jobs = std::exchange(jobs_, 0),
                .queued = stats.queued,
                .running = stats.running,
                .slots_ready = stats.slots_ready,
                .slots_total = stats.slots_total};
  second.p50_ms = percentile(latencies_ms_, 0.5);
  second.p99_ms = percentile(latencies_ms_, 0.99);
  latencies_ms_.clear();
  seconds_.push_back(second);
  if (seconds_.size() > kSecondsMax) seconds_.pop_front();
  const std::string event = "event: second\ndata: " + text_of(second) + "\n\n";
  std::erase_if(listeners_, [&](const auto& listener) { return !listener->send(event); });
}

void PoolWatch::follow(std::shared_ptr<EventStream> listener) {
  const std::lock_guard lock(mutex_);
  for (const Second& second : seconds_)
    if (!listener->send("event: second\ndata: " + text_of(second) + "\n\n")) return;
  listeners_.push_back(std::move(listener));
}

std::string PoolWatch::text_of(const Second& second) {
  return json::serialize(json::object{{"unix_ms", second.unix_ms},
                                      {"jobs", second.jobs},
                                      {"queued", second.queued},
                                      {"running", second.running},
                                      {"slots_ready", second.slots_ready},
                                      {"slots_total", second.slots_total},
                                      {"p50_ms", second.p50_ms},
                                      {"p99_ms", second.p99_ms}});
}

std::string PoolWatch::text_of(const Recent& recent) {
  json::object text{{"outcome", outcome_name(recent.outcome)},
                    {"id", utf8_or_replaced(recent.id)},
                    {"latency_ms", recent.latency_ms},
                    {"slot", recent.slot}};
  if (recent.cpu_time) text["cpu_ms"] = milliseconds(recent.cpu_time);
  if (recent.memory_peak_bytes) text["memory_bytes"] = *recent.memory_peak_bytes;
  if (recent.exit_code) text["exit_code"] = *recent.exit_code;
  if (recent.signal) text["signal"] = *recent.signal;
  return json::serialize(text);
}

std::string PoolWatch::json() {
  const PoolStats stats = pool_.stats();
  const std::lock_guard lock(mutex_);
  json::object outcomes;
  for (const auto& [outcome, count] : outcomes_) outcomes[outcome_name(outcome)] = count;
  std::string text = json::serialize(json::object{{"host", pool_.host()},
                                                  {"submitted", stats.submitted},
                                                  {"reported", stats.reported},
                                                  {"queued", stats.queued},
                                                  {"running", stats.running},
                                                  {"slots_ready", stats.slots_ready},
                                                  {"slots_total", stats.slots_total},
                                                  {"slots_replaced", stats.slots_replaced},
                                                  {"outcomes", std::move(outcomes)}});
  text.pop_back();
  text += ",\"seconds\":[";
  for (const Second& second : seconds_) {
    if (&second != &seconds_.front()) text += ',';
    text += text_of(second);
  }
  text += "],\"recent\":[";
  for (const Recent& recent : recent_) {
    if (&recent != &recent_.front()) text += ',';
    text += text_of(recent);
  }
  return text + "]}\n";
}

}  // namespace hatchery::server
