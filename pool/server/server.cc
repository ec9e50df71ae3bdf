#include "pool/server/server.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <limits>
#include <mutex>
#include <thread>
#include <utility>

#include "pool/json_text.h"
#include "pool/pool.h"
#include "pool/server/access.h"
#include "pool/server/answers.h"
#include "pool/server/embedded.h"
#include "pool/server/go_judge_api.h"
#include "pool/server/metrics.h"
#include "pool/server/native_api.h"
#include "pool/utf8.h"

namespace hatchery::server {
namespace {

constexpr std::size_t kLoggedPathMax = 256;
constexpr auto kAnswersGone = std::chrono::milliseconds(20);

void log_request(const EventLog& log, const HttpRequest& request, int status, double seconds,
                 const std::string& client) {
  if (!log.wants(EventLevel::kInfo)) return;
  const std::string path = utf8_or_replaced(request.path.substr(0, kLoggedPathMax));
  const std::string method = utf8_or_replaced(request.method);
  log.tell({EventLevel::kInfo,
            method + " " + path + " " + std::to_string(status),
            {{"request", boost::json::object{{"method", method},
                                             {"path", path},
                                             {"status", status},
                                             {"ms", seconds * 1e3},
                                             {"client", client},
                                             {"peer", request.peer}}}}});
}

/// Counts what is under way and, with its status, what was answered; and tells the log of it.
class CountedExchange final : public Exchange {
 public:
  struct Observers {
    Metrics& metrics;
    const EventLog& log;
    std::atomic<std::size_t>& under_way;
  };
  CountedExchange(std::shared_ptr<Exchange> inner, std::string route, std::string client,
                  const Observers& observers)
      : inner_(std::move(inner)),
        route_(std::move(route)),
        client_(std::move(client)),
        metrics_(observers.metrics),
        log_(observers.log),
        under_way_(observers.under_way),
        begun_(std::chrono::steady_clock::now()) {
    ++under_way_;
  }
  ~CountedExchange() override { --under_way_; }

  const HttpRequest& request() const override { return inner_->request(); }
  BodySink* sink() override { return inner_->sink(); }
  void reply(HttpResponse response) override {
    count(response.status);
    inner_->reply(std::move(response));
  }
  std::shared_ptr<EventStream> stream(HttpResponse head) override {
    count(head.status);
    return inner_->stream(std::move(head));
  }
  void on_disconnect(std::function<void()> gone) override {
    inner_->on_disconnect(std::move(gone));
  }
  void post(std::function<void()> work) override { inner_->post(std::move(work)); }

 private:
  void count(int status) {
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begun_;
    metrics_.count_request(route_, status, taken.count());
    log_request(log_, inner_->request(), status, taken.count(), client_);
  }

  std::shared_ptr<Exchange> inner_;
  const std::string route_;
  const std::string client_;
  Metrics& metrics_;
  const EventLog& log_;
  std::atomic<std::size_t>& under_way_;
  const std::chrono::steady_clock::time_point begun_;
};

}  // namespace

/// The routes of all interfaces.
class Server::Impl final : public HttpHandler {
 public:
  Impl(ServerConfig config, std::unique_ptr<Pool> pool, std::unique_ptr<DescriptorPump> pump,
       std::unique_ptr<StoredFiles> files)
      : config_(std::move(config)),
        pool_(std::move(pool)),
        pump_(std::move(pump)),
        files_owner_(std::move(files)),
        files_(*files_owner_),
        go_judge_(*pool_, files_, *pump_, metrics_, watch_, config_.go_judge),
        native_jobs_(
            *pool_, files_, *pump_, watch_,
            [this](std::function<void()> work) { http_->post(std::move(work)); },
            {.kept_ms = config_.jobs_kept_ms, .src_prefixes = config_.go_judge.src_prefixes}),
        native_(files_, native_jobs_, watch_) {
    for (const ClientConfig& client : config_.clients)
      gates_.push_back(std::make_unique<ClientGate>(client));
  }

  ~Impl() override {
    for (const auto& http : {http_.get(), monitor_.get()})
      if (http != nullptr) http->stop();
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    stop_.notify_all();
    if (janitor_.joinable()) janitor_.join();
    // Its reports still come, to exchanges that lead nowhere; then nothing holds one any more.
    pool_.reset();
    pump_.reset();
  }

  Result<void> listen() {
    Result<std::unique_ptr<HttpServer>> http = HttpServer::create(config_.http, *this);
    if (!http) return std::move(http).error();
    http_ = *std::move(http);
    for (const std::string& address : http_->addresses()) local_ &= is_local_address(address);
    if (local_ && config_.hosts.empty()) config_.hosts = {"localhost"};
    if (!config_.monitor.empty()) {
      HttpServerConfig monitor = config_.http;
      monitor.listen = {config_.monitor};
      monitor.threads = 1;
      monitor.connections_max = 256;
      Result<std::unique_ptr<HttpServer>> second = HttpServer::create(monitor, monitor_handler_);
      if (!second) return std::move(second).error();
      monitor_ = *std::move(second);
      monitor_->start();
    }
    janitor_ = std::thread([this] { keep_house(); });
    http_->start();
    return {};
  }

