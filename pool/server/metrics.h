// Metrics: what the server counts, in Prometheus' text form, under go-judge's names and our own.
// metrics.cc is the only file that includes prometheus-cpp. Thread: any.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "pool/pool.h"
#include "pool/server/stored_files.h"

namespace hatchery::server {

class Metrics {
 public:
  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  /// A job of go-judge's face ended. `status` is its word.
  void count_run(const std::string& status, double seconds, std::uint64_t memory_bytes);
  /// A report of any face.
  void count_report(const Report& report);
  void count_error();
  void count_request(const std::string& route, int status, double seconds);

  /// All of it, with what pool and store say now.
  std::string text(const Pool& pool, const StoredFiles& files, std::size_t connections);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hatchery::server
