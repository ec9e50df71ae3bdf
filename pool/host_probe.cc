#include "pool/host_probe.h"

#include "core/check.h"
#include "core/files.h"

namespace hatchery {

std::string interface_text(const std::string& path) {
  Result<std::string> text = read_whole_file(path, 1U << 20);
  if (!text) return {};
  while (!text->empty() && text->back() == '\n') text->pop_back();
  return *std::move(text);
}

const char* feature_need_name(FeatureNeed need) noexcept {
  switch (need) {
    case FeatureNeed::kRequired: return "required";
    case FeatureNeed::kWanted: return "wanted";
    case FeatureNeed::kInteresting: return "interesting";
  }
  HATCHERY_UNREACHABLE();
}

std::vector<HostFeatureGroup> probe_host() {
  std::vector<HostFeatureGroup> groups;
  groups.push_back(probe_kernel());
  groups.push_back(probe_namespaces());
  groups.push_back(probe_cgroups());
  groups.push_back(probe_confinement());
  groups.push_back(probe_system());
  return groups;
}

bool host_suffices(const std::vector<HostFeatureGroup>& groups) {
  for (const HostFeatureGroup& group : groups) {
    for (const HostFeature& feature : group.features) {
      if (feature.need == FeatureNeed::kRequired && !feature.present) return false;
    }
  }
  return true;
}

const HostFeature* find_feature(const std::vector<HostFeatureGroup>& groups,
                                std::string_view name) {
  for (const HostFeatureGroup& group : groups) {
    for (const HostFeature& feature : group.features) {
      if (feature.name == name) return &feature;
    }
  }
  return nullptr;
}

}  // namespace hatchery