  Beginning begin(const HttpRequest& head) override {
    // No browser reaches a Unix socket.
    if (auto why =
            head.peer == "unix" ? std::nullopt : stranger(head, config_.origins, config_.hosts))
      return refused(head, sentence(403, *why));
    const std::string& path = head.path;
    const bool is_open = path == "/version" || path == "/config" || path == "/healthz" ||
                         path == "/readyz" || page_of(path).has_value();
    ClientGate* const gate = gate_of(head);
    if (!is_open && gate == nullptr) return refused(head, {.status = 401, .content_type = ""});
    if (draining_ && path != "/healthz" && path != "/readyz")
      return refused(head, sentence(503, "worker is shutting down"));
    Beginning beginning;
    if (head.upgrade && (path == "/ws" || path == "/stream")) {
      beginning.peer = path == "/ws" ? go_judge_.web_socket(*gate, head.peer)
                                     : go_judge_.stream_socket(*gate, head.peer);
    } else if (head.method == "POST" && path == "/file") {
      beginning.sink = go_judge_.upload_sink(head);
      // The sink says when the store is full.
      beginning.body_max = beginning.sink ? std::numeric_limits<std::uint64_t>::max() : 1U << 20;
    } else {
      beginning.sink = native_.upload_sink(head);
      beginning.body_max =
          beginning.sink ? std::numeric_limits<std::uint64_t>::max() : kJsonBytesMax;
    }
    return beginning;
  }

  void handle(const std::shared_ptr<Exchange>& plain) override {
    const HttpRequest& request = plain->request();
    const std::string& path = request.path;
    const std::string& method = request.method;
    const bool is_file = path.starts_with("/file/");
    // What is open to all needs none.
    ClientGate* const known = gate_of(request);
    ClientGate& gate = known == nullptr ? anybody_ : *known;
    const auto exchange = std::make_shared<CountedExchange>(
        plain, route_of(path), gate.config().name,
        CountedExchange::Observers{metrics_, config_.log, under_way_});
    if (native_.handle(exchange, gate)) return;
    if (path == "/run") {
      if (method != "POST") return exchange->reply(wrong_method("POST"));
      return go_judge_.run(exchange, gate);
    }
    if (path == "/file") {
      if (method == "GET") return exchange->reply(go_judge_.list_files());
      if (method == "POST") return go_judge_.upload(exchange);
      return exchange->reply(wrong_method("GET, POST"));
    }
    if (is_file) {
      const std::string id = path.substr(6);
      if (method == "GET") return exchange->reply(go_judge_.download(id));
      if (method == "DELETE") return exchange->reply(go_judge_.remove(id));
      return exchange->reply(wrong_method("GET, DELETE"));
    }
    if (path == "/ws" || path == "/stream")
      return exchange->reply(sentence(400, "this is a WebSocket: ask for an upgrade"));
    if (method != "GET") return exchange->reply(wrong_method("GET"));
    if (path == "/version") return exchange->reply(go_judge_.version());
    if (path == "/config") return exchange->reply(go_judge_.config());
    if (path == "/metrics") return exchange->reply(metrics());
    if (path == "/healthz") return exchange->reply(text_response(200, "ok\n"));
    if (path == "/readyz") return exchange->reply(readiness());
    if (const auto page = page_of(path)) return exchange->reply(page_response(*page));
    exchange->reply(text_response(404, "there is no " + path + " here\n"));
  }

  void failed(const char* what) override {
    if (config_.log.wants(EventLevel::kError))
      config_.log.tell(
          {EventLevel::kError, "a request ended in an exception: " + std::string(what)});
  }

  bool drain(std::chrono::milliseconds grace) {
    const auto until = std::chrono::steady_clock::now() + grace;
    draining_ = true;
    http_->drain();
    if (monitor_) monitor_->drain();
    // Nothing tells of the last answer that leaves; it takes no longer than this.
    while (under_way_ > 0 || http_->connections() > 0) {
      if (std::chrono::steady_clock::now() >= until) return under_way_ == 0;
      std::unique_lock lock(mutex_);
      stop_.wait_for(lock, kAnswersGone);
    }
    return true;
  }

  std::vector<std::string> addresses() const { return http_->addresses(); }
  std::string host() const { return pool_->host(); }

 private:
  /// Only metrics, for whoever may reach that address.
  class MonitorHandler final : public HttpHandler {
   public:
    explicit MonitorHandler(Impl& server) : server_(server) {}
    Beginning begin(const HttpRequest&) override { return {}; }
    void handle(const std::shared_ptr<Exchange>& exchange) override {
      const bool known = exchange->request().path == "/metrics";
      exchange->reply(known ? server_.metrics() : text_response(404, "only /metrics is here\n"));
    }

    void failed(const char* what) override { server_.failed(what); }

   private:
    Impl& server_;
  };

