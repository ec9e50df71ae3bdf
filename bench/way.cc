#include "bench/way.h"

#include "core/check.h"

namespace hatchery::bench {

const char* kind_name(WayKind kind) noexcept {
  switch (kind) {
    case WayKind::kFloor: return "floor";
    case WayKind::kPool: return "pool";
    case WayKind::kPeer: return "peer";
  }
  HATCHERY_UNREACHABLE();
}

Error failure(const std::string& object, const std::string& detail, const std::string& remedy) {
  return Error{.step = Step::kNone, .object = object, .detail = detail, .remedy = remedy};
}

}  // namespace hatchery::bench
