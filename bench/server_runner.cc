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

}  // namespace

Way server_way(const std::string& cgroup_parent) {
  return Way{.name = "server",
             .kind = WayKind::kPool,
             .what = "POST /run of `hatchery serve` on kept connections, both outputs collected",
             .version = first_line_of({hatchery_command(), "--version"}),
             .make = [cgroup_parent](const Program& program, unsigned in_flight) {
               return make_runner("server", in_flight, cgroup_parent, free_address(),
                                  [&](const HttpAddress& address) {
                                    return run_message(address, program.args_inside);
                                  });
             }};
}

Way unix_server_way(const std::string& cgroup_parent) {
  return Way{.name = "server_unix",
             .kind = WayKind::kPool,
             .what = "the same over a Unix socket",
             .make = [cgroup_parent](const Program& program, unsigned in_flight) {
               return make_runner("server_unix", in_flight, cgroup_parent, free_unix_address(),
                                  [&](const HttpAddress& address) {
                                    return run_message(address, program.args_inside);
                                  });
             }};
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