  /// Null when the request has nobody's token.
  ClientGate* gate_of(const HttpRequest& request) {
    if (gates_.empty()) return &anybody_;
    for (const auto& gate : gates_)
      if (has_token(request, gate->config().token)) return gate.get();
    return nullptr;
  }

  Beginning refused(const HttpRequest& head, HttpResponse response) const {
    log_request(config_.log, head, response.status, 0, "");
    Beginning beginning;
    beginning.refusal = std::move(response);
    return beginning;
  }

  /// A label for metrics: of a bounded number.
  static std::string route_of(const std::string& path) {
    for (const char* known : {"/run", "/file", "/ws", "/stream", "/version", "/config", "/metrics",
                              "/healthz", "/readyz"})
      if (path == known) return known;
    if (path.starts_with("/file/")) return "/file/{id}";
    if (path.starts_with("/v1/")) return NativeApi::route_of(path);
    return page_of(path) ? "page" : "other";
  }

  static std::optional<EmbeddedFile> page_of(const std::string& path) {
    if (path == "/openapi.json") return std::nullopt;
    if (path.size() < 2) return embedded_file("index.html");
    return embedded_file(std::string_view(path).substr(1));
  }

  static HttpResponse page_response(const EmbeddedFile& file) {
    HttpResponse response{.content_type = file.content_type, .body = std::string(file.bytes)};
    // Nothing but what is the server's own, and in nobody's frame.
    response.headers = {{"Content-Security-Policy",
                         "default-src 'self'; img-src 'self' data:; style-src 'self' "
                         "'unsafe-inline'; frame-ancestors 'none'"},
                        {"X-Content-Type-Options", "nosniff"},
                        {"Referrer-Policy", "no-referrer"}};
    return response;
  }

  HttpResponse metrics() {
    HttpResponse response = text_response(200, metrics_.text(*pool_, files_, http_->connections()));
    response.content_type = "text/plain; version=0.0.4; charset=utf-8";
    return response;
  }

  HttpResponse readiness() const {
    if (draining_) return text_response(503, "draining\n");
    const PoolStats stats = pool_->stats();
    if (stats.slots_total == 0) return text_response(503, "no slot\n");
    return text_response(200, "ok\n");
  }

  /// Each second: for the page, and for what is old.
  void keep_house() {
    std::unique_lock lock(mutex_);
    while (!stop_.wait_for(lock, std::chrono::seconds(1), [this] { return stopping_; })) {
      lock.unlock();
      watch_.tick();
      files_.expire();
      native_jobs_.expire();
      lock.lock();
    }
  }

  ServerConfig config_;
  ClientGate anybody_{ClientConfig{}};
  std::vector<std::unique_ptr<ClientGate>> gates_;
  std::unique_ptr<Pool> pool_;
  std::unique_ptr<DescriptorPump> pump_;
  std::unique_ptr<StoredFiles> files_owner_;
  StoredFiles& files_;
  Metrics metrics_;
  PoolWatch watch_{*pool_, metrics_, config_.log};
  go_judge::Api go_judge_;
  NativeJobs native_jobs_;
  NativeApi native_;
  MonitorHandler monitor_handler_{*this};
  std::atomic<std::size_t> under_way_{0};
  std::unique_ptr<HttpServer> http_;
  std::unique_ptr<HttpServer> monitor_;
  std::atomic<bool> draining_{false};
  bool local_ = true;
  std::mutex mutex_;
  std::condition_variable stop_;
  bool stopping_ = false;
  std::thread janitor_;
};

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Server::~Server() = default;

Result<std::unique_ptr<Server>> Server::create(ServerConfig config, PoolConfig pool_config) {
  for (const ClientConfig& client : config.clients) {
    const auto has_name = [&](const Profile& profile) { return profile.name == client.profile; };
    if (!client.profile.empty() &&
        std::none_of(pool_config.profiles.begin(), pool_config.profiles.end(), has_name))
      return Error{.step = Step::kValidateConfig,
                   .object = "client " + client.name + ": profile",
                   .detail = "there is no profile \"" + client.profile + "\"",
                   .remedy = "name one of the [[profile]] tables"};
  }
  Result<std::unique_ptr<DescriptorPump>> pump = DescriptorPump::create();
  if (!pump) return std::move(pump).error();
  Result<std::unique_ptr<Pool>> pool = Pool::create(std::move(pool_config));
  if (!pool) return std::move(pool).error();
  Result<std::unique_ptr<StoredFiles>> files = StoredFiles::create((*pool)->files(), config.files);
  if (!files) return std::move(files).error();
  auto impl = std::make_unique<Impl>(std::move(config), *std::move(pool), *std::move(pump),
                                     *std::move(files));
  HATCHERY_TRY(impl->listen());
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

std::vector<std::string> Server::addresses() const { return impl_->addresses(); }
std::string Server::host() const { return impl_->host(); }
bool Server::drain(std::chrono::milliseconds grace) { return impl_->drain(grace); }

}  // namespace hatchery::server
