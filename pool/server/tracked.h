// Tracked: a job or a batch that clients can ask for. Thread: any.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "pool/job.h"

namespace hatchery::server {

/// A request that is refused: HTTP status, and the error.
struct NativeRefusal {
  int status = 400;
  Error error;
};
NativeRefusal refusal_of(Error error);

/// What keeping it costs.
std::uint64_t size_of(const Report& report);

/// One job or batch that clients can ask for.
class Tracked {
 public:
  Tracked(std::string id_in, std::string client_in)
      : id(std::move(id_in)), client(std::move(client_in)) {}
  virtual ~Tracked() = default;
  /// "job" or "batch".
  virtual std::string_view kind() const = 0;
  /// {"id", "state", …}: all that is known now.
  virtual std::string json() = 0;
  virtual void cancel() = 0;
  /// Bytes that it holds once it is done.
  virtual std::uint64_t size() = 0;

  bool is_done() const;
  /// At once when it is done.
  void when_done(std::function<void()> call);
  /// Holds it until it is done: whoever sees or hears that it is finds it let go.
  void hold(std::shared_ptr<void> lease);

  const std::string id;
  const std::string client;
  const std::int64_t submitted_ms = unix_ms();
  std::atomic<std::int64_t> ended_ms{0};
  std::string idempotency_key = {};
  std::string request_hash = {};

 protected:
  /// Once: calls whoever waits.
  void finish();

 public:
  static std::int64_t unix_ms();

 private:
  mutable std::mutex mutex_;
  bool done_ = false;
  std::shared_ptr<void> lease_;
  std::vector<std::function<void()>> waiting_;
};

}  // namespace hatchery::server
