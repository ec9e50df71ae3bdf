// Bytes through a job, from 1 KiB to 100 MiB: `cat` with input and output of the pool, as streams
// and as files, beside the same `cat` with a file and a pipe of our own.
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/pool_runner.h"
#include "bench/process_runner.h"
#include "bench/turns.h"
#include "core/fd.h"

namespace hatchery::bench {
namespace {

constexpr std::size_t kSizes[] = {1 << 10, 1 << 20, 100 << 20};
constexpr const char* kCat = "/bin/cat";

std::string bytes_of(std::size_t size) {
  std::string bytes(size, '\0');
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>('a' + i % 23);
  return bytes;
}

/// posix_spawn of cat with its input in a memfd and its output in a pipe that is read to the end.
class BareCat : public Runner {
 public:
  explicit BareCat(std::size_t size) : size_(size) {}

  Result<void> run(unsigned count, std::vector<double>& latency_us) override {
    const std::string bytes = bytes_of(size_);
    for (unsigned i = 0; i < count; ++i) {
      const Clock::time_point start = Clock::now();
      HATCHERY_TRY(run_one(bytes));
      latency_us.push_back(micros(Clock::now() - start));
    }
    return {};
  }

 private:
  Result<void> run_one(const std::string& bytes) const {
    const UniqueFd input(::memfd_create("input", MFD_CLOEXEC));
    for (std::size_t at = 0; at < bytes.size();) {
      const ssize_t size =
          ::pwrite(input.get(), bytes.data() + at, bytes.size() - at, static_cast<off_t>(at));
      if (size <= 0) return failure("memfd", errno_name(errno));
      at += static_cast<std::size_t>(size);
    }
    const Result<Piped> started = spawn_piped(cat_, STDOUT_FILENO, input.get());
    if (!started) return started.error();
    std::string output;
    std::vector<char> buffer(1 << 16);
    for (ssize_t size = 0;
         (size = ::read(started->output.get(), buffer.data(), buffer.size())) > 0;)
      output.append(buffer.data(), static_cast<std::size_t>(size));
    int status = 0;
    ::waitpid(started->pid, &status, 0);
    if (status == 0 && output == bytes) return {};
    return failure(kCat, "did not bring back what it was given");
  }

  std::size_t size_;
  const CStrings cat_{{kCat}};
};

/// The same job in a pool. Its spec is made before the clock starts: a caller has its bytes.
class PoolCat : public Runner {
 public:
  PoolCat(std::unique_ptr<Pool> pool, std::size_t size, bool files)
      : pool_(std::move(pool)), size_(size), files_(files) {}

  Result<void> run(unsigned count, std::vector<double>& latency_us) override {
    const std::string bytes = bytes_of(size_);
    for (unsigned i = 0; i < count; ++i) {
      JobSpec spec = files_ ? file_job(bytes) : stream_job(bytes);
      const Clock::time_point start = Clock::now();
      Result<std::future<Report>> future = pool_->submit(std::move(spec));
      if (!future) return std::move(future).error();
      const Report report = future->get();
      latency_us.push_back(micros(Clock::now() - start));
      HATCHERY_TRY(check_accepted(report));
      const Output* output = report.output("out");
      if (output == nullptr || output->bytes != bytes)
        return failure("pool", "cat did not bring back what it was given");
    }
    return {};
  }

 private:
  static constexpr std::uint64_t kBytesMax = 256ULL << 20;

  static JobSpec stream_job(const std::string& bytes) {
    JobSpec spec;
    spec.args = {kCat};
    spec.fds[0] = BytesStream{bytes};
    spec.fds[1] = CollectorStream{.name = "out", .bytes_max = kBytesMax};
    spec.limits.output_bytes = kBytesMax;
    return spec;
  }

  static JobSpec file_job(const std::string& bytes) {
    JobSpec spec;
    spec.args = {"/bin/cp", "in", "out"};
    spec.files_in.push_back({.path = "in", .source = FileIn::Bytes{bytes}});
    spec.files_out.push_back({.path = "out", .bytes_max = kBytesMax});
    spec.limits.file_bytes = kBytesMax;
    return spec;
  }

  std::unique_ptr<Pool> pool_;
  std::size_t size_;
  bool files_;
};

Result<std::unique_ptr<Pool>> make_pool(const Bench& bench) {
  PoolSetup setup{.in_flight = 1, .cgroup_parent = bench.group.path()};
  // Input, output and what lies on /w are all memory of the job.
  setup.change = [](PoolConfig& config) {
    config.profiles[0].defaults.memory_bytes = 1ULL << 30;
    config.profiles[0].work_bytes = 512ULL << 20;
  };
  return Pool::create(pool_config(setup));
}

/// Bytes a second from µs: more is less.
std::optional<Estimate> rate_of(const std::optional<Estimate>& us, std::size_t bytes) {
  if (!us || us->low <= 0) return {};
  const double mib_us = static_cast<double>(bytes) / (1 << 20) * 1e6;
  return Estimate{mib_us / us->value, mib_us / us->high, mib_us / us->low};
}

void measure_size(Bench& bench, std::size_t size) {
  std::vector<Lane> lanes;
  lanes.push_back({.name = "cat", .runner = std::make_unique<BareCat>(size)});
  for (const bool files : {false, true}) {
    Result<std::unique_ptr<Pool>> pool = make_pool(bench);
    const std::string name = files ? "pool, files" : "pool, streams";
    if (pool)
      lanes.push_back(
          {.name = name, .runner = std::make_unique<PoolCat>(*std::move(pool), size, files)});
    else
      bench.results.add(Trouble{"data", "cat", name, error_text(pool.error())});
  }
  run_turns(
      bench, lanes,
      bench.quick ? TurnPlan{.rounds = 1, .turn_s = 0.01} : TurnPlan{.rounds = 12, .turn_s = 0.1});
  for (const Lane& lane : lanes) {
    if (lane.trouble) continue;
    Row row{.measure = "data",
            .program = "cat",
            .way = lane.name,
            .parameters = {{"bytes", static_cast<double>(size)}},
            .jobs = lane.jobs_counted()};
    std::optional<Estimate> ratio;
    const std::optional<Estimate> us = estimate(lane.latency_us, quantile_of(0.5));
    if (&lane != &lanes.front() && !lanes.front().trouble)
      ratio =
          compare(lane.latency_us, lanes.front().latency_us, quantile_of(0.5), Comparison::kRatio);
    row.add("p50_us", us, ratio);
    row.add("mib_per_s", rate_of(us, size));
    row.add("cpu_us", estimate(lane.group_cpu_us, ratio_of_sums()));
    bench.results.add(std::move(row));
  }
  add_troubles(bench, "data", "cat", lanes);
}

}  // namespace

void register_data(Bench& bench) {
  for (const std::size_t size : kSizes)
    if (!bench.quick || size <= 1 << 20)
      register_measure(bench, "data/" + std::to_string(size),
                       [&bench, size] { measure_size(bench, size); });
}

}  // namespace hatchery::bench
