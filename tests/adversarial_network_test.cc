// G: the network: what sockets there are, and who can be reached.
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstring>

#include "core/fd.h"
#include "tests/adversarial.h"

namespace hatchery::testing {
namespace {

using namespace protocol;
using ::testing::AnyOf;
using ::testing::ContainsRegex;
using ::testing::Not;

/// A service of the host for the time of the job, on a port or a name that `args` gets.
Report beside_a_service(Pool& pool, JobSpec spec, sockaddr* address, socklen_t size) {
  const UniqueFd server(::socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  HATCHERY_CHECK(::bind(server.get(), address, size) == 0 && ::listen(server.get(), 8) == 0);
  HATCHERY_CHECK(::getsockname(server.get(), address, &size) == 0);
  if (address->sa_family != AF_UNIX) {
    sockaddr_in6 found{};
    std::memcpy(&found, address, size);  // The port is at the same place in both.
    spec.args.push_back(std::to_string(ntohs(found.sin6_port)));
  }
  return pool.submit(std::move(spec)).value().get();
}
Report beside_loopback(Pool& pool, JobSpec spec) {
  sockaddr_in address{
      .sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
  return beside_a_service(pool, std::move(spec), reinterpret_cast<sockaddr*>(&address),
                          sizeof address);
}
Report beside_loopback_six(Pool& pool, JobSpec spec) {
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_addr = IN6ADDR_LOOPBACK_INIT;
  return beside_a_service(pool, std::move(spec), reinterpret_cast<sockaddr*>(&address),
                          sizeof address);
}
Report beside_abstract_name(Pool& pool, JobSpec spec) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string name = pool.config().name;
  std::memcpy(address.sun_path + 1, name.data(), name.size());
  spec.args.push_back(name);
  return beside_a_service(
      pool, std::move(spec), reinterpret_cast<sockaddr*>(&address),
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size()));
}

/// Numbers of sockets that the filter lets pass: these and no others.
Attack sweep(const std::string& name, const std::string& does, const std::string& what,
             const std::string& allowed) {
  return {
      .name = name,
      .source = "G100",
      .does = does,
      .answer = "EPERM for all but what jobs need",
      .layer = "seccomp filter",
      .job = payload("network", {what}),
      .gets = Prints(::testing::MatchesRegex(allowed)),
      .control = without(kWithoutFilter, "filter", Prints(Not(::testing::MatchesRegex(allowed))))};
}

HATCHERY_ATTACKS(Network) {
  return {
      {.name = "HostsLoopback",
       .source = "G99",
       .does = "connects to a service on the host's 127.0.0.1",
       .answer = "ECONNREFUSED",
       .layer = "network namespace",
       .job = payload("network", {"tcp", "127.0.0.1"}),
       .gets = Prints("ECONNREFUSED"),
       .control = without(kWithoutNetworkNamespace, "network namespace", Prints("ok")),
       .play = beside_loopback},
      {.name = "HostsLoopbackOfIpv6",
       .source = "G99",
       .does = "connects to a service on the host's ::1",
       .answer = "ECONNREFUSED",
       .layer = "network namespace",
       .job = payload("network", {"tcp", "::1"}),
       .gets = Prints("ECONNREFUSED"),
       .control = without(kWithoutNetworkNamespace, "network namespace", Prints("ok")),
       .play = beside_loopback_six},
      {.name = "HostsAbstractSocket",
       .source = "G100",
       .does = "connects to a service on an abstract name of the host",
       .answer = "ECONNREFUSED",
       .layer = "network namespace",
       .job = payload("network", {"abstract"}),
       .gets = Prints("ECONNREFUSED"),
       .control = without(kWithoutNetworkNamespace, "network namespace", Prints("ok")),
       .play = beside_abstract_name},
      {.name = "MetadataService",
       .source = "G99",
       .does = "routes to the cloud's metadata address, a LAN and the world",
       .answer = "ENETUNREACH",
       .layer = "network namespace",
       .job = sh("for to in 169.254.169.254 192.168.0.1 10.0.0.1 8.8.8.8 2001:db8::1; do "
                 "/payloads/network udp $to 80; done | sort -u"),
       .gets = Prints("ENETUNREACH"),
       .control = no_control("a host without routes answers the same")},
      {.name = "InterfacesOfTheHost",
       .source = "G99",
       .does = "lists interfaces and routes",
       .answer = "lo, and no route",
       .layer = "network namespace",
       .job = sh("cat /proc/net/dev /proc/net/route | tail -n +3 | cut -d: -f1; "
                 "cat /proc/net/dev | cut -d: -f2- | md5sum >/dev/null; ls /proc/self/net/vlan; "
                 "readlink /proc/self/ns/net"),
       .gets = Prints(ContainsRegex("^ +lo\nIface")),
       .control = no_control("a host may have nothing but lo, too; PoolIsolation compares the "
                             "namespaces")},
      sweep("SocketFamilies", "opens a socket of each family there is", "families",
            "1 2 10 (16 )?"),
      sweep("NetlinkProtocols", "opens netlink of each protocol", "netlinks", "(0 )?"),
      sweep("SocketTypes", "opens IPv4 sockets of each type; 10 is a packet socket", "types",
            "1 2 "),
      sweep("StreamProtocols", "opens streams of each protocol: SCTP, MPTCP, raw", "protocols",
            "0 6 17 "),
      sweep("DatagramProtocols", "opens datagram sockets of each protocol: ping, UDP-Lite",
            "datagrams", "0 6 17 "),
      sweep("SocketPairs", "makes pairs of each family", "pairs", "1 "),
      {.name = "PacketSocketUnfiltered",
       .source = "G100",
       .does = "opens a packet socket by its old name, in a profile without filter",
       .answer = "EPERM",
       .layer = "no capabilities",
       .job = python("import socket\n"
                     "try:\n"
                     "  socket.socket(socket.AF_INET, 10, 0x300)\n"
                     "  print('ok')\n"
                     "except OSError as e: print(e.errno)"),
       .gets = Prints("1"),
       .control = without(kWithoutFilter | kWithoutCapabilityDrop | kWithoutIdChange,
                          "both and the filter", Prints("ok"))},
      {.name = "DeleteLoopback",
       .source = "own",
       .does = "asks netlink to delete lo",
       .answer = "EPERM",
       .layer = "no capabilities, or no netlink",
       .job = payload("capability", {"link"}),
       .gets = Prints("EPERM"),
       .control = without(kWithoutFilter | kWithoutCapabilityDrop | kWithoutIdChange,
                          "both and the filter", Prints("EOPNOTSUPP"))},
      {.name = "LoopbackStillWorks",
       .source = "own",
       .does = "talks to itself on 127.0.0.1 and ::1, as test harnesses do",
       .answer = "it works, and leaves no trace for the next job",
       .layer = "the reset replaces a network namespace whose counters moved",
       .job = python("import socket\n"
                     "for host in '127.0.0.1', '::1':\n"
                     "  s = socket.create_server((host, 0), family=socket.AF_INET6 if ':' in host "
                     "else socket.AF_INET)\n"
                     "  socket.create_connection(s.getsockname()[:2]).close()\n"
                     "print('talked')"),
       .gets = Prints("talked"),
       .control = no_control("nothing is denied; Channels.WaitingConnections has the trace")},
  };
}

}  // namespace
}  // namespace hatchery::testing
