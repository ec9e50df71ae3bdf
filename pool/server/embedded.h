// Files that are part of the program: the page and the description of the interface.
#pragma once

#include <optional>
#include <string_view>

namespace hatchery::server {

struct EmbeddedFile {
  std::string_view bytes;
  const char* content_type;
};

/// By its name in pool/server/www, or "openapi.json".
std::optional<EmbeddedFile> embedded_file(std::string_view name);

}  // namespace hatchery::server
