#include "pool/server/runs.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <utility>

namespace hatchery::server::go_judge {
namespace {

struct Pipe {
  UniqueFd read_end;
  UniqueFd write_end;
};

Result<Pipe> make_pipe() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) < 0)
    return errno_error(Step::kCreatePipe, "of a request", errno, "raise RLIMIT_NOFILE of the pool");
  return Pipe{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

struct Terminal {
  UniqueFd master;
  UniqueFd slave;
};

Result<Terminal> make_terminal() {
  Terminal terminal;
  terminal.master = UniqueFd(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!terminal.master.valid() || ::unlockpt(terminal.master.get()) < 0)
    return errno_error(Step::kCreatePipe, "terminal", errno, "mount devpts for the pool");
  // Not by its path, which is another's in another mount namespace: ioctl_tty(2).
  terminal.slave =
      UniqueFd(::ioctl(terminal.master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!terminal.slave.valid()) return errno_error(Step::kCreatePipe, "terminal", errno);
  return terminal;
}

Refusal refusal_of(const Error& error) {
  if (error.step == Step::kQueueJob) return {503, "worker queue is full"};
  if (error.step == Step::kValidateJob) return {400, error.message()};
  return {500, error.message()};
}

}  // namespace

class Runs::Started final : public Run, public std::enable_shared_from_this<Runs::Started> {
 public:
  Started(Runs& owner, PreparedRequest prepared, std::function<void()> ended)
      : owner_(owner),
        prepared_(std::move(prepared)),
        copies_(prepared_.jobs.size()),
        ended_(std::move(ended)) {}

  ~Started() override {
    // Nobody asked for its results: nobody knows of what it left in the store.
    for (const Report& report : reports_) {
      owner_.watch_.saw(report);
      for (const Output& output : report.outputs)
        if (!output.stored.empty()) owner_.pool_.files().remove(output.stored);
    }
  }

  std::optional<Refusal> start(ClientStreams* streams) {
    for (const PreparedJob& job : prepared_.jobs)
      if (!job.can_start()) {
        ended_();
        return std::nullopt;
      }
    runs_ = true;
    Result<void> wired = wire(streams);
    if (!wired) return refusal_of(wired.error());
    return submit();
  }

  std::string results() override {
    std::string text = "[";
    for (std::size_t i = 0; i < prepared_.jobs.size(); ++i) {
      const PreparedJob& job = prepared_.jobs[i];
      ResultText result;
      if (runs_) {
        Report& report = reports_[i];
        const double seconds =
            std::chrono::duration<double>(report.cpu_time.value_or(Nanoseconds(0))).count();
        const std::uint64_t memory = report.memory_peak_bytes.value_or(0);
        owner_.watch_.saw(report);
        result = result_of(job, std::move(report), std::move(copies_[i]), owner_.files_);
        owner_.metrics_.count_run(result.status, seconds, memory);
      } else {
        result = result_of_none(job);
        owner_.metrics_.count_error();
      }
      if (i > 0) text += ',';
      text += result.json;
    }
    reports_.clear();
    text += "]\n";
    return text;
  }

  void cancel() override {
    if (runs_) static_cast<void>(owner_.pool_.cancel(ticket_));
  }

 private:
  void lend(std::size_t index, int fd, UniqueFd lent) {
    prepared_.jobs[index].spec.fds[fd] = CallerFdStream{lent.get()};
    lent_.push_back(std::move(lent));
  }

  Result<void> wire(ClientStreams* streams) {
    for (const PipeMap& proxy : prepared_.proxies) HATCHERY_TRY(add_proxy(proxy));
    for (std::size_t i = 0; i < prepared_.jobs.size(); ++i) {
      if (prepared_.jobs[i].tty)
        HATCHERY_TRY(add_terminal(i, streams));
      else
        for (const Streamed& stream : prepared_.jobs[i].streams)
          HATCHERY_TRY(add_stream(i, stream, streams));
    }
    return {};
  }

  Result<void> add_proxy(const PipeMap& proxy) {
    Result<Pipe> from = make_pipe();
    if (!from) return std::move(from).error();
    Result<Pipe> to = make_pipe();
    if (!to) return std::move(to).error();
    lend(proxy.in.index, static_cast<int>(proxy.in.fd), std::move(from->write_end));
    lend(proxy.out.index, static_cast<int>(proxy.out.fd), std::move(to->read_end));
    auto source = std::make_shared<UniqueFd>(std::move(from->read_end));
    auto target = std::make_shared<UniqueFd>(std::move(to->write_end));
    const std::uint64_t kept = proxy.name.empty() ? 0 : proxy.max;
    begin_.push_back([this, source, target, kept, index = proxy.in.index, name = proxy.name] {
      owner_.pump_.relay(std::move(*source), std::move(*target), kept,
                         [self = shared_from_this(), index, name](std::string bytes) {
                           if (!name.empty()) self->copies_[index][name] = std::move(bytes);
                           self->part_ended();
                         });
    });
    return {};
  }

  Result<void> add_stream(std::size_t index, const Streamed& stream, ClientStreams* streams) {
    Result<Pipe> pipe = make_pipe();
    if (!pipe) return std::move(pipe).error();
    const int fd = stream.fd;
    if (stream.input) {
      lend(index, fd, std::move(pipe->read_end));
      streams->inputs[{index, fd}] = owner_.pump_.sink(std::move(pipe->write_end));
      return {};
    }
    lend(index, fd, std::move(pipe->write_end));
    read_for_client(index, fd, std::move(pipe->read_end), streams);
    return {};
  }

  void read_for_client(std::size_t index, int fd, UniqueFd source, ClientStreams* streams) {
    auto shared = std::make_shared<UniqueFd>(std::move(source));
    begin_.push_back([this, index, fd, shared, on_output = streams->on_output] {
      owner_.pump_.read(
          std::move(*shared),
          [on_output, index, fd](std::string_view bytes) { on_output(index, fd, bytes); },
          [self = shared_from_this()] { self->part_ended(); });
    });
  }

  /// Every descriptor that was given becomes the terminal. What was an input's content is typed
  /// into it; the first collector and the first streamed output get all that it shows.
  Result<void> add_terminal(std::size_t index, ClientStreams* streams) {
    PreparedJob& job = prepared_.jobs[index];
    Result<Terminal> terminal = make_terminal();
    if (!terminal) return std::move(terminal).error();
    const std::shared_ptr<DescriptorPump::Sink> typed =
        owner_.pump_.sink(UniqueFd(::fcntl(terminal->master.get(), F_DUPFD_CLOEXEC, 3)));
    typed_.push_back(typed);
    std::string collector;
    int output_fd = -1;
    std::vector<int> fds;
    for (const auto& [fd, stream] : job.spec.fds) {
      fds.push_back(fd);
      if (const auto* bytes = std::get_if<BytesStream>(&stream))
        typed->write(bytes->bytes);
      else if (const auto* file = std::get_if<FileCollectorStream>(&stream))
        collector = collector.empty() ? file->path : collector;
      else if (const auto* pipe = std::get_if<CollectorStream>(&stream))
        collector = collector.empty() ? pipe->name : collector;
    }
    for (const Streamed& stream : job.streams) {
      fds.push_back(stream.fd);
      if (stream.input)
        streams->inputs[{index, stream.fd}] = typed;
      else if (output_fd < 0)
        output_fd = stream.fd;
    }
    for (const int fd : fds)
      lend(index, fd, UniqueFd(::fcntl(terminal->slave.get(), F_DUPFD_CLOEXEC, 3)));
    job.spec.controlling_terminal = job.spec.fds.contains(0);
    const auto found = job.collectors.find(collector);
    const std::uint64_t kept_max = found == job.collectors.end() ? 0 : found->second + 1;
    auto master = std::make_shared<UniqueFd>(std::move(terminal->master));
    const auto on_output = output_fd < 0 ? nullptr : streams->on_output;
    begin_.push_back([this, index, output_fd, on_output, collector, kept_max, master] {
      owner_.pump_.read(
          std::move(*master),
          [self = shared_from_this(), index, output_fd, on_output, collector,
           kept_max](std::string_view bytes) {
            if (on_output) on_output(index, output_fd, bytes);
            if (kept_max == 0) return;
            std::string& kept = self->copies_[index][collector];
            kept += bytes.substr(0, kept_max - kept.size());
          },
          [self = shared_from_this()] { self->part_ended(); });
    });
    return {};
  }

  std::optional<Refusal> submit() {
    pending_ = 1 + begin_.size();
    std::vector<JobSpec> specs;
    for (PreparedJob& job : prepared_.jobs) specs.push_back(std::move(job.spec));
    const auto ended = [self = shared_from_this()](std::vector<Report> reports) {
      self->reports_ = std::move(reports);
      self->part_ended();
    };
    Result<JobTicket> ticket =
        specs.size() > 1 ? owner_.pool_.submit_group(std::move(specs), ended)
                         : owner_.pool_.submit(std::move(specs.front()), [ended](Report report) {
                             std::vector<Report> reports;
                             reports.push_back(std::move(report));
                             ended(std::move(reports));
                           });
    lent_.clear();  // The pool has its own.
    if (!ticket) return refusal_of(ticket.error());
    ticket_ = *ticket;
    for (const std::function<void()>& begin : begin_) begin();
    begin_.clear();
    return std::nullopt;
  }

  void part_ended() {
    if (pending_.fetch_sub(1) == 1) ended_();
  }

  Runs& owner_;
  PreparedRequest prepared_;
  bool runs_ = false;
  JobTicket ticket_ = 0;
  std::vector<UniqueFd> lent_;
  std::vector<std::shared_ptr<DescriptorPump::Sink>> typed_;
  std::vector<std::function<void()>> begin_;  ///< Of the pump's work, once the job is accepted.
  std::atomic<std::size_t> pending_{0};
  std::vector<Report> reports_;
  std::vector<std::map<std::string, std::string>> copies_;
  std::function<void()> ended_;
};

std::optional<Refusal> Runs::start(PreparedRequest prepared, ClientStreams* streams,
                                   std::function<void()> ended, std::shared_ptr<Run>& run) {
  auto started = std::make_shared<Started>(*this, std::move(prepared), std::move(ended));
  run = started;
  return started->start(streams);
}

}  // namespace hatchery::server::go_judge
