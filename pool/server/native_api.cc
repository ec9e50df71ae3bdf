#include "pool/server/native_api.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <cerrno>
#include <charconv>
#include <utility>

#include "pool/server/answers.h"
#include "pool/server/embedded.h"
#include "pool/utf8.h"

namespace hatchery::server {
namespace {

namespace json = boost::json;

constexpr std::string_view kPrefix = "/v1/";
constexpr std::size_t kListedMax = 200;
constexpr std::size_t kKeyMax = 256;

json::string text_value(const std::string& text) { return json::string(utf8_or_replaced(text)); }

Error no_such(const std::string& what) {
  return Error{.step = Step::kParseRequest,
               .object = what,
               .detail = "is unknown here, or known no more",
               .remedy = "see GET /v1/openapi.json"};
}

HttpResponse not_found(const std::string& what) { return error_response(404, no_such(what)); }

/// The value of `key` in "a=1&b=2"; absent when it is not there.
std::optional<std::string> query_value(const std::string& query, std::string_view key) {
  for (std::size_t start = 0; start < query.size();) {
    const std::size_t end = std::min(query.find('&', start), query.size());
    const std::string_view pair = std::string_view(query).substr(start, end - start);
    const std::size_t equals = std::min(pair.find('='), pair.size());
    if (pair.substr(0, equals) == key)
      return std::string(equals < pair.size() ? pair.substr(equals + 1) : "");
    start = end + 1;
  }
  return std::nullopt;
}

bool is_set(const std::string& query, std::string_view key) {
  const std::optional<std::string> value = query_value(query, key);
  return value && *value != "0" && *value != "false";
}

/// The body as it comes into a file of the store, and its hash.
class ContentSink final : public BodySink {
 public:
  explicit ContentSink(const StoredFiles& files) : files_(files) {}
  Result<void> write(std::string_view part) override {
    if (!file_.valid()) {
      Result<UniqueFd> file = files_.create_file();
      if (!file) return std::move(file).error();
      file_ = *std::move(file);
    }
    hash_.write(part);
    return files_.append(file_.get(), size_, part, "upload");
  }
  Result<std::string> keep(StoredFiles& files) {
    if (!file_.valid()) HATCHERY_TRY(write(""));  // An empty body has no part.
    return files.add_content(std::move(file_), hash_.finish());
  }
  std::uint64_t size() const { return size_; }

