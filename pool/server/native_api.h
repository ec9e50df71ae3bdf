// NativeApi: the server's own interface below /v1, as pool/server/openapi.json describes it.
// Thread: the HTTP server's.
#pragma once

#include <memory>
#include <string>

#include "pool/server/http.h"
#include "pool/server/native_jobs.h"
#include "pool/server/pool_watch.h"
#include "pool/server/stored_files.h"

namespace hatchery::server {

class NativeApi {
 public:
  NativeApi(StoredFiles& files, NativeJobs& jobs, PoolWatch& watch)
      : files_(files), jobs_(jobs), watch_(watch) {}

  /// Takes the body of an upload; null for every other request.
  std::unique_ptr<BodySink> upload_sink(const HttpRequest& head);
  /// False when the path is not of this interface. `gate`: of whose request it is.
  bool handle(const std::shared_ptr<Exchange>& exchange, ClientGate& gate);
  /// The path with its ids replaced, for metrics.
  static std::string route_of(const std::string& path);

 private:
  using Reply = std::shared_ptr<Exchange>;
  void submit(const Reply& exchange, ClientGate& gate, bool batch);
  void one(const Reply& exchange, const std::string& client, const std::string& rest);
  void log(const Reply& exchange, Tracked& tracked);
  void list(const Reply& exchange, const std::string& client, std::string_view kind);
  void files(const Reply& exchange, const std::string& id);
  void upload(const Reply& exchange);

  StoredFiles& files_;
  NativeJobs& jobs_;
  PoolWatch& watch_;
};

}  // namespace hatchery::server
