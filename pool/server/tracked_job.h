// TrackedJob: a job of the native interface, with its log if it has one. Only native_jobs.cc
// includes it.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <utility>
#include <vector>

#include "pool/job_json.h"
#include "pool/random_id.h"
#include "pool/server/native_jobs.h"

namespace hatchery::server {

inline constexpr std::uint64_t kLogBytesMax = 64ULL << 20;

class TrackedJob final : public Tracked, public std::enable_shared_from_this<TrackedJob> {
 public:
  TrackedJob(NativeJobs& jobs, std::string client_in)
      : Tracked(random_id().value(), std::move(client_in)), jobs_(jobs) {}

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

  std::string_view kind() const override { return "job"; }
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
    finish();
    if (log_) log_->end(outcome_name(report_.outcome));
  }

  NativeJobs& jobs_;
  JobTicket ticket_ = 0;
  std::atomic<std::size_t> pending_{0};
  std::atomic<bool> overflown_{false};
  std::unique_ptr<JobLog> log_;
  std::uint64_t log_max_ = 0;
  Report report_;
};

}  // namespace hatchery::server
