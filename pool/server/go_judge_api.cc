#include "pool/server/go_judge_api.h"

#include <array>
#include <atomic>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <map>
#include <utility>

#include "pool/server/answers.h"
#include "pool/server/multipart.h"
#include "pool/utf8.h"

#ifndef HATCHERY_VERSION
#error "HATCHERY_VERSION must be defined as the project's version, a string"
#endif

namespace hatchery::server::go_judge {
namespace {

namespace json = boost::json;

/// What clients compare with the version that they need; ours is beside it.
constexpr const char* kGoJudgeVersion = "v1.12.2";
constexpr std::size_t kInFlightMax = 4096;  ///< Of one WebSocket.
constexpr std::size_t kStreamIndexMax = 15;
constexpr const char* kTooMuch = "this client has, or asks for, more at once than it may";

const char* content_type_of(const std::string& name) {
  static constexpr std::array<std::pair<const char*, const char*>, 16> kTypes = {{
      {".txt", "text/plain; charset=utf-8"},
      {".c", "text/x-c; charset=utf-8"},
      {".cc", "text/x-c++src; charset=utf-8"},
      {".cpp", "text/x-c++src; charset=utf-8"},
      {".py", "text/x-python; charset=utf-8"},
      {".java", "text/x-java; charset=utf-8"},
      {".html", "text/html; charset=utf-8"},
      {".json", "application/json"},
      {".xml", "text/xml; charset=utf-8"},
      {".zip", "application/zip"},
      {".gz", "application/gzip"},
      {".pdf", "application/pdf"},
      {".png", "image/png"},
      {".jpg", "image/jpeg"},
      {".gif", "image/gif"},
      {".wasm", "application/wasm"},
  }};
  for (const auto& [ending, type] : kTypes)
    if (name.ends_with(ending)) return type;
  return "";
}

/// For a header: no quotes, no control characters.
std::string header_safe(const std::string& name) {
  std::string safe;
  for (const char character : utf8_or_replaced(name))
    safe += static_cast<unsigned char>(character) < 0x20 || character == '"' || character == '\\' ||
                    character == 0x7f
                ? '_'
                : character;
  return safe;
}

json::object features() {
  return {{"copyOutOptional", true}, {"pipeProxy", true},
          {"symlink", true},         {"addressSpaceLimit", true},
          {"stream", true},          {"procPeak", true},
          {"copyOutTruncate", true}, {"pipeProxyZeroCopy", true},
          {"fixSymlinkEscape", true}};
}

/// A part called "file" of a form into a memfd.
class UploadSink final : public BodySink {
 public:
  UploadSink(const std::string& boundary, const StoredFiles& files)
      : files_(files),
        reader_(
            boundary, [this](const PartHeaders& headers) { return begin(headers); },
            [this](std::string_view bytes) { return append(bytes); }) {}

  Result<void> write(std::string_view part) override { return reader_.write(part); }
  bool complete() const { return reader_.complete() && file_.valid(); }
  UniqueFd take_file() { return std::move(file_); }
  const std::string& name() const { return name_; }

 private:
  Result<void> begin(const PartHeaders& headers) {
    taking_ = headers.name == "file" && !file_.valid();
    if (!taking_) return {};
    name_ = headers.file_name;
    Result<UniqueFd> file = files_.create_file();
    if (!file) return std::move(file).error();
    file_ = *std::move(file);
    return {};
  }
  Result<void> append(std::string_view bytes) {
    if (!taking_) return {};
    return files_.append(file_.get(), size_, bytes, name_);
  }

