#include "pool/server/embedded.h"

#include <cstddef>

namespace hatchery::server {
namespace {

#include "embedded_files.inc"

const char* content_type_of(std::string_view name) {
  if (name.ends_with(".html")) return "text/html; charset=utf-8";
  if (name.ends_with(".css")) return "text/css; charset=utf-8";
  if (name.ends_with(".js")) return "text/javascript; charset=utf-8";
  return "application/json";
}

}  // namespace

std::optional<EmbeddedFile> embedded_file(std::string_view name) {
  for (const Named& file : kFiles)
    if (name == file.name)
      return EmbeddedFile{{reinterpret_cast<const char*>(file.bytes), file.size},
                          content_type_of(name)};
  return std::nullopt;
}

}  // namespace hatchery::server
