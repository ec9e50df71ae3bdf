#include "pool/server/client_gate.h"

#include <algorithm>
#include <chrono>

namespace hatchery::server {

ClientGate::Lease ClientGate::enter() {
  const std::lock_guard lock(mutex_);
  if (config_.in_flight_max > 0 && in_flight_ >= config_.in_flight_max) return nullptr;
  if (config_.rate > 0) {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    const std::int64_t now_ns = std::chrono::nanoseconds(now).count();
    if (filled_ns_ != 0)
      allowance_ = std::min(
          burst(), allowance_ + config_.rate * static_cast<double>(now_ns - filled_ns_) / 1e9);
    filled_ns_ = now_ns;
    if (allowance_ < 1) return nullptr;
    allowance_ -= 1;
  }
  ++in_flight_;
  return Lease(this, [](ClientGate* gate) {
    const std::lock_guard leave(gate->mutex_);
    --gate->in_flight_;
  });
}

void ClientGate::own(JobSpec& spec, const std::string& peer) const {
  if (!config_.name.empty())
    spec.client = config_.name;
  else if (spec.client.empty())
    spec.client = peer.substr(0, peer.rfind(':'));
  spec.priority = config_.priority;
  if (!config_.profile.empty()) spec.profile = config_.profile;
}

}  // namespace hatchery::server
