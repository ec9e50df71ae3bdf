// From a go-judge request to jobs of the pool, and from their reports to its results. Pure but for
// look-ups: host paths are resolved, ids looked up in the store.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/result.h"
#include "pool/job.h"
#include "pool/server/go_judge_request.h"
#include "pool/server/stored_files.h"

namespace hatchery::server::go_judge {

/// What go-judge's flags set.
struct Settings {
  std::uint64_t extra_memory_limit = 16 << 10;
  std::uint64_t output_limit = 256 << 20;
  std::uint64_t copy_out_limit = 256 << 20;
  std::uint32_t open_file_limit = 256;
  bool cpu_rate = false;
  /// Collectors that are no pipes can be opened by their name in /w, as go-judge has them; at the
  /// price of a reset of /w after each job.
  bool named_collectors = false;
  /// Host directories that `src` may name; resolved. Empty: any path.
  std::vector<std::string> src_prefixes = {};
};

/// One of a result's fileError.
struct FileError {
  std::string name;
  std::string type;
  std::string message = {};
};

/// A descriptor of a job that a client streams to or from.
struct Streamed {
  int fd = 0;
  bool input = false;
};

/// Where a file comes from, to tell which one an error of the pool is about.
struct Incoming {
  std::string path;       ///< In the container, as the client wrote it.
  std::string host_path;  ///< "" when it is no host file.
  bool symlink = false;
};

/// One command as a job, and what its result needs to know beyond the report.
struct PreparedJob {
  JobSpec spec = {};  ///< For Pool::submit().
  std::uint64_t cpu_limit_ns = 0;
  std::uint64_t memory_limit = 0;
  bool tty = false;
  bool bare_command = false;                             ///< args[0] without '/'.
  std::map<std::string, std::uint64_t> collectors = {};  ///< Name to maximum.
  std::set<std::string> cached = {};   ///< Collectors and proxies that go to the store.
  std::vector<CopyOut> copy_out = {};  ///< As in spec.files_out, in order.
  std::vector<Incoming> incoming = {};
  std::vector<Streamed> streams = {};
  /// Files out that can't be, but let the job run.
  std::vector<FileError> unreachable = {};
  /// Why it can't start; then nothing of the request runs.
  std::vector<FileError> file_errors = {};
  std::string internal_error = {};
  bool can_start() const { return file_errors.empty() && internal_error.empty(); }
};

struct PreparedRequest {
  std::vector<PreparedJob> jobs = {};
  std::vector<PipeMap> proxies = {};
};

/// A request that can't be: HTTP status and sentence.
struct Refusal {
  int status = 400;
  std::string sentence;
};

/// `request` becomes jobs, wired by PipeStream where the pool can. Descriptors of proxies and of
/// streams are left out: the caller lends them.
std::optional<Refusal> prepare(Request request, const Settings& settings, StoredFiles& files,
                               PreparedRequest& prepared);

/// A Result of go-judge.
struct ResultText {
  std::string status;
  std::string json;
};
/// `copies`: what the server itself took of proxied pipes and terminals, by name. What
/// `copyOutCached` asks for goes into `files`.
ResultText result_of(const PreparedJob& job, Report report,
                     std::map<std::string, std::string> copies, StoredFiles& files);

/// The Result of a job that was not started: what hinders it, or that another of its request could
/// not start.
ResultText result_of_none(const PreparedJob& job);

}  // namespace hatchery::server::go_judge
