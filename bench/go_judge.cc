#include "bench/go_judge.h"

#include "bench/process_runner.h"
#include "bench/run_client.h"

namespace hatchery::bench {

Way go_judge_way(const PeerPlaces& places) {
  Way way{.name = "go-judge",
          .kind = WayKind::kPeer,
          .what =
              "POST /run on kept connections: its containers, mounts and limits as its own "
              "configuration has them"};
  const auto place = places.find("go-judge");
  const std::string where = place != places.end() ? place->second : find_program("go-judge");
  if (where.empty()) {
    way.refusal =
        "not found, and not in Debian 12; give --peer go-judge=PATH, or =http://HOST:PORT of a "
        "server";
    return way;
  }
  std::optional<HttpAddress> address = http_address_of(where);
  std::shared_ptr<SpawnedServer> server;
  if (!address) {
    address = free_address();
    server = std::make_shared<SpawnedServer>(
        std::vector<std::string>{where, "-http-addr", address->host + ":" + address->port,
                                 "-silent"},
        *address);
    way.version = first_line_of({where, "-version"});
  }
  // The program has the host's path: go-judge mounts what its own configuration says.
  way.make = [address = *address, server](const Program& program, unsigned in_flight) {
    return make_http_client("go-judge", address, run_message(address, program.args), in_flight,
                            server);
  };
  const Result<std::unique_ptr<Runner>> tried = way.make(program_named("dynamic_true"), 1);
  if (!tried) way.refusal = "does not run /bin/true here: " + error_text(tried.error());
  return way;
}

}  // namespace hatchery::bench
