// What a client of the server sends: go-judge's requests, a terminal's size, forms, the operator's
// [server] table. The first byte chooses.
#include "pool/server/go_judge_request.h"
#include "pool/server/multipart.h"
#include "pool/server/server.h"
#include "tests/fuzz/fuzz.h"

namespace {

void read_form(std::string_view bytes) {
  hatchery::server::MultipartReader reader(
      "BOUND", [](const hatchery::server::PartHeaders&) { return hatchery::Result<void>(); },
      [](std::string_view) { return hatchery::Result<void>(); });
  // In two pieces: a boundary may be cut anywhere.
  const std::size_t half = bytes.size() / 2;
  if (reader.write(bytes.substr(0, half))) static_cast<void>(reader.write(bytes.substr(half)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 5) {
    case 0: static_cast<void>(hatchery::server::go_judge::request_from_json(bytes, true)); break;
    case 1: static_cast<void>(hatchery::server::go_judge::resize_from_json(bytes)); break;
    case 2: read_form(bytes); break;
    case 3: static_cast<void>(hatchery::server::boundary_of(bytes)); break;
    default:
      static_cast<void>(hatchery::server::server_config_from_toml(bytes, "fuzz.toml"));
      break;
  }
  return 0;
}
