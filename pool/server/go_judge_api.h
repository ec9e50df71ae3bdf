// GoJudgeApi: go-judge's endpoints. Which differences there are is in the README, "go-judge's
// interface". Thread: the HTTP server's.
#pragma once

#include <memory>
#include <string>

#include "pool/pool.h"
#include "pool/server/client_gate.h"
#include "pool/server/descriptor_pump.h"
#include "pool/server/http.h"
#include "pool/server/metrics.h"
#include "pool/server/runs.h"
#include "pool/server/stored_files.h"

namespace hatchery::server::go_judge {

class Api {
 public:
  Api(Pool& pool, StoredFiles& files, DescriptorPump& pump, Metrics& metrics, PoolWatch& watch,
      Settings settings)
      : pool_(pool),
        files_(files),
        settings_(std::move(settings)),
        runs_(pool, files, pump, metrics, watch) {}

  /// POST /run
  void run(const std::shared_ptr<Exchange>& exchange, ClientGate& gate);
  /// GET /ws and /stream
  std::shared_ptr<WebSocketPeer> web_socket(ClientGate& gate, const std::string& peer);
  std::shared_ptr<WebSocketPeer> stream_socket(ClientGate& gate, const std::string& peer);

  /// Takes the body of POST /file, or refuses a request that has no form.
  std::unique_ptr<BodySink> upload_sink(const HttpRequest& head);
  void upload(const std::shared_ptr<Exchange>& exchange);
  HttpResponse list_files() const;
  HttpResponse download(const std::string& id);
  HttpResponse remove(const std::string& id);
  HttpResponse version() const;
  HttpResponse config() const;

  const Settings& settings() const { return settings_; }

 private:
  /// prepare(), as that client's.
  std::optional<Refusal> prepare_for(Request request, const ClientGate& gate,
                                     const std::string& peer, PreparedRequest& prepared);
  class Multiplexed;
  class Interactive;

  Pool& pool_;
  StoredFiles& files_;
  const Settings settings_;
  Runs runs_;
};

}  // namespace hatchery::server::go_judge
