#include "pool/server/native_jobs.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <cerrno>
#include <chrono>
#include <sstream>
#include <utility>

#include "core/check.h"
#include "pool/job_json.h"
#include "pool/json_text.h"
#include "pool/server/answers.h"
#include "pool/utf8.h"
#include "pool/validator.h"

namespace hatchery::server {
namespace {

namespace json = boost::json;

constexpr std::size_t kTestsMax = 10'000;
constexpr std::uint64_t kLogBytesMax = 64ULL << 20;

std::string new_job_id() {
  std::array<unsigned char, 16> random{};
  HATCHERY_CHECK(::getrandom(random.data(), random.size(), 0) ==
                 static_cast<ssize_t>(random.size()));
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string id;
  for (const unsigned char byte : random) {
    id += kDigits[byte >> 4U];
    id += kDigits[byte & 15U];
  }
  return id;
}

NativeRefusal bad_request(std::string object, std::string detail, std::string remedy) {
  return {400, Error{.step = Step::kParseRequest,
                     .object = std::move(object),
                     .detail = std::move(detail),
                     .remedy = std::move(remedy)}};
}

NativeRefusal refusal_of(Error error) {
  int status = 500;
  if (error.step == Step::kQueueJob) status = 503;
  if (error.step == Step::kValidateJob || error.step == Step::kParseRequest ||
      error.step == Step::kOpenInput)
    status = 400;
  return {status, std::move(error)};
}

std::uint64_t size_of(const Report& report) {
  std::uint64_t size = 1024;
  for (const Output& output : report.outputs) size += output.bytes.size();
  return size;
}

std::string real_path(const std::string& path) {
  const std::unique_ptr<char, decltype(&::free)> real(::realpath(path.c_str(), nullptr), &::free);
  return real == nullptr ? std::string() : std::string(real.get());
}

}  // namespace

// ---- log ----------------------------------------------------------------------------------------

bool JobLog::append(bool is_stderr, std::string_view bytes, std::uint64_t bytes_max) {
  const std::lock_guard lock(mutex_);
  const std::uint64_t room = bytes_max - std::min(size_, bytes_max);
  const std::string_view kept = bytes.substr(0, std::min<std::uint64_t>(room, bytes.size()));
  if (!kept.empty()) {
    parts_.push_back({size_, is_stderr, std::string(kept)});
    size_ += kept.size();
    const std::string event = event_of(parts_.back(), parts_.back().offset);
    std::erase_if(listeners_, [&](const auto& listener) { return !listener->send(event); });
  }
  return kept.size() == bytes.size();
}

void JobLog::end(const std::string& outcome) {
  const std::lock_guard lock(mutex_);
  outcome_ = outcome;
  for (const auto& listener : listeners_) {
    listener->send("event: end\ndata: {\"outcome\":" + json_text(outcome) + "}\n\n");
    listener->finish();
  }
  listeners_.clear();
}

void JobLog::follow(std::shared_ptr<EventStream> listener, std::uint64_t offset) {
  const std::lock_guard lock(mutex_);
  for (const Part& part : parts_) {
    if (part.offset + part.bytes.size() <= offset) continue;
    if (!listener->send(event_of(part, std::max(offset, part.offset)))) return;
  }
  if (!outcome_) {
    listeners_.push_back(std::move(listener));
    return;
  }
  listener->send("event: end\ndata: {\"outcome\":" + json_text(*outcome_) + "}\n\n");
  listener->finish();
}

std::uint64_t JobLog::size() const {
  const std::lock_guard lock(mutex_);
  return size_;
}

std::string JobLog::event_of(const Part& part, std::uint64_t from) {
  const std::string_view bytes = std::string_view(part.bytes).substr(from - part.offset);
  // The id is where to go on: a browser sends it back as Last-Event-ID.
  std::string event = "id: " + std::to_string(part.offset + part.bytes.size()) +
                      "\nevent: " + (part.is_stderr ? "stderr" : "stdout") +
                      "\ndata: {\"offset\":" + std::to_string(from);
  if (is_utf8(bytes))
    event += ",\"text\":" + json::serialize(json::string_view(bytes.data(), bytes.size()));
  else
    event += ",\"base64\":\"" + base64_encode(bytes) + "\"";
  return event + "}\n\n";
}

// ---- what is tracked ----------------------------------------------------------------------------

std::int64_t Tracked::unix_ms() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

bool Tracked::is_done() const {
  const std::lock_guard lock(mutex_);
  return done_;
}

void Tracked::when_done(std::function<void()> call) {
  {
    const std::lock_guard lock(mutex_);
    if (!done_) {
      waiting_.push_back(std::move(call));
      return;
    }
  }
  call();
}

void Tracked::finish() {
  std::vector<std::function<void()>> waiting;
  {
    const std::lock_guard lock(mutex_);
    HATCHERY_CHECK(!done_);
    ended_ms = unix_ms();
    done_ = true;
    waiting.swap(waiting_);
  }
  for (const auto& call : waiting) call();
}

class TrackedJob final : public Tracked, public std::enable_shared_from_this<TrackedJob> {
 public:
  TrackedJob(NativeJobs& jobs, std::string client_in)
      : Tracked(new_job_id(), std::move(client_in)), jobs_(jobs) {}

