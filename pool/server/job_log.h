// JobLog: what a job writes, for whoever follows it. Thread: any.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pool/server/http.h"

namespace hatchery::server {

/// What a job writes, as it comes: stdout and stderr in the order in which the server read them.
/// An offset counts the bytes of both.
class JobLog {
 public:
  /// False when that was more than `bytes_max`: the rest is dropped.
  bool append(bool is_stderr, std::string_view bytes, std::uint64_t bytes_max);
  void end(const std::string& outcome);
  /// Sends what there is from `offset` on, then what comes, as Server-Sent Events; then "end".
  void follow(std::shared_ptr<EventStream> listener, std::uint64_t offset);
  std::uint64_t size() const;

 private:
  struct Part {
    std::uint64_t offset = 0;
    bool is_stderr = false;
    std::string bytes;
  };
  static std::string event_of(const Part& part, std::uint64_t from);
  mutable std::mutex mutex_;
  std::vector<Part> parts_;
  std::uint64_t size_ = 0;
  std::optional<std::string> outcome_;
  std::vector<std::shared_ptr<EventStream>> listeners_;
};

}  // namespace hatchery::server