 private:
  const StoredFiles& files_;
  UniqueFd file_;
  ContentHash hash_;
  std::uint64_t size_ = 0;
};

HttpResponse event_stream_head() {
  HttpResponse head{.content_type = "text/event-stream"};
  head.headers.push_back({"Cache-Control", "no-store"});
  return head;
}

std::string hash_of(const std::string& text) {
  ContentHash hash;
  hash.write(text);
  return hash.finish();
}

}  // namespace

std::unique_ptr<BodySink> NativeApi::upload_sink(const HttpRequest& head) {
  if (head.path != "/v1/files" || head.method != "POST") return nullptr;
  return std::make_unique<ContentSink>(files_);
}

std::string NativeApi::route_of(const std::string& path) {
  for (const char* plain :
       {"/v1/jobs", "/v1/batches", "/v1/files", "/v1/stats", "/v1/events", "/v1/openapi.json"})
    if (path == plain) return path;
  if (path.starts_with("/v1/files/")) return "/v1/files/{id}";
  if (path.starts_with("/v1/batches/")) return "/v1/batches/{id}";
  if (path.ends_with("/log")) return "/v1/jobs/{id}/log";
  if (path.find("/outputs/") != std::string::npos) return "/v1/jobs/{id}/outputs/{name}";
  return path.starts_with("/v1/jobs/") ? "/v1/jobs/{id}" : "/v1/other";
}

bool NativeApi::handle(const std::shared_ptr<Exchange>& exchange, ClientGate& gate) {
  const std::string& client = gate.config().name;
  const HttpRequest& request = exchange->request();
  const std::string& path = request.path;
  if (!path.starts_with(kPrefix)) return false;
  const bool reads = request.method == "GET";
  if (path == "/v1/jobs" || path == "/v1/batches") {
    if (request.method == "POST")
      submit(exchange, gate, path == "/v1/batches");
    else if (reads)
      list(exchange, client, path == "/v1/batches" ? "batch" : "job");
    else
      exchange->reply(wrong_method("GET, POST"));
  } else if (path.starts_with("/v1/jobs/")) {
    one(exchange, client, path.substr(9));
  } else if (path.starts_with("/v1/batches/")) {
    one(exchange, client, path.substr(12));
  } else if (path == "/v1/files" || path.starts_with("/v1/files/")) {
    files(exchange, path.size() > 10 ? path.substr(10) : "");
  } else if (!reads) {
    exchange->reply(wrong_method("GET"));
  } else if (path == "/v1/stats") {
    exchange->reply({.body = watch_.json()});
  } else if (path == "/v1/events") {
    watch_.follow(exchange->stream(event_stream_head()));
  } else if (path == "/v1/openapi.json") {
    exchange->reply({.body = std::string(embedded_file("openapi.json")->bytes)});
  } else {
    exchange->reply(not_found(path));
  }
  return true;
}

void NativeApi::submit(const Reply& exchange, ClientGate& gate, bool batch) {
  const std::string& client = gate.config().name;
  const HttpRequest& request = exchange->request();
  const std::string* key = request.header("Idempotency-Key");
  const std::string hash = key == nullptr ? "" : hash_of(request.path + '\n' + request.body);
  const bool wait = is_set(request.query, "wait");
  const auto answer = [exchange, wait](const std::shared_ptr<Tracked>& tracked, bool again) {
    const auto say = [exchange, tracked, again](int status) {
      HttpResponse response{.status = status, .body = tracked->json()};
      response.headers.push_back({"Location", exchange->request().path + "/" + tracked->id});
      if (again) response.headers.push_back({"Idempotent-Replay", "true"});
      exchange->reply(std::move(response));
    };
    if (!wait) return say(202);
    tracked->when_done([exchange, say] { exchange->post([say] { say(200); }); });
  };
  if (key != nullptr) {
    if (key->empty() || key->size() > kKeyMax)
      return exchange->reply(
          error_response(400, Error{.step = Step::kParseRequest,
                                    .object = "Idempotency-Key",
                                    .detail = "is empty or longer than 256 bytes"}));
    if (const auto known = jobs_.find_by_key(*key, client)) {
      if (known->request_hash == hash) return answer(known, true);
      return exchange->reply(error_response(422, Error{.step = Step::kParseRequest,
                                                       .object = "Idempotency-Key",
                                                       .detail = "came before with another request",
                                                       .remedy = "use a new key for a new job"}));
    }
  }
  ClientGate::Lease lease = gate.enter();
  if (!lease)
    return exchange->reply(
        error_response(429, Error{.step = Step::kQueueJob,
                                  .object = client,
                                  .errnum = EAGAIN,
                                  .detail = "has, or asks for, more at once than it may",
                                  .remedy = "ask again when a job is done, or in a second"}));
  std::shared_ptr<Tracked> tracked;
  const std::optional<NativeRefusal> refusal =
      batch ? jobs_.submit_batch(request.body, gate, request.peer, tracked)
            : jobs_.submit_job(request.body, gate, request.peer, is_set(request.query, "log"),
                               tracked);
  if (refusal) {
    lease.reset();
    return exchange->reply(error_response(refusal->status, refusal->error));
  }
  if (key != nullptr) {
    tracked->idempotency_key = *key;
    tracked->request_hash = hash;
  }
  jobs_.keep(tracked);
  tracked->hold(std::move(lease));
  answer(tracked, false);
}

void NativeApi::one(const Reply& exchange, const std::string& client, const std::string& rest) {
  const HttpRequest& request = exchange->request();
  const std::size_t slash = std::min(rest.find('/'), rest.size());
  const std::string id = rest.substr(0, slash);
  const std::string below = slash < rest.size() ? rest.substr(slash + 1) : "";
  const std::shared_ptr<Tracked> tracked = jobs_.find(id, client);
  if (!tracked) return exchange->reply(not_found(id));
  if (below.empty() && request.method == "DELETE") {
    tracked->cancel();
    return exchange->reply({.status = 202, .body = tracked->json()});
  }
  if (request.method != "GET")
    return exchange->reply(wrong_method(below.empty() ? "GET, DELETE" : "GET"));
  if (below.empty()) {
    if (!is_set(request.query, "wait")) return exchange->reply({.body = tracked->json()});
    return tracked->when_done([exchange, tracked] {
      exchange->post([exchange, tracked] { exchange->reply({.body = tracked->json()}); });
    });
  }
  if (below == "log") return log(exchange, *tracked);
  if (below.starts_with("outputs/")) {
    const Output* output = NativeJobs::output_of(*tracked, below.substr(8));
    if (output == nullptr) return exchange->reply(not_found(below));
    HttpResponse response{.content_type = "application/octet-stream"};
    response.headers.push_back({"X-Content-Type-Options", "nosniff"});
    if (output->stored.empty()) {
      response.body = output->bytes;
      return exchange->reply(std::move(response));
    }
    Result<UniqueFd> file = files_.open(output->stored);
    if (!file) return exchange->reply(not_found(below));
    response.file = *std::move(file);
    return exchange->reply(std::move(response));
  }
  exchange->reply(not_found(below));
}

void NativeApi::log(const Reply& exchange, Tracked& tracked) {
  JobLog* const log = NativeJobs::log_of(tracked);
  if (log == nullptr) return exchange->reply(not_found("log: ask for it by POST /v1/jobs?log=1"));
  const HttpRequest& request = exchange->request();
  std::string from = query_value(request.query, "offset").value_or("0");
  // What a browser sends when it comes back by itself.
  if (const std::string* last = request.header("Last-Event-ID")) from = *last;
  std::uint64_t offset = 0;
  const auto parsed = std::from_chars(from.data(), from.data() + from.size(), offset);
  if (parsed.ec != std::errc() || parsed.ptr != from.data() + from.size())
    return exchange->reply(error_response(400, Error{.step = Step::kParseRequest,
                                                     .object = "offset",
                                                     .detail = "\"" + from + "\" is no number"}));
  log->follow(exchange->stream(event_stream_head()), offset);
}

void NativeApi::list(const Reply& exchange, const std::string& client, std::string_view kind) {
  json::array listed;
  for (const auto& tracked : jobs_.newest(kListedMax, client, kind))
    listed.push_back(json::object{{"id", tracked->id},
                                  {"submitted_ms", tracked->submitted_ms},
                                  {"state", tracked->is_done() ? "done" : "active"}});
  exchange->reply({.body = json::serialize(json::object{
                               {kind == "job" ? "jobs" : "batches", std::move(listed)}}) +
                           "\n"});
}

void NativeApi::files(const Reply& exchange, const std::string& id) {
  const HttpRequest& request = exchange->request();
  if (id.empty()) {
    if (request.method == "POST") return upload(exchange);
    if (request.method != "GET") return exchange->reply(wrong_method("GET, POST"));
    json::array listed;
    for (const StoredFiles::Listed& file : files_.list())
      listed.push_back(
          json::object{{"id", file.id}, {"name", text_value(file.name)}, {"size", file.size}});
    return exchange->reply(
        {.body = json::serialize(json::object{{"files", std::move(listed)},
                                              {"bytes", files_.bytes()},
                                              {"bytes_free", files_.bytes_free()}}) +
                 "\n"});
  }
  if (request.method == "DELETE") {
    if (!files_.remove(id)) return exchange->reply(not_found(id));
    return exchange->reply({.status = 204, .content_type = ""});
  }
  if (request.method != "GET" && request.method != "HEAD")
    return exchange->reply(wrong_method("GET, HEAD, DELETE"));
  Result<UniqueFd> file = files_.open(id);
  if (!file) return exchange->reply(not_found(id));
  HttpResponse response{.content_type = "application/octet-stream"};
  response.headers.push_back({"X-Content-Type-Options", "nosniff"});
  response.file = *std::move(file);
  exchange->reply(std::move(response));
}

void NativeApi::upload(const Reply& exchange) {
  auto* const sink = dynamic_cast<ContentSink*>(exchange->sink());
  HATCHERY_CHECK(sink != nullptr);
  Result<std::string> id = sink->keep(files_);
  if (!id)
    return exchange->reply(error_response(id.error().errnum == ENOSPC ? 507 : 500, id.error()));
  HttpResponse response{
      .status = 201,
      .body = json::serialize(json::object{{"id", *id}, {"size", sink->size()}}) + "\n"};
  response.headers.push_back({"Location", "/v1/files/" + *id});
  exchange->reply(std::move(response));
}

}  // namespace hatchery::server
