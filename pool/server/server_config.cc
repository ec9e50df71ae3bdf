// The table [server] of a configuration file; everything else of it is the pool's.
#include "core/files.h"
#include "pool/server/server.h"
#include "pool/toml_parse.h"
#include "pool/toml_reader.h"

namespace hatchery::server {
namespace {

constexpr std::size_t kFileBytesMax = 4U << 20U;
constexpr std::uint32_t kPriorityMax = 1000;

void read_client(Reading& reading, const toml::table& table, const std::string& name,
                 ServerConfig& config) {
  ClientConfig client;
  TableReader reader(reading, table, name + ".");
  reader.string("name", client.name);
  reader.string("token", client.token);
  std::string token_file;
  reader.string("token_file", token_file);
  reader.integer("in_flight_max", client.in_flight_max);
  reader.real("rate", client.rate);
  reader.signed_integer("priority", client.priority);
  reader.string("profile", client.profile);
  reader.finish();
  const auto wrong = [&](const char* key, std::string detail, std::string remedy) {
    reading.fail(table.source().begin, name + "." + key, std::move(detail), std::move(remedy));
  };
  if (!token_file.empty()) {
    Result<std::string> token = read_whole_file(token_file, 4096);
    if (!token) return wrong("token_file", token.error().message(), "give a readable file");
    while (token->ends_with('\n')) token->pop_back();
    client.token = *std::move(token);
  }
  if (client.name.empty()) wrong("name", "is missing", "give each client a name of its own");
  if (client.token.empty()) wrong("token", "is missing", "give a token or a token_file");
  if (client.rate < 0) wrong("rate", "is negative", "give requests a second, or 0 for any");
  const auto priority = static_cast<std::int64_t>(client.priority);
  if (priority > kPriorityMax || priority < -std::int64_t{kPriorityMax})
    wrong("priority", "is out of range", "give -1000 to 1000");
  for (const ClientConfig& other : config.clients)
    if (other.name == client.name || other.token == client.token)
      wrong("name", "has the name or the token of another client", "give each its own");
  config.clients.push_back(std::move(client));
}

void read_server(Reading& reading, const toml::table& table, ServerConfig& config) {
  TableReader reader(reading, table, "server.");
  reader.strings("listen", config.http.listen);
  reader.string("monitor", config.monitor);
  reader.choice<bool>("log_format", config.log_json, {{"text", false}, {"json", true}});
  reader.strings("origins", config.origins);
  reader.strings("hosts", config.hosts);
  reader.integer("connections_max", config.http.connections_max);
  reader.milliseconds("header_timeout", config.http.header_ms);
  reader.milliseconds("progress_timeout", config.http.progress_ms);
  reader.milliseconds("idle_timeout", config.http.idle_ms);
  reader.milliseconds("event_silence", config.http.event_silence_ms);
  reader.string("directory", config.files.directory);
  reader.bytes("directory_bytes_max", config.files.bytes_max);
  reader.milliseconds("file_timeout", config.files.unused_ms);
  reader.milliseconds("jobs_kept", config.jobs_kept_ms);
  reader.strings("src_prefixes", config.go_judge.src_prefixes);
  reader.bytes("extra_memory_limit", config.go_judge.extra_memory_limit);
  reader.bytes("output_limit", config.go_judge.output_limit);
  reader.bytes("copy_out_limit", config.go_judge.copy_out_limit);
  reader.integer("open_file_limit", config.go_judge.open_file_limit);
  reader.boolean("cpu_rate", config.go_judge.cpu_rate);
  reader.boolean("named_collectors", config.go_judge.named_collectors);
  reader.tables("client", "[[server.client]], in two brackets", "a [[server.client]] table",
                [&](const toml::table& client, const std::string& name) {
                  read_client(reading, client, name, config);
                });
  reader.finish();
}

}  // namespace

Result<ServerConfig> server_config_from_toml(std::string_view text, const std::string& file_name) {
  Reading reading(file_name);
  const Result<toml::table> parsed = parse_toml(text, file_name);
  if (!parsed) return parsed.error();
  ServerConfig config;
  const toml::node* node = parsed->get("server");
  if (node == nullptr) return config;
  if (const toml::table* table = node->as_table())
    read_server(reading, *table, config);
  else
    reading.wrong_type(*node, "server", "a table [server]");
  if (reading.failed()) return reading.take_error();
  return config;
}

Result<ServerConfig> server_config_from_file(const std::string& path) {
  const Result<std::string> text = read_whole_file(path, kFileBytesMax);
  if (text) return server_config_from_toml(*text, path);
  return errno_error(Step::kReadFile, path, text.error().errnum,
                     "give the path of a readable TOML file");
}

}  // namespace hatchery::server
