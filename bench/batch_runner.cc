#include "bench/batch_runner.h"

#include <sys/wait.h>

#include <boost/json.hpp>

#include "bench/own_files.h"
#include "bench/pool_runner.h"
#include "bench/process_runner.h"

namespace hatchery::bench {
namespace {

class BatchRunner : public Runner {
 public:
  BatchRunner(const Program& program, unsigned in_flight, const std::string& cgroup_parent)
      : in_flight_(in_flight) {
    const PoolConfig config = pool_config({.in_flight = in_flight, .cgroup_parent = cgroup_parent});
    const boost::json::object job = {
        {"args", boost::json::array(program.args_inside.begin(), program.args_inside.end())},
        {"stdout", nullptr},
        {"stderr", nullptr}};
    good_ = write_file(config_path(), config_to_toml(config)) &&
            write_file(job_path(), boost::json::serialize(job) + "\n");
  }

  Result<void> run(unsigned count, std::vector<double>&) override {
    if (!good_) return failure(directory_.path(), "can't be written");
    const Ran ran = run_command({hatchery_command(), "batch", "--quiet", "--profile", config_path(),
                                 "--in-flight", std::to_string(in_flight_), "--repeat",
                                 std::to_string(count), "--reports", "/dev/null", job_path()});
    if (ran.status == 0) return {};
    return failure("batch", "failed: " + ran.output);
  }

 private:
  std::string config_path() const { return directory_.path() + "/pool.toml"; }
  std::string job_path() const { return directory_.path() + "/job.jsonl"; }

  TemporaryDirectory directory_;
  unsigned in_flight_;
  bool good_ = false;
};

}  // namespace

Way batch_way(const std::string& cgroup_parent) {
  return Way{.name = "batch",
             .kind = WayKind::kPool,
             .what = "the command `hatchery batch`, its start and end included",
             .version = first_line_of({hatchery_command(), "--version"}),
             .whole_command = true,
             .make = [cgroup_parent](const Program& program,
                                     unsigned in_flight) -> Result<std::unique_ptr<Runner>> {
               return made<BatchRunner>(program, in_flight, cgroup_parent);
             }};
}

}  // namespace hatchery::bench
