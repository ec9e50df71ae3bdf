#include "bench/peers.h"

#include <sys/wait.h>
#include <unistd.h>

#include "bench/go_judge.h"
#include "bench/oci_peers.h"
#include "bench/own_files.h"
#include "bench/process_runner.h"
#include "bench/sandbox_files.h"

namespace hatchery::bench {
namespace {

using Args = std::vector<std::string>;

void append(Args& args, const Args& more) { args.insert(args.end(), more.begin(), more.end()); }

Args environment_options(const char* option) {
  Args args;
  for (const std::string& variable : job_environment()) append(args, {option, variable});
  return args;
}

CommandPeer bubblewrap() {
  return {.name = "bubblewrap",
          .executable = "bwrap",
          .what = "--unshare-all, the same mounts; no seccomp filter, no cgroup",
          .remedy = debian_remedy("bubblewrap"),
          .arguments = [](const Program& program) {
            Args args = {"--unshare-all", "--die-with-parent", "--new-session", "--clearenv"};
            for (const std::string& variable : job_environment()) {
              const std::size_t equals = variable.find('=');
              append(args, {"--setenv", variable.substr(0, equals), variable.substr(equals + 1)});
            }
            const SandboxFiles files = sandbox_files();
            for (const auto& bind : files.binds)
              append(args, {"--ro-bind", bind.source, bind.path});
            for (const auto& link : files.symlinks)
              append(args, {"--symlink", link.source, link.path});
            append(args, {"--proc", "/proc", "--dev", "/dev"});
            for (const std::string& path : files.tmpfs) append(args, {"--tmpfs", path});
            append(args, {"--hostname", "sandbox", "--chdir", "/w", "--"});
            append(args, program.args_inside);
            return args;
          }};
}

CommandPeer firejail() {
  return {.name = "firejail",
          .executable = "firejail",
          .what =
              "own network, ipc, user, pid and mount namespaces, the host's files, its default "
              "seccomp filter; no cgroup",
          .remedy = debian_remedy("firejail"),
          .arguments = [](const Program& program) {
            Args args = {"--quiet",       "--noprofile",      "--net=none", "--ipc-namespace",
                         "--private-tmp", "--private-dev",    "--noroot",   "--caps.drop=all",
                         "--nonewprivs",  "--hostname=inner", "--seccomp",  "--"};
            append(args, program.args);
            return args;
          }};
}

CommandPeer systemd_run() {
  return {.name = "systemd-run",
          .executable = "systemd-run",
          .what = "a transient service: private network, ipc, users, devices, /tmp; read-only host",
          .remedy = debian_remedy("systemd"),
          .arguments = [](const Program& program) {
            Args args = {"--quiet", "--wait", "--collect"};
            for (const char* property :
                 {"PrivateNetwork=yes", "PrivateIPC=yes", "PrivateUsers=yes", "PrivateDevices=yes",
                  "PrivateTmp=yes", "ProtectSystem=strict", "NoNewPrivileges=yes", "MemoryMax=512M",
                  "TasksMax=128", "SystemCallFilter=@system-service"})
              append(args, {"-p", property});
            append(args, {"--"});
            append(args, program.args);
            return args;
          }};
}

CommandPeer nsjail() {
  return {.name = "nsjail",
          .executable = "nsjail",
          .what = "all namespaces, the same mounts; no seccomp filter, no cgroup",
          .version_option = "--help",
          .remedy = own_remedy("nsjail"),
          .arguments = [](const Program& program) {
            Args args = {"--mode", "o", "--really_quiet", "--cwd", "/w", "--hostname", "sandbox"};
            append(args, environment_options("--env"));
            const SandboxFiles files = sandbox_files();
            for (const auto& bind : files.binds)
              append(args, {"--bindmount_ro", bind.source + ":" + bind.path});
            for (const auto& link : files.symlinks)
              append(args, {"--symlink", link.source + ":" + link.path});
            for (const char* path : {"/tmp", "/w"}) append(args, {"--tmpfsmount", path});
            append(args, {"--"});
            append(args, program.args_inside);
            return args;
          }};
}

CommandPeer minijail() {
  // An empty directory that lives as long as the peer.
  const auto root = std::make_shared<TemporaryDirectory>();
  return {.name = "minijail0",
          .executable = "minijail0",
          .what =
              "mount, pid, network, ipc, uts and cgroup namespaces, the same mounts; no seccomp "
              "filter, no cgroup",
          .version_option = "--help",
          .remedy = own_remedy("minijail0"),
          .arguments = [root](const Program& program) {
            Args args = {"-v", "-p", "-e", "-l", "-N", "--uts", "-n", "-P", root->path()};
            const SandboxFiles files = sandbox_files();
            for (const auto& bind : files.binds)
              append(args, {"-b", bind.source + "," + bind.path});
            // It knows no symlinks: the directories themselves.
            for (const auto& link : files.symlinks) append(args, {"-b", link.path});
            for (const char* path : {"/tmp", "/w"})
              append(args, {"-k", "tmpfs," + std::string(path) + ",tmpfs"});
            append(args, {"--"});
            append(args, program.args_inside);
            return args;
          }};
}

CommandPeer isolate() {
  return {.name = "isolate",
          .executable = "isolate",
          .what = "isolate --run in box 0, made once; --init and --cleanup are not counted",
          .remedy = own_remedy("isolate"),
          .in_flight_max = 1,
          .arguments = [](const Program& program) {
            Args args = {"--silent", "--processes=128",
                         "--dir=" + std::string(kProgramsInside) + "=" + programs_directory(),
                         "--run", "--"};
            append(args, program.args_inside);
            return args;
          }};
}

Way systemd_way(const PeerPlaces& places) {
  if (::access("/run/systemd/system", F_OK) == 0) return command_way(systemd_run(), places);
  const CommandPeer peer = systemd_run();
  return Way{.name = peer.name,
             .kind = WayKind::kPeer,
             .what = peer.what,
             .refusal = "systemd does not run on this host (no /run/systemd/system)"};
}

Way isolate_way(const PeerPlaces& places) {
  const auto place = places.find("isolate");
  const std::string program = place != places.end() ? place->second : find_program("isolate");
  if (!program.empty()) run_command({program, "--init"});
  return command_way(isolate(), places);
}

}  // namespace

std::string debian_remedy(const std::string& name) {
  return "not found; run deploy/install-packages bench, or give --peer " + name + "=PATH";
}

std::string own_remedy(const std::string& name) {
  return "not found, and not in Debian 12; build it and give --peer " + name + "=PATH";
}

std::string last_line(const std::string& output) {
  std::size_t end = output.find_last_not_of(" \n\r\t");
  if (end == std::string::npos) return {};
  const std::size_t start = output.find_last_of('\n', end);
  return output.substr(start == std::string::npos ? 0 : start + 1, end - start);
}

Way command_way(const CommandPeer& peer, const PeerPlaces& places) {
  Way way{.name = peer.name, .kind = WayKind::kPeer, .what = peer.what};
  const auto place = places.find(peer.name);
  const std::string executable =
      place != places.end() ? place->second : find_program(peer.executable);
  if (executable.empty() || ::access(executable.c_str(), X_OK) != 0) {
    way.refusal = executable.empty() ? peer.remedy : executable + ": can't be executed";
    return way;
  }
  if (peer.version_option == "--version") way.version = first_line_of({executable, "--version"});
  const auto command = [executable, arguments = peer.arguments](const Program& program) {
    Args args = {executable};
    append(args, arguments(program));
    return args;
  };
  const Ran tried = run_command(command(program_named("dynamic_true")));
  if (tried.status != 0) {
    const std::string said = last_line(tried.output);
    way.refusal = "does not run /bin/true here: " +
                  (said.empty() ? "it ended with status " + std::to_string(tried.status) : said);
    return way;
  }
  way.make = [command, name = peer.name, most = peer.in_flight_max](
                 const Program& program, unsigned in_flight) -> Result<std::unique_ptr<Runner>> {
    if (in_flight > most) return failure(name, "is not run with several jobs in flight");
    const Args args = command(program);
    // Asked once more, for this program: a failure then has its words.
    const Ran ran = run_command(args);
    if (ran.status != 0) return failure(name, last_line(ran.output));
    return made<ProcessRunner>(name, in_flight, spawn_start(args, true));
  };
  return way;
}

std::vector<std::string> peer_names() {
  return {"bubblewrap", "runc",    "crun",      "firejail", "systemd-run",
          "nsjail",     "isolate", "minijail0", "go-judge"};
}

std::vector<Way> peers(const PeerPlaces& places) {
  return {command_way(bubblewrap(), places),
          oci_way("runc", places),
          oci_way("crun", places),
          command_way(firejail(), places),
          systemd_way(places),
          command_way(nsjail(), places),
          isolate_way(places),
          command_way(minijail(), places),
          go_judge_way(places)};
}

}  // namespace hatchery::bench