  const StoredFiles& files_;
  MultipartReader reader_;
  UniqueFd file_;
  std::string name_;
  std::uint64_t size_ = 0;
  bool taking_ = false;
};

}  // namespace

std::optional<Refusal> Api::prepare_for(Request request, const ClientGate& gate,
                                        const std::string& peer, PreparedRequest& prepared) {
  auto refusal = prepare(std::move(request), settings_, files_, prepared);
  for (PreparedJob& job : prepared.jobs) gate.own(job.spec, peer);
  return refusal;
}

void Api::run(const std::shared_ptr<Exchange>& exchange, ClientGate& gate) {
  Result<Request> request = request_from_json(exchange->request().body, false);
  if (!request) return exchange->reply(sentence(400, request.error().message()));
  PreparedRequest prepared;
  if (const auto refusal =
          prepare_for(*std::move(request), gate, exchange->request().peer, prepared))
    return exchange->reply(sentence(refusal->status, refusal->sentence));
  const auto lease = std::make_shared<ClientGate::Lease>(gate.enter());
  if (!*lease) return exchange->reply(sentence(429, kTooMuch));
  // The run is kept by what it calls at its end, which lets go of it.
  const auto run = std::make_shared<std::shared_ptr<Run>>();
  const auto gone = std::make_shared<std::atomic<bool>>(false);
  const auto ended = [exchange, run, gone, lease] {
    lease->reset();  // Before the client hears of it, which may ask for the next run at once.
    exchange->post([exchange, run, gone] {
      const std::shared_ptr<Run> over = std::exchange(*run, nullptr);
      exchange->reply({.body = *gone ? std::string() : over->results()});
    });
  };
  const auto refusal = runs_.start(std::move(prepared), nullptr, ended, *run);
  if (refusal) {
    run->reset();
    lease->reset();
    return exchange->reply(sentence(refusal->status, refusal->sentence));
  }
  exchange->on_disconnect([weak = std::weak_ptr<Run>(*run), gone] {
    *gone = true;
    if (const std::shared_ptr<Run> running = weak.lock()) running->cancel();
  });
}

std::unique_ptr<BodySink> Api::upload_sink(const HttpRequest& head) {
  const std::string* type = head.header("Content-Type");
  const std::optional<std::string> boundary = type == nullptr ? std::nullopt : boundary_of(*type);
  if (!boundary) return nullptr;
  return std::make_unique<UploadSink>(*boundary, files_);
}

void Api::upload(const std::shared_ptr<Exchange>& exchange) {
  auto* const sink = dynamic_cast<UploadSink*>(exchange->sink());
  if (sink == nullptr || !sink->complete())
    return exchange->reply(
        sentence(400, "no file: send multipart/form-data with one field called \"file\""));
  Result<std::string> id = files_.add(sink->take_file(), sink->name());
  if (!id)
    return exchange->reply(sentence(id.error().errnum == ENOSPC ? 507 : 500, id.error().message()));
  exchange->reply({.body = json_text(*id) + "\n"});
}

HttpResponse Api::list_files() const {
  json::object list;
  for (const StoredFiles::Listed& file : files_.list()) list[file.id] = utf8_or_replaced(file.name);
  return {.body = json::serialize(list) + "\n"};
}

HttpResponse Api::download(const std::string& id) {
  Result<UniqueFd> file = files_.open(id);
  if (!file) return {.status = 404, .content_type = ""};
  std::string name = files_.name(id);
  if (name.empty()) name = id;
  HttpResponse response{.content_type = content_type_of(name)};
  response.headers.push_back(
      {"Content-Disposition", "attachment; filename=\"" + header_safe(name) + "\""});
  // What a job made must not be run by a browser on this origin.
  response.headers.push_back({"X-Content-Type-Options", "nosniff"});
  response.file = *std::move(file);
  return response;
}

HttpResponse Api::remove(const std::string& id) {
  return {.status = files_.remove(id) ? 200 : 404, .content_type = ""};
}

HttpResponse Api::version() const {
  json::object object{{"buildVersion", kGoJudgeVersion},
                      {"goVersion", ""},
                      {"platform", sizeof(void*) == 8 ? "amd64" : "386"},
                      {"os", "linux"},
                      {"hatcheryVersion", HATCHERY_VERSION}};
#ifdef __aarch64__
  object["platform"] = "arm64";
#endif
  for (const json::key_value_pair& feature : features()) object.insert(feature);
  return {.body = json::serialize(object) + "\n"};
}

HttpResponse Api::config() const {
  const Profile& profile = pool_.config().profiles.front();
  json::array mounts;
  for (const BindMount& bind : profile.binds)
    mounts.push_back(json::object{{"Source", bind.source},
                                  {"Target", bind.target},
                                  {"FsType", ""},
                                  {"Data", ""},
                                  {"Flags", bind.writable ? 0x5000 : 0x5001}});
  json::array masked;
  for (const std::string& path : profile.masked_paths) masked.push_back(json::string(path));
  json::array controllers;
  for (const std::string& name : pool_.controllers()) controllers.push_back(json::string(name));
  const std::string host = pool_.host();
  const bool none = pool_.config().cgroup == CgroupUse::kNone;
  json::object runner{{"cgroupType", none                                   ? 0
                                     : host.find("v1") != std::string::npos ? 1
                                                                            : 2},
                      {"cgroupControllers", std::move(controllers)},
                      {"mount", std::move(mounts)},
                      {"symbolicLink", json::array{}},
                      {"maskedPaths", std::move(masked)},
                      {"hostName", profile.hostname},
                      {"domainName", ""},
                      {"workDir", "/w"},
                      {"uid", 1000},
                      {"gid", 1000},
                      {"clone3", true}};
  json::object object = features();
  object["fileStorePath"] = files_.directory();
  object["runnerConfig"] = std::move(runner);
  object["hatcheryHost"] = host;
  return {.body = json::serialize(object) + "\n"};
}

// ---- /ws ----------------------------------------------------------------------------------------

class Api::Multiplexed final : public WebSocketPeer,
                               public std::enable_shared_from_this<Api::Multiplexed> {
 public:
  Multiplexed(Api& api, ClientGate& gate, std::string peer)
      : api_(api), gate_(gate), peer_(std::move(peer)) {}

  void opened(std::shared_ptr<WebSocket> socket) override { socket_ = std::move(socket); }

  void message(std::string_view message, bool) override {
    if (!socket_) return;
    Result<Request> request = request_from_json(message, false);
    if (!request) return socket_->close();
    if (!request->cancel_request_id.empty()) return cancel(request->cancel_request_id);
    const std::string id = request->request_id;
    if (id.empty()) return answer(id, "null", "empty request id");
    if (runs_.contains(id)) return answer(id, "null", "duplicated request id: \"" + id + "\"");
    if (runs_.size() >= kInFlightMax) return answer(id, "null", "worker queue is full");
    PreparedRequest prepared;
    if (const auto refusal = api_.prepare_for(*std::move(request), gate_, peer_, prepared)) {
      answer(id, "null", refusal->sentence);
      return socket_->close();
    }
    start(id, std::move(prepared));
  }

  void closed() override {
    socket_.reset();
    for (const auto& [id, held] : std::exchange(runs_, {}))
      if (held.run) held.run->cancel();
  }

 private:
  void start(const std::string& id, PreparedRequest prepared) {
    ClientGate::Lease lease = gate_.enter();
    if (!lease) return answer(id, "null", kTooMuch);
    runs_[id] = {nullptr, std::move(lease)};
    // The socket is asked for its thread when the run ends; it may be gone by then.
    const auto ended = [weak = weak_from_this(), socket = std::weak_ptr<WebSocket>(socket_), id] {
      if (const std::shared_ptr<WebSocket> open = socket.lock())
        open->post([weak, id] {
          if (const auto self = weak.lock()) self->finish(id);
        });
    };
    std::shared_ptr<Run> run;
    const auto refusal = api_.runs_.start(std::move(prepared), nullptr, ended, run);
    if (refusal) {
      runs_.erase(id);
      return answer(id, "null", refusal->sentence);
    }
    runs_[id].run = std::move(run);
  }

  void cancel(const std::string& id) {
    const auto found = runs_.find(id);
    if (found != runs_.end() && found->second.run) found->second.run->cancel();
  }

  void finish(const std::string& id) {
    const auto found = runs_.find(id);
    if (found == runs_.end()) return;
    const std::shared_ptr<Run> run = std::move(found->second.run);
    runs_.erase(found);
    answer(id, run->results(), "");
  }

  void answer(const std::string& id, std::string results, const std::string& error) {
    if (!socket_) return;
    while (results.ends_with('\n')) results.pop_back();
    std::string text = "{\"requestId\":" + json_text(id) + ",\"results\":" + results;
    if (!error.empty()) text += ",\"error\":" + json_text(error);
    socket_->send(text + "}", false);
  }

  Api& api_;
  std::shared_ptr<WebSocket> socket_;
  struct Held {
    std::shared_ptr<Run> run;
    ClientGate::Lease lease;
  };
  ClientGate& gate_;
  const std::string peer_;
  std::map<std::string, Held> runs_;
};

std::shared_ptr<WebSocketPeer> Api::web_socket(ClientGate& gate, const std::string& peer) {
  return std::make_shared<Multiplexed>(*this, gate, peer);
}

// ---- /stream ------------------------------------------------------------------------------------

class Api::Interactive final : public WebSocketPeer,
                               public std::enable_shared_from_this<Api::Interactive> {
 public:
  Interactive(Api& api, ClientGate& gate, std::string peer)
      : api_(api), gate_(gate), peer_(std::move(peer)) {}

  void opened(std::shared_ptr<WebSocket> socket) override { socket_ = std::move(socket); }

  void message(std::string_view message, bool) override {
    if (!socket_ || over_) return;
    if (message.empty()) return give_up();
    const char type = message[0];
    message.remove_prefix(1);
    if (!run_) return type == 1 ? start(message) : give_up();
    switch (type) {
      case 2: return resize(message);
      case 3: return input(message);
      case 4: return run_->cancel();
      case 5: return end_input(message);
      default: return give_up();
    }
  }

  void closed() override {
    socket_.reset();
    over_ = true;
    streams_.inputs.clear();
    if (run_) run_->cancel();
    run_.reset();
  }

 private:
  /// As when the client had gone.
  void give_up() {
    over_ = true;
    if (run_) run_->cancel();
    socket_->close();
  }

  void start(std::string_view text) {
    Result<Request> request = request_from_json(text, true);
    PreparedRequest prepared;
    if (!request) return fail(request.error().message());
    for (std::size_t i = 0; i < request->cmds.size(); ++i)
      for (std::size_t fd = 0; fd < request->cmds[i].files.size(); ++fd) {
        const File& file = request->cmds[i].files[fd];
        const bool streamed =
            std::holds_alternative<StreamIn>(file) || std::holds_alternative<StreamOut>(file);
        if (streamed && (i > kStreamIndexMax || fd > kStreamIndexMax))
          return fail("only index and fd up to 15 can be streamed");
      }
    if (const auto refusal = api_.prepare_for(*std::move(request), gate_, peer_, prepared))
      return fail(refusal->sentence);
    lease_ = gate_.enter();
    if (!lease_) return fail(kTooMuch);
    const std::weak_ptr<WebSocket> socket = socket_;
    streams_.on_output = [socket](std::size_t index, int fd, std::string_view bytes) {
      const std::shared_ptr<WebSocket> open = socket.lock();
      if (!open) return;
      std::string frame = "\x02";
      frame += static_cast<char>(index << 4U | static_cast<unsigned>(fd));
      open->send(frame.append(bytes), true);
    };
    const auto ended = [weak = weak_from_this(), socket] {
      if (const std::shared_ptr<WebSocket> open = socket.lock())
        open->post([weak] {
          if (const auto self = weak.lock()) self->finish();
        });
    };
    std::shared_ptr<Run> run;
    const auto refusal = api_.runs_.start(std::move(prepared), &streams_, ended, run);
    if (refusal) {
      lease_.reset();
      return fail(refusal->sentence);
    }
    run_ = std::move(run);
  }

  void fail(const std::string& why) {
    over_ = true;
    socket_->send("\x01{\"requestId\":\"\",\"results\":null,\"error\":" + json_text(why) + "}",
                  true);
    socket_->close();
  }

  void finish() {
    if (!run_ || !socket_) return;
    over_ = true;
    lease_.reset();
    std::string results = run_->results();
    while (results.ends_with('\n')) results.pop_back();
    run_.reset();
    socket_->send("\x01{\"requestId\":\"\",\"results\":" + results + "}", true);
    socket_->close();
  }

  DescriptorPump::Sink* sink_of(std::size_t index, int fd) {
    const auto found = streams_.inputs.find({index, fd});
    return found == streams_.inputs.end() ? nullptr : found->second.get();
  }
  DescriptorPump::Sink* sink_of(std::string_view frame) {
    if (frame.empty()) return nullptr;
    const auto byte = static_cast<unsigned char>(frame[0]);
    return sink_of(byte >> 4U, byte & 15);
  }

  void input(std::string_view frame) {
    DescriptorPump::Sink* const sink = sink_of(frame);
    if (sink == nullptr || !sink->write(frame.substr(1))) give_up();
  }

  /// Not one of go-judge's: the end of an input.
  void end_input(std::string_view frame) {
    DescriptorPump::Sink* const sink = sink_of(frame);
    if (sink == nullptr) return give_up();
    sink->close();
  }

  void resize(std::string_view text) {
    const Result<Resize> size = resize_from_json(text);
    if (!size) return give_up();
    DescriptorPump::Sink* const sink = sink_of(size->index, static_cast<int>(size->fd));
    if (sink == nullptr || !sink->resize(size->rows, size->cols, size->x, size->y)) give_up();
  }

  Api& api_;
  std::shared_ptr<WebSocket> socket_;
  std::shared_ptr<Run> run_;
  ClientGate& gate_;
  const std::string peer_;
  ClientGate::Lease lease_;
  ClientStreams streams_;
  bool over_ = false;
};

std::shared_ptr<WebSocketPeer> Api::stream_socket(ClientGate& gate, const std::string& peer) {
  return std::make_shared<Interactive>(*this, gate, peer);
}

}  // namespace hatchery::server::go_judge