  Result<void> submit(JobSpec spec, bool log) {
    std::vector<UniqueFd> lent;
    std::vector<std::pair<bool, UniqueFd>> read;
    if (log) HATCHERY_TRY(divert(spec, lent, read));
    pending_ = 1 + read.size();
    Result<JobTicket> ticket =
        jobs_.pool_.submit(std::move(spec), [self = shared_from_this()](Report report) {
          self->report_ = std::move(report);
          self->part_ended();
        });
    if (!ticket) return std::move(ticket).error();
    ticket_ = *ticket;
    for (auto& [is_stderr, source] : read)
      jobs_.pump_.read(
          std::move(source),
          [self = shared_from_this(), is_stderr = is_stderr](std::string_view bytes) {
            if (!self->log_->append(is_stderr, bytes, self->log_max_)) self->overflow();
          },
          [self = shared_from_this()] { self->part_ended(); });
    return {};
  }

  std::string json() override {
    std::string text =
        "{\"id\":\"" + id + "\",\"kind\":\"job\",\"submitted_ms\":" + std::to_string(submitted_ms);
    if (log_) text += ",\"log_bytes\":" + std::to_string(log_->size());
    if (!is_done()) return text + ",\"state\":\"active\",\"report\":null}\n";
    return text + ",\"state\":\"done\",\"report\":" + report_to_json(report_) + "}\n";
  }
  void cancel() override { static_cast<void>(jobs_.pool_.cancel(ticket_)); }
  std::uint64_t size() override { return size_of(report_) + (log_ ? log_->size() : 0); }

  JobLog* log() { return log_.get(); }
  /// Once it is done.
  const Report& report() const { return report_; }

 private:
  /// stdout and stderr, where they would be collected, into the log.
  Result<void> divert(JobSpec& spec, std::vector<UniqueFd>& lent,
                      std::vector<std::pair<bool, UniqueFd>>& read) {
    log_ = std::make_unique<JobLog>();
    log_max_ = kLogBytesMax;
    if (spec.limits.output_bytes) log_max_ = *spec.limits.output_bytes;
    for (const int fd : {1, 2}) {
      const auto stream = spec.fds.find(fd);
      if (stream == spec.fds.end() || !std::holds_alternative<CollectorStream>(stream->second))
        continue;
      int fds[2];
      if (::pipe2(fds, O_CLOEXEC) < 0)
        return errno_error(Step::kCreatePipe, "log", errno, "raise RLIMIT_NOFILE of the pool");
      read.emplace_back(fd == 2, UniqueFd(fds[0]));
      lent.emplace_back(fds[1]);
      stream->second = CallerFdStream{fds[1]};
    }
    return {};
  }

  void overflow() {
    if (overflown_.exchange(true)) return;
    // Not on the pump's thread, which others wait for.
    jobs_.post_([self = shared_from_this()] { self->cancel(); });
  }

  void part_ended() {
    if (pending_.fetch_sub(1) > 1) return;
    jobs_.post_([self = shared_from_this()] { self->complete(); });
  }

  void complete() {
    if (overflown_) report_.outcome = Outcome::kOutputLimit;
    jobs_.settle(report_);
    if (log_) log_->end(outcome_name(report_.outcome));
    finish();
  }

  NativeJobs& jobs_;
  JobTicket ticket_ = 0;
  std::atomic<std::size_t> pending_{0};
  std::atomic<bool> overflown_{false};
  std::unique_ptr<JobLog> log_;
  std::uint64_t log_max_ = 0;
  Report report_;
};

// ---- batch --------------------------------------------------------------------------------------

/// One test of a batch.
struct BatchTest {
  std::string id;
  JobSpec spec;
  std::optional<std::string> expected;
  std::string input;  ///< For the checker.
  std::string verdict = "not run";
  std::string message;
  std::optional<Report> report;
  JobTicket ticket = 0;
};

class TrackedBatch final : public Tracked, public std::enable_shared_from_this<TrackedBatch> {
 public:
  TrackedBatch(NativeJobs& jobs, std::string client_in)
      : Tracked(new_job_id(), std::move(client_in)), jobs_(jobs) {}

