// Server: a pool behind HTTP and WebSocket. Wires the HTTP server, the interfaces and the pool, and
// decides who may speak to them.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "pool/config.h"
#include "pool/server/client_gate.h"
#include "pool/server/event.h"
#include "pool/server/go_judge_jobs.h"
#include "pool/server/http_server.h"
#include "pool/server/stored_files.h"

namespace hatchery::server {

struct ServerConfig {
  HttpServerConfig http = {};
  /// Where /metrics is served without a token, as HttpServerConfig::listen; "" for nowhere.
  std::string monitor = {};
  /// Who may use it. Every request but for /version, /config, /healthz, /readyz and the page must
  /// bring the token of one. Empty: everybody who reaches it.
  std::vector<ClientConfig> clients = {};
  /// What "Origin" may be beside the server's own address: "https://judge.example". A browser's
  /// requests from elsewhere get 403.
  std::vector<std::string> origins = {};
  /// Names the server may be called by ("Host") beside addresses and localhost: a page elsewhere
  /// whose name leads here (DNS rebinding) gets 403. Empty: any, where it listens on more than the
  /// loopback.
  std::vector<std::string> hosts = {};
  StoredFilesConfig files = {};
  go_judge::Settings go_judge = {};
  /// How long /v1 tells of a job or batch after its end; 256 MiB of them at most, the oldest goes
  /// first.
  std::uint32_t jobs_kept_ms = 600'000;
  /// A job that failed inside, and an exception that ended a request, are errors.
  EventLog log = {};
  /// What the file says of the log's form; for whoever fills `log`.
  bool log_json = false;
};

/// The table [server] of a pool's file; all of it may be left out. Errors: kParseConfig,
/// "file:line:column: key: what; remedy".
Result<ServerConfig> server_config_from_toml(std::string_view text, const std::string& file_name);
Result<ServerConfig> server_config_from_file(const std::string& path);

class Server {
 public:
  /// Starts the pool, then listens.
  static Result<std::unique_ptr<Server>> create(ServerConfig config, PoolConfig pool);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  std::vector<std::string> addresses() const;
  /// As Report::host.
  std::string host() const;
  /// No new connections and requests; waits until what is under way is answered, for `grace` at
  /// most. False when something was not.
  bool drain(std::chrono::milliseconds grace);

 private:
  class Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace hatchery::server
