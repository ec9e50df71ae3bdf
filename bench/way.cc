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

std::string error_text(const Error& error) {
  if (error.step != Step::kNone) return error.message();
  return error.object + ": " + error.detail + (error.remedy.empty() ? "" : "; " + error.remedy);
}

}  // namespace hatchery::bench