  std::vector<BatchTest> tests;
  std::optional<JobSpec> checker;
  judge::ValidatorOptions validator;
  bool stop_at_first = true;
  bool keep_outputs = false;

  /// As many at once as there are slots, so that an early verdict spares most of the rest.
  std::optional<NativeRefusal> start() {
    const std::lock_guard lock(mutex_);
    in_flight_max_ = jobs_.pool_.config().profiles.front().slots_max;
    std::optional<NativeRefusal> refusal;
    while (!refusal && next_ < tests.size() && in_flight_ < in_flight_max_) refusal = submit_next();
    // What already runs goes on: the batch is accepted if its first test is.
    if (refusal && in_flight_ > 0) refusal.reset();
    return refusal;
  }

  std::string json() override {
    const std::lock_guard lock(mutex_);
    std::string text = "{\"id\":\"" + id +
                       "\",\"kind\":\"batch\",\"submitted_ms\":" + std::to_string(submitted_ms) +
                       ",\"state\":\"" + (done_ ? "done" : "active") +
                       "\",\"verdict\":" + (done_ ? json_text(verdict_) : "null") +
                       ",\"results\":[";
    for (const BatchTest& test : tests) {
      if (&test != &tests.front()) text += ',';
      text += "{\"id\":" + json_text(test.id) + ",\"verdict\":" + json_text(test.verdict);
      if (!test.message.empty()) text += ",\"message\":" + json_text(test.message);
      text += ",\"report\":" + (test.report ? report_to_json(*test.report) : "null") + "}";
    }
    return text + "]}\n";
  }

  void cancel() override {
    std::vector<JobTicket> tickets;
    {
      const std::lock_guard lock(mutex_);
      if (done_) return;
      if (!decided_) verdict_ = "cancelled";
      tickets = stop();
    }
    for (const JobTicket ticket : tickets) static_cast<void>(jobs_.pool_.cancel(ticket));
  }

  std::uint64_t size() override {
    const std::lock_guard lock(mutex_);
    std::uint64_t size = 1024;
    for (const BatchTest& test : tests) size += test.report ? size_of(*test.report) : 256;
    return size;
  }

 private:
  // All with the mutex held.

  std::optional<NativeRefusal> submit_next() {
    BatchTest& test = tests[next_];
    JobSpec spec = test.spec;
    Result<JobTicket> ticket = jobs_.pool_.submit(
        std::move(spec), [self = shared_from_this(), index = next_](Report report) {
          auto shared = std::make_shared<Report>(std::move(report));
          self->jobs_.post_([self, index, shared] { self->ran(index, std::move(*shared)); });
        });
    if (!ticket) return refusal_of(std::move(ticket).error());
    test.ticket = *ticket;
    test.verdict = "running";
    ++next_;
    ++in_flight_;
    return std::nullopt;
  }

  /// No further tests. Returns what still runs.
  std::vector<JobTicket> stop() {
    decided_ = true;
    next_ = tests.size();
    std::vector<JobTicket> running;
    for (const BatchTest& test : tests)
      if (test.verdict == "running") running.push_back(test.ticket);
    return running;
  }

  void settle(BatchTest& test, std::string verdict, std::string message) {
    test.verdict = std::move(verdict);
    test.message = std::move(message);
    if (!keep_outputs)
      for (Output& output : test.report->outputs) output.bytes.clear();
    test.spec = {};
    --in_flight_;
  }

 public:
  /// A test's program ended. On the server's threads.
  void ran(std::size_t index, Report report) {
    BatchTest& test = tests[index];
    jobs_.settle(report);
    const Outcome outcome = report.outcome;
    const std::string output =
        report.output("stdout") == nullptr ? std::string() : report.output("stdout")->bytes;
    bool stopped = false;
    {
      const std::lock_guard lock(mutex_);
      test.report = std::move(report);
      stopped = outcome == Outcome::kCancelled && decided_;
      if (stopped) settle(test, "not run", "");
    }
    if (stopped) return go_on({});
    if (outcome != Outcome::kAccepted) return decide(index, outcome_name(outcome), "");
    if (checker) return check(index, output);
    if (!test.expected) return decide(index, "accepted", "");
    const judge::Comparison comparison = judge::compare_outputs(*test.expected, output, validator);
    decide(index, comparison.equal ? "accepted" : "wrong answer", comparison.message);
  }

