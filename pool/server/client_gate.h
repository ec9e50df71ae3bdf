// ClientGate: what one client of the server may have at once. Thread: any.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "pool/job.h"

namespace hatchery::server {

struct ClientConfig {
  std::string name = {};   ///< In the queue each client has its turn.
  std::string token = {};  ///< "Authorization: Bearer TOKEN"; "" for a server without tokens.
  std::uint32_t in_flight_max = 0;  ///< Requests for jobs that are not answered or done; 0: any.
  double rate = 0;                  ///< Requests for jobs a second; 0: any.
  std::int32_t priority = 0;        ///< JobSpec::priority of all its jobs.
  std::string profile = {};         ///< Its jobs': what they may ask for is that one's maximums.
  bool operator==(const ClientConfig&) const = default;
};

class ClientGate {
 public:
  /// Held while a request for jobs is in flight.
  using Lease = std::shared_ptr<void>;

  explicit ClientGate(ClientConfig config) : config_(std::move(config)), allowance_(burst()) {}

  /// Null when the client has, or asks for, too much at once.
  Lease enter();
  const ClientConfig& config() const { return config_; }
  /// Makes a job this client's: its name (or, without one, what the job has, or else where the
  /// request came from), priority and profile.
  void own(JobSpec& spec, const std::string& peer) const;

 private:
  double burst() const { return config_.rate < 1 ? 1 : config_.rate; }

  const ClientConfig config_;
  std::mutex mutex_;
  std::uint32_t in_flight_ = 0;
  double allowance_;  ///< Requests that may come now: a bucket that fills at `rate`.
  std::int64_t filled_ns_ = 0;
};

}  // namespace hatchery::server
