#include "bench/server_runner.h"

#include "bench/own_files.h"
#include "bench/pool_runner.h"
#include "bench/process_runner.h"
#include "bench/run_client.h"

namespace hatchery::bench {
namespace {

/// `message` of the server's address.
Result<std::unique_ptr<Runner>> make_runner(
    const std::string& name, unsigned in_flight, const std::string& cgroup_parent,
    const HttpAddress& address, const std::function<HttpMessage(const HttpAddress&)>& message) {
  const TemporaryDirectory directory;
  const std::string config = directory.path() + "/pool.toml";
  const PoolConfig pool = pool_config({.in_flight = in_flight, .cgroup_parent = cgroup_parent});
  if (!write_file(config, config_to_toml(pool))) return failure(config, "can't be written");
  auto server = std::make_shared<SpawnedServer>(
      std::vector<std::string>{hatchery_command(), "serve", "--silent", "--config", config,
                               "--http-addr", address.text()},
      address);
  return make_http_client(name, address, message(address), in_flight, std::move(server));
}

Way run_way(const std::string& name, const std::string& what, HttpAddress (*free)(),
            const std::string& cgroup_parent) {
  return Way{.name = name,
             .kind = WayKind::kPool,
             .what = what,
             .version = first_line_of({hatchery_command(), "--version"}),
             .make = [=](const Program& program, unsigned in_flight) {
               return make_runner(name, in_flight, cgroup_parent, free(),
                                  [&](const HttpAddress& address) {
                                    return run_message(address, program.args_inside);
                                  });
             }};
}

}  // namespace

Way server_way(const std::string& cgroup_parent) {
  return run_way("server",
                 "POST /run of `hatchery serve` on kept connections, both outputs collected",
                 free_address, cgroup_parent);
}

Way unix_server_way(const std::string& cgroup_parent) {
  return run_way("server_unix", "the same over a Unix socket", free_unix_address, cgroup_parent);
}

Way request_way(const std::string& cgroup_parent) {
  return Way{.name = "request",
             .kind = WayKind::kFloor,
             .what = "GET /healthz of `hatchery serve` on kept connections",
             .make = [cgroup_parent](const Program&, unsigned in_flight) {
               return make_runner("request", in_flight, cgroup_parent, free_address(),
                                  health_message);
             }};
}

}  // namespace hatchery::bench