 private:
  /// /w/input, /w/expected and /w/output; its exit status is the verdict.
  void check(std::size_t index, const std::string& output) {
    BatchTest& test = tests[index];
    JobSpec spec = *checker;
    for (const auto& [name, bytes] : {std::pair<const char*, std::string>{"input", test.input},
                                      {"expected", test.expected.value_or("")},
                                      {"output", output}})
      spec.files_in.push_back({.path = name, .source = FileIn::Bytes{bytes}});
    Result<JobTicket> ticket =
        jobs_.pool_.submit(std::move(spec), [self = shared_from_this(), index](Report report) {
          auto shared = std::make_shared<Report>(std::move(report));
          self->jobs_.post_([self, index, shared] { self->checked(index, *shared); });
        });
    if (!ticket) decide(index, "judge error", ticket.error().message());
  }

  void checked(std::size_t index, Report& report) {
    jobs_.settle(report);
    const Output* said = report.output("stdout");
    const std::string message = said == nullptr ? "" : said->bytes.substr(0, 4096);
    if (report.exit_code == 0) return decide(index, "accepted", message);
    if (report.exit_code == 1) return decide(index, "wrong answer", message);
    decide(index, "judge error",
           std::string("the checker's outcome: ") + outcome_name(report.outcome));
  }

  void decide(std::size_t index, const std::string& verdict, const std::string& message) {
    std::vector<JobTicket> stopped;
    {
      const std::lock_guard lock(mutex_);
      settle(tests[index], verdict, message);
      if (verdict != "accepted" && !decided_) {
        if (verdict_ == "accepted") verdict_ = verdict;
        if (stop_at_first) stopped = stop();
      }
    }
    go_on(stopped);
  }

  void go_on(const std::vector<JobTicket>& stopped) {
    for (const JobTicket ticket : stopped) static_cast<void>(jobs_.pool_.cancel(ticket));
    bool over = false;
    {
      const std::lock_guard lock(mutex_);
      while (next_ < tests.size() && in_flight_ < in_flight_max_) {
        const std::optional<NativeRefusal> refusal = submit_next();
        if (!refusal) continue;
        if (refusal->status == 503 && in_flight_ > 0) break;  // Again when the next one ends.
        tests[next_].verdict = "judge error";
        tests[next_].message = refusal->error.message();
        verdict_ = "judge error";
        ++next_;
      }
      over = in_flight_ == 0 && next_ == tests.size() && !done_;
      if (over) done_ = true;
    }
    if (over) finish();
  }

  NativeJobs& jobs_;
  std::mutex mutex_;
  std::size_t next_ = 0;
  std::size_t in_flight_ = 0;
  std::size_t in_flight_max_ = 1;
  std::string verdict_ = "accepted";
  bool decided_ = false;  ///< Nothing further is started.
  bool done_ = false;
};

// ---- the register -------------------------------------------------------------------------------

NativeJobs::NativeJobs(Pool& pool, StoredFiles& files, DescriptorPump& pump, Metrics& metrics,
                       PoolWatch& watch, Post post, NativeJobsConfig config)
    : pool_(pool),
      files_(files),
      pump_(pump),
      metrics_(metrics),
      watch_(watch),
      post_(std::move(post)),
      config_(std::move(config)) {}

bool NativeJobs::is_allowed(const std::string& path) const {
  const std::string real = real_path(path);
  return std::any_of(config_.src_prefixes.begin(), config_.src_prefixes.end(),
                     [&](const std::string& prefix) {
                       return real == prefix || prefix == "/" || real.starts_with(prefix + "/");
                     });
}

std::optional<NativeRefusal> NativeJobs::admit(JobSpec& spec) {
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
    if (const auto* host = std::get_if<HostFileStream>(&stream)) {
      if (host->write || !is_allowed(host->path)) return no_path(field, host->path);
      stream = HostFileStream{real_path(host->path)};
    } else if (const auto* stored = std::get_if<StoredFileStream>(&stream)) {
      if (!files_.use(stored->id)) return not_stored(field, stored->id);
      stream = files_.stream(stored->id);
    }
  }
  for (FileIn& file : spec.files_in) {
    if (auto* host = std::get_if<FileIn::HostFile>(&file.source)) {
      if (!is_allowed(host->path)) return no_path("files_in: " + file.path, host->path);
      host->path = real_path(host->path);
    } else if (auto* tree = std::get_if<FileIn::HostDirectory>(&file.source)) {
      if (!is_allowed(tree->path)) return no_path("files_in: " + file.path, tree->path);
      tree->path = real_path(tree->path);
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
  metrics_.count_report(report);
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
                                                         const std::string& client) {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<Tracked>> result;
  for (auto id = order_.rbegin(); id != order_.rend() && result.size() < count; ++id)
    if (const auto& tracked = tracked_.at(*id); tracked->client == client)
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
