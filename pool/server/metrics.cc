#include "pool/server/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <array>
#include <chrono>
#include <map>
#include <mutex>
#include <utility>

namespace hatchery::server {
namespace {

using prometheus::Family;
using prometheus::Gauge;
using prometheus::Histogram;
using Buckets = Histogram::BucketBoundaries;

Buckets powers_of_two(double first, double last) {
  Buckets buckets;
  for (double bound = first; bound <= last; bound *= 2) buckets.push_back(bound);
  return buckets;
}

/// 1 ms to 100 s, as go-judge has them.
const Buckets kRunSeconds = {0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2,
                             0.5,   1,     2,     5,    10,   20,   50,  100};
/// 10 µs to 10 s: what a step or an answer takes.
const Buckets kStepSeconds = {0.00001, 0.00002, 0.00005, 0.0001, 0.0002, 0.0005,
                              0.001,   0.002,   0.005,   0.01,   0.02,   0.05,
                              0.1,     0.2,     0.5,     1,      10};

/// One of StepTimes and its label.
struct StepOf {
  const char* name;
  std::optional<Nanoseconds> StepTimes::*member;
};
constexpr std::array<StepOf, 7> kSteps = {{{"queued", &StepTimes::queued},
                                           {"placed", &StepTimes::placed},
                                           {"handed_over", &StepTimes::handed_over},
                                           {"exec_done", &StepTimes::exec_done},
                                           {"ended", &StepTimes::ended},
                                           {"read", &StepTimes::read},
                                           {"reset", &StepTimes::reset}}};

double seconds_of(Nanoseconds time) { return std::chrono::duration<double>(time).count(); }

}  // namespace

class Metrics::Impl {
 public:
  /// What a key stands for, made when it first comes: a family's own look-up makes a whole new
  /// metric each time, to throw it away if there is one.
  template <typename Key, typename Value>
  class Known {
   public:
    template <typename Make>
    const Value& get(const Key& key, const Make& make) {
      const std::lock_guard lock(mutex_);
      const auto found = values_.find(key);
      return found != values_.end() ? found->second : values_.emplace(key, make()).first->second;
    }

   private:
    std::mutex mutex_;
    std::map<Key, Value> values_;
  };

  prometheus::Registry registry;

  Family<Histogram>& run_seconds =
      histogram("go_judge_exec_time_seconds", "CPU time of commands, by status");
  Family<Histogram>& run_memory =
      histogram("go_judge_exec_memory_bytes", "Memory peak of commands, by status");
  prometheus::Counter& run_errors =
      counter("go_judge_exec_error_count", "Commands that were not run").Add({});
  Gauge& stored_files = gauge("go_judge_file_current_bytes_count", "Files in the store").Add({});
  Gauge& stored_bytes = gauge("go_judge_file_current_bytes_sum", "Bytes in the store").Add({});
  Gauge& environments = gauge("go_judge_environment_current_count", "Slots").Add({});
  Gauge& workers_queued = gauge("go_judge_worker_queue_count", "Jobs that wait").Add({});
  Gauge& workers_running = gauge("go_judge_worker_running_count", "Jobs that run").Add({});

  Family<prometheus::Counter>& jobs = counter("hatchery_jobs_total", "Jobs reported, by outcome");
  Family<Histogram>& step_seconds =
      histogram("hatchery_job_step_seconds", "Latency of each step of a job");
  std::array<Histogram*, kSteps.size()> steps = {};  ///< In the order of kSteps.
  prometheus::Counter& cpu_seconds =
      counter("hatchery_jobs_cpu_seconds_total", "CPU time of all jobs").Add({});
  Family<Gauge>& slots = gauge("hatchery_slots", "Slots by state");
  Gauge& slots_ready = slots.Add({{"state", "ready"}});
  Gauge& slots_busy = slots.Add({{"state", "busy"}});
  Gauge& slots_other = slots.Add({{"state", "starting_or_reset"}});
  Gauge& replaced = gauge("hatchery_slots_replaced", "Slots given up since the start").Add({});
  Gauge& connections = gauge("hatchery_connections", "Open connections").Add({});
  Family<prometheus::Counter>& requests =
      counter("hatchery_http_requests_total", "Requests, by route and status");
  Family<Histogram>& request_seconds =
      histogram("hatchery_http_request_seconds", "From a request's end to its answer");

