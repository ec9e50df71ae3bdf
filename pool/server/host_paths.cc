#include "pool/server/host_paths.h"

#include <stdlib.h>

#include <memory>

namespace hatchery::server {

std::string path_below(const std::string& path, const std::vector<std::string>& prefixes) {
  const std::unique_ptr<char, decltype(&::free)> resolved(::realpath(path.c_str(), nullptr),
                                                          &::free);
  if (resolved == nullptr) return {};
  std::string real = resolved.get();
  for (const std::string& prefix : prefixes)
    if (real == prefix || prefix == "/" || real.starts_with(prefix + "/")) return real;
  return {};
}

}  // namespace hatchery::server
