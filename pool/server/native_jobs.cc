#include "pool/server/native_jobs.h"

#include <unistd.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <sstream>
#include <utility>

#include "pool/job_json.h"
#include "pool/json_text.h"
#include "pool/server/host_paths.h"
#include "pool/server/tracked_batch.h"
#include "pool/server/tracked_job.h"
#include "pool/validator.h"

namespace hatchery::server {
namespace {

namespace json = boost::json;

constexpr std::size_t kTestsMax = 10'000;

NativeRefusal bad_request(std::string object, std::string detail, std::string remedy) {
  return {400, Error{.step = Step::kParseRequest,
                     .object = std::move(object),
                     .detail = std::move(detail),
                     .remedy = std::move(remedy)}};
}

}  // namespace

NativeJobs::NativeJobs(Pool& pool, StoredFiles& files, DescriptorPump& pump, PoolWatch& watch,
                       Post post, NativeJobsConfig config)
    : pool_(pool),
      files_(files),
      pump_(pump),
      watch_(watch),
      post_(std::move(post)),
      config_(std::move(config)) {}

std::optional<NativeRefusal> NativeJobs::admit(JobSpec& spec) {
  /// The path becomes what was checked; false when no client may name it.
  const auto allow = [this](std::string& path) {
    std::string real = path_below(path, config_.src_prefixes);
    if (real.empty()) return false;
    path = std::move(real);
    return true;
  };
  const auto no_path = [](const std::string& field, const std::string& path) {
    return bad_request(field, "\"" + path + "\" is a path of the server's host",
                       "store the file and give its id; or have the operator name its directory "
                       "with --src-prefix");
  };
  const auto not_stored = [](const std::string& field, const std::string& id) {
    return bad_request(field, "\"" + id + "\" is not stored", "upload it to /v1/files first");
  };
  for (auto& [fd, stream] : spec.fds) {
    const std::string field = "fds." + std::to_string(fd);
    if (auto* host = std::get_if<HostFileStream>(&stream)) {
      if (host->write || !allow(host->path)) return no_path(field, host->path);
    } else if (const auto* stored = std::get_if<StoredFileStream>(&stream)) {
      if (!files_.use(stored->id)) return not_stored(field, stored->id);
      stream = files_.stream(stored->id);
    }
  }
  for (FileIn& file : spec.files_in) {
    if (auto* host = std::get_if<FileIn::HostFile>(&file.source)) {
      if (!allow(host->path)) return no_path("files_in: " + file.path, host->path);
    } else if (auto* tree = std::get_if<FileIn::HostDirectory>(&file.source)) {
      if (!allow(tree->path)) return no_path("files_in: " + file.path, tree->path);
    } else if (auto* stored = std::get_if<FileIn::Stored>(&file.source)) {
      if (!files_.use(stored->id)) return not_stored("files_in: " + file.path, stored->id);
      const std::optional<std::uint32_t> mode = file.mode;
      file = files_.file_in(stored->id, file.path);
      if (mode) file.mode = mode;
    }
  }
  return std::nullopt;
}

void NativeJobs::settle(Report& report) {
  watch_.saw(report);
  for (Output& output : report.outputs) {
    if (output.stored.empty()) continue;
    Result<std::string> id = files_.take_over(output.stored, output.name);
    if (id) {
      output.stored = *std::move(id);
    } else {
      output.stored.clear();
      output.error = std::move(id).error();
    }
  }
}

std::optional<NativeRefusal> NativeJobs::submit_job(std::string_view text, const ClientGate& gate,
                                                    const std::string& peer, bool log,
                                                    std::shared_ptr<Tracked>& job) {
  Result<JobSpec> spec = job_from_json(text, "job");
  if (!spec) return refusal_of(std::move(spec).error());
  if (auto refusal = admit(*spec)) return refusal;
  gate.own(*spec, peer);
  auto tracked = std::make_shared<TrackedJob>(*this, gate.config().name);
  if (Result<void> submitted = tracked->submit(*std::move(spec), log); !submitted)
    return refusal_of(std::move(submitted).error());
  job = std::move(tracked);
  return std::nullopt;
}

namespace {

/// The bytes of "text", {"text"}, {"base64"} or {"stored"}.
std::optional<NativeRefusal> read_contents(const json::value& value, const std::string& field,
                                           StoredFiles& files, std::string& bytes) {
  const auto wrong = [&field] {
    return bad_request(field, "is no content",
                       "give a string, or {\"text\"}, {\"base64\"} or "
                       "{\"stored\"}");
  };
  if (const json::string* text = value.if_string()) {
    bytes.assign(text->data(), text->size());
    return std::nullopt;
  }
  const json::object* object = value.if_object();
  if (object == nullptr || object->size() != 1 || !object->begin()->value().is_string())
    return wrong();
  const std::string kind(object->begin()->key().data(), object->begin()->key().size());
  const json::string& content = object->begin()->value().get_string();
  const std::string text(content.data(), content.size());
  if (kind == "text") {
    bytes = text;
  } else if (kind == "base64") {
    Result<std::string> decoded = base64_decode(text);
    if (!decoded) return bad_request(field, decoded.error().detail, decoded.error().remedy);
    bytes = *std::move(decoded);
  } else if (kind == "stored") {
    Result<UniqueFd> file = files.open(text);
    if (!file) return bad_request(field, "\"" + text + "\" is not stored", "upload it first");
    char part[65536];
    for (ssize_t got = 0; (got = ::read(file->get(), part, sizeof part)) > 0;)
      bytes.append(part, static_cast<std::size_t>(got));
  } else {
    return wrong();
  }
  return std::nullopt;
}

}  // namespace

std::optional<NativeRefusal> NativeJobs::submit_batch(std::string_view text, const ClientGate& gate,
                                                      const std::string& peer,
                                                      std::shared_ptr<Tracked>& batch) {
  Result<json::value> document = parse_json(text, "batch");
  if (!document) return refusal_of(std::move(document).error());
  const json::object* object = document->if_object();
  if (object == nullptr) return bad_request("batch", "is no object", "give {\"job\", \"tests\"}");
  auto tracked = std::make_shared<TrackedBatch>(*this, gate.config().name);
  const json::object* job = nullptr;
  const json::array* tests = nullptr;
  for (const json::key_value_pair& pair : *object) {
    const std::string key(pair.key().data(), pair.key().size());
    const json::value& value = pair.value();
    if (key == "job" && value.is_object()) {
      job = value.if_object();
    } else if (key == "tests" && value.is_array()) {
      tests = value.if_array();
    } else if (key == "stop_at_first" && value.is_bool()) {
      tracked->stop_at_first = value.get_bool();
    } else if (key == "keep_outputs" && value.is_bool()) {
      tracked->keep_outputs = value.get_bool();
    } else if (key == "checker" && value.is_object()) {
      Result<JobSpec> checker = job_from_json(json::serialize(value), "batch: checker");
      if (!checker) return refusal_of(std::move(checker).error());
      if (auto refusal = admit(*checker)) return refusal;
      gate.own(*checker, peer);
      tracked->checker = *std::move(checker);
    } else if (key == "validator_flags" && value.is_array()) {
      std::vector<std::string> flags;
      for (const json::value& flag : value.get_array()) {
        std::istringstream words(flag.is_string() ? std::string(flag.get_string()) : "");
        for (std::string word; words >> word;) flags.push_back(word);
      }
      Result<judge::ValidatorOptions> options = judge::parse_validator_flags(flags);
      if (!options)
        return bad_request("validator_flags", options.error().detail, options.error().remedy);
      tracked->validator = *options;
    } else {
      return bad_request(key, "is no field of a batch, or of a wrong type",
                         "give job, tests, stop_at_first, keep_outputs, checker, validator_flags");
    }
  }
  if (job == nullptr || tests == nullptr || tests->empty() || tests->size() > kTestsMax)
    return bad_request("batch", "has no job, or not 1 to 10000 tests",
                       "give {\"job\": {…}, \"tests\": [{\"stdin\": …, \"expected\": …}]}");
  for (const json::value& value : *tests) {
    const std::string field = "tests[" + std::to_string(tracked->tests.size()) + "]";
    const json::object* test = value.if_object();
    if (test == nullptr)
      return bad_request(field, "is no object", "give {\"stdin\", \"expected\"}");
    BatchTest added;
    added.id = std::to_string(tracked->tests.size() + 1);
    json::object merged = *job;
    for (const json::key_value_pair& pair : *test) {
      const std::string key(pair.key().data(), pair.key().size());
      if (key == "id" && pair.value().is_string()) {
        added.id = std::string(pair.value().get_string());
      } else if (key == "stdin") {
        merged["stdin"] = pair.value();
        if (tracked->checker)
          if (auto refusal = read_contents(pair.value(), field + ".stdin", files_, added.input))
            return refusal;
      } else if (key == "expected") {
        added.expected.emplace();
        if (auto refusal =
                read_contents(pair.value(), field + ".expected", files_, *added.expected))
          return refusal;
      } else if (key == "limits" || key == "args") {
        merged[pair.key()] = pair.value();
      } else {
        return bad_request(field + "." + key, "is no field of a test",
                           "give id, stdin, expected, args, limits");
      }
    }
    Result<JobSpec> spec = job_from_json(json::serialize(merged), "batch: " + field);
    if (!spec) return refusal_of(std::move(spec).error());
    if (auto refusal = admit(*spec)) return refusal;
    gate.own(*spec, peer);
    spec->id = added.id;
    added.spec = *std::move(spec);
    tracked->tests.push_back(std::move(added));
  }
  if (auto refusal = tracked->start()) return refusal;
  batch = std::move(tracked);
  return std::nullopt;
}

std::shared_ptr<Tracked> NativeJobs::find(const std::string& id, const std::string& client) {
  const std::lock_guard lock(mutex_);
  const auto found = tracked_.find(id);
  return found == tracked_.end() || found->second->client != client ? nullptr : found->second;
}

std::shared_ptr<Tracked> NativeJobs::find_by_key(const std::string& key,
                                                 const std::string& client) {
  const std::lock_guard lock(mutex_);
  const auto found = keys_.find(client + '\n' + key);
  return found == keys_.end() ? nullptr : tracked_.at(found->second);
}

void NativeJobs::keep(const std::shared_ptr<Tracked>& tracked) {
  const std::lock_guard lock(mutex_);
  tracked_[tracked->id] = tracked;
  order_.push_back(tracked->id);
  if (!tracked->idempotency_key.empty())
    keys_[tracked->client + '\n' + tracked->idempotency_key] = tracked->id;
}

std::vector<std::shared_ptr<Tracked>> NativeJobs::newest(std::size_t count,
                                                         const std::string& client,
                                                         std::string_view kind) {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<Tracked>> result;
  for (auto id = order_.rbegin(); id != order_.rend() && result.size() < count; ++id)
    if (const auto& tracked = tracked_.at(*id);
        tracked->client == client && tracked->kind() == kind)
      result.push_back(tracked);
  return result;
}

void NativeJobs::expire() {
  const std::lock_guard lock(mutex_);
  const std::int64_t now_ms = Tracked::unix_ms();
  std::uint64_t bytes = 0;
  std::size_t count = 0;
  // From the newest on, until there is no more room.
  for (auto id = order_.end(); id != order_.begin();) {
    --id;
    const std::shared_ptr<Tracked>& tracked = tracked_.at(*id);
    if (!tracked->is_done()) continue;
    bytes += tracked->size();
    ++count;
    const bool kept = bytes <= config_.kept_bytes_max && count <= config_.kept_max &&
                      now_ms - tracked->ended_ms <= static_cast<std::int64_t>(config_.kept_ms);
    if (kept) continue;
    if (!tracked->idempotency_key.empty())
      keys_.erase(tracked->client + '\n' + tracked->idempotency_key);
    tracked_.erase(*id);
    id = order_.erase(id);
  }
}

JobLog* NativeJobs::log_of(Tracked& tracked) {
  auto* const job = dynamic_cast<TrackedJob*>(&tracked);
  return job == nullptr ? nullptr : job->log();
}

const Output* NativeJobs::output_of(Tracked& tracked, const std::string& name) {
  auto* const job = dynamic_cast<TrackedJob*>(&tracked);
  return job == nullptr || !job->is_done() ? nullptr : job->report().output(name);
}

}  // namespace hatchery::server
