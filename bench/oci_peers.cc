#include "bench/oci_peers.h"

#include <unistd.h>

#include <boost/json.hpp>
#include <filesystem>
#include <system_error>

#include "bench/own_files.h"
#include "bench/process_runner.h"
#include "bench/sandbox_files.h"

namespace hatchery::bench {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

json::object mount(const std::string& destination, const std::string& type,
                   const std::string& source, std::initializer_list<json::value_ref> options) {
  return {{"destination", destination},
          {"type", type},
          {"source", source},
          {"options", json::array(options)}};
}

json::array mounts_of(const SandboxFiles& files) {
  json::array mounts = {mount("/proc", "proc", "proc", {"nosuid", "nodev", "noexec"}),
                        mount("/dev", "tmpfs", "tmpfs", {"nosuid", "mode=755"})};
  for (const std::string& path : files.tmpfs)
    mounts.push_back(mount(path, "tmpfs", "tmpfs", {"nosuid", "nodev", "mode=1777"}));
  for (const auto& bind : files.binds)
    mounts.push_back(mount(bind.path, "bind", bind.source, {"bind", "ro", "nosuid", "nodev"}));
  return mounts;
}

json::array namespaces() {
  json::array all;
  for (const char* type : {"pid", "network", "ipc", "uts", "mount", "cgroup", "user"})
    all.push_back(json::object{{"type", type}});
  return all;
}

/// As the pool runs it: the same mounts, masks, namespaces and limits; no seccomp filter.
///
/// No cgroupsPath: the runtime then makes a group named by the container, on v2 beside this
/// process's own, where the benchmark's accounts see it; on a hybrid host they follow the
/// processes.
std::string config_json(const Program& program) {
  const SandboxFiles files = sandbox_files();
  const std::vector<std::string> variables = job_environment();
  // One host id, above those of people and below those of the pool.
  const json::array ids = {{{"containerID", 0}, {"hostID", 0x6fff0000}, {"size", 1}}};
  const json::object config = {
      {"ociVersion", "1.0.2"},
      {"process",
       {{"terminal", false},
        {"user", {{"uid", 0}, {"gid", 0}}},
        {"args", json::array(program.args_inside.begin(), program.args_inside.end())},
        {"env", json::array(variables.begin(), variables.end())},
        {"cwd", "/w"},
        {"noNewPrivileges", true}}},
      {"root", {{"path", "rootfs"}, {"readonly", true}}},
      {"hostname", "sandbox"},
      {"mounts", mounts_of(files)},
      {"linux",
       {{"resources", {{"memory", {{"limit", 512 << 20}}}, {"pids", {{"limit", 128}}}}},
        {"uidMappings", ids},
        {"gidMappings", ids},
        {"maskedPaths", json::array(files.masked.begin(), files.masked.end())},
        {"namespaces", namespaces()}}}};
  return json::serialize(config);
}

/// A directory with config.json and a root in which every mount point exists.
class Bundle {
 public:
  explicit Bundle(const Program& program) {
    const fs::path root = directory_.path() + "/rootfs";
    std::error_code error;
    // The container's root user is another on the host.
    fs::permissions(directory_.path(), fs::perms(0755), error);
    const SandboxFiles files = sandbox_files();
    for (const char* path : {"/proc", "/dev", "/tmp", "/w"})
      fs::create_directories(root / (path + 1), error);
    for (const auto& link : files.symlinks)
      fs::create_symlink(link.source, root / link.path.substr(1), error);
    for (const auto& bind : files.binds) make_mount_point(root / bind.path.substr(1), bind.source);
    good_ = write_file(directory_.path() + "/config.json", config_json(program));
  }
  bool good() const noexcept { return good_; }
  const std::string& path() const noexcept { return directory_.path(); }

 private:
  static void make_mount_point(const fs::path& path, const std::string& source) {
    std::error_code error;
    if (fs::is_directory(source, error)) {
      fs::create_directories(path, error);
      return;
    }
    fs::create_directories(path.parent_path(), error);
    write_file(path, "");
  }

  TemporaryDirectory directory_;
  bool good_ = false;
};

std::vector<std::string> run_args(const std::string& executable, const std::string& bundle,
                                  unsigned number) {
  return {executable, "run", "--bundle", bundle,
          "hatchery-bench-" + std::to_string(::getpid()) + "-" + std::to_string(number)};
}

/// Numbers of containers: no two of a run have the same name.
unsigned next_number() {
  static unsigned number = 0;
  return ++number;
}

Result<std::unique_ptr<Runner>> make_runner(const std::string& executable, const Program& program,
                                            unsigned in_flight) {
  const auto bundle = std::make_shared<const Bundle>(program);
  if (!bundle->good()) return failure(bundle->path(), "can't be written");
  const Ran ran = run_command(run_args(executable, bundle->path(), next_number()));
  if (ran.status != 0) return failure(executable, last_line(ran.output));
  return made<ProcessRunner>(executable, in_flight, [executable, bundle] {
    return spawn_start(run_args(executable, bundle->path(), next_number()), true)();
  });
}

}  // namespace

Way oci_way(const std::string& name, const PeerPlaces& places) {
  Way way{.name = name,
          .kind = WayKind::kPeer,
          .what =
              "all namespaces, the same mounts, masks, memory and process limits; no seccomp "
              "filter"};
  const auto place = places.find(name);
  const std::string executable = place != places.end() ? place->second : find_program(name);
  if (executable.empty() || ::access(executable.c_str(), X_OK) != 0) {
    way.refusal = executable.empty() ? debian_remedy(name) : executable + ": can't be executed";
    return way;
  }
  way.version = first_line_of({executable, "--version"});
  const Result<std::unique_ptr<Runner>> tried =
      make_runner(executable, program_named("dynamic_true"), 1);
  if (!tried) {
    way.refusal = "does not run /bin/true here: " + tried.error().detail;
    return way;
  }
  way.make = [executable](const Program& program, unsigned in_flight) {
    return make_runner(executable, program, in_flight);
  };
  return way;
}

}  // namespace hatchery::bench
