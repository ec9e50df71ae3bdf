#include "pool/toml_parse.h"

namespace hatchery {

Result<toml::table> parse_toml(std::string_view text, const std::string& file_name) {
  toml::parse_result parsed = toml::parse(text, file_name);
  if (parsed) return std::move(parsed).table();
  const toml::source_position& at = parsed.error().source().begin;
  return Error{
      .step = Step::kParseConfig,
      .object = file_name + ":" + std::to_string(at.line) + ":" + std::to_string(at.column),
      .detail = std::string(parsed.error().description()),
      .remedy = "correct the TOML at that place"};
}

}  // namespace hatchery