  struct OfStatus {
    Histogram* seconds;
    Histogram* memory;
  };
  Known<std::string, OfStatus> runs;
  Known<Outcome, prometheus::Counter*> jobs_of;
  Known<std::pair<std::string, int>, prometheus::Counter*> requests_of;
  Known<std::string, Histogram*> request_seconds_of;

  Impl() {
    for (std::size_t i = 0; i < kSteps.size(); ++i)
      steps[i] = &step_seconds.Add({{"step", kSteps[i].name}}, kStepSeconds);
  }

 private:
  Family<Histogram>& histogram(const char* name, const char* help) {
    return prometheus::BuildHistogram().Name(name).Help(help).Register(registry);
  }
  Family<prometheus::Counter>& counter(const char* name, const char* help) {
    return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
  }
  Family<Gauge>& gauge(const char* name, const char* help) {
    return prometheus::BuildGauge().Name(name).Help(help).Register(registry);
  }
};

Metrics::Metrics() : impl_(std::make_unique<Impl>()) {}
Metrics::~Metrics() = default;

void Metrics::count_run(const std::string& status, double seconds, std::uint64_t memory_bytes) {
  static const Buckets kMemory = powers_of_two(4096, 4.0 * (1ULL << 30));
  const Impl::OfStatus& run = impl_->runs.get(status, [&] {
    return Impl::OfStatus{&impl_->run_seconds.Add({{"status", status}}, kRunSeconds),
                          &impl_->run_memory.Add({{"status", status}}, kMemory)};
  });
  run.seconds->Observe(seconds);
  run.memory->Observe(static_cast<double>(memory_bytes));
}

void Metrics::count_report(const Report& report) {
  impl_->jobs_of
      .get(report.outcome,
           [&] {
             return &impl_->jobs.Add({{"outcome", outcome_name(report.outcome)}});
           })
      ->Increment();
  if (report.cpu_time) impl_->cpu_seconds.Increment(seconds_of(*report.cpu_time));
  for (std::size_t i = 0; i < kSteps.size(); ++i)
    if (const auto& time = report.steps.*kSteps[i].member)
      impl_->steps[i]->Observe(seconds_of(*time));
}

void Metrics::count_error() { impl_->run_errors.Increment(); }

void Metrics::count_request(const std::string& route, int status, double seconds) {
  impl_->requests_of
      .get({route, status},
           [&] {
             return &impl_->requests.Add({{"route", route}, {"status", std::to_string(status)}});
           })
      ->Increment();
  impl_->request_seconds_of
      .get(route,
           [&] {
             return &impl_->request_seconds.Add({{"route", route}}, kStepSeconds);
           })
      ->Observe(seconds);
}

std::string Metrics::text(const Pool& pool, const StoredFiles& files, std::size_t connections) {
  const PoolStats stats = pool.stats();
  impl_->stored_files.Set(static_cast<double>(files.count()));
  impl_->stored_bytes.Set(static_cast<double>(files.bytes()));
  impl_->environments.Set(stats.slots_total);
  impl_->workers_queued.Set(stats.queued);
  impl_->workers_running.Set(stats.running);
  impl_->slots_ready.Set(stats.slots_ready);
  impl_->slots_busy.Set(stats.running);
  const std::uint32_t known = stats.slots_ready + stats.running;
  impl_->slots_other.Set(stats.slots_total > known ? stats.slots_total - known : 0);
  impl_->replaced.Set(static_cast<double>(stats.slots_replaced));
  impl_->connections.Set(static_cast<double>(connections));
  return prometheus::TextSerializer().Serialize(impl_->registry.Collect());
}

}  // namespace hatchery::server
