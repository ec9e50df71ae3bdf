// Configuration as TOML text. What is written here is read back by config_toml.cc as the same
// value.
#include <array>
#include <charconv>
#include <type_traits>

#include "pool/config.h"
#include "pool/limits.h"
#include "pool/units.h"

namespace hatchery {
namespace {

std::string toml_string(std::string_view text) {
  constexpr std::string_view kHexDigits = "0123456789ABCDEF";
  std::string result = "\"";
  for (const char character : text) {
    const auto byte = static_cast<unsigned char>(character);
    if (character == '"' || character == '\\') {
      result += '\\';
      result += character;
    } else if (byte < 0x20 || byte == 0x7f) {
      result += "\\u00";
      result += kHexDigits[byte >> 4U];
      result += kHexDigits[byte & 15U];
    } else {
      result += character;
    }
  }
  result += '"';
  return result;
}

const char* toml_bool(bool value) { return value ? "true" : "false"; }

/// A TOML float or integer that reads back as the same double.
std::string toml_number(double value) {
  std::array<char, 400> buffer = {};
  const auto end = std::to_chars(buffer.begin(), buffer.end(), value, std::chars_format::fixed);
  return {buffer.begin(), end.ptr};
}

std::string limit_text(Nanoseconds value) { return toml_string(format_duration(value)); }
std::string limit_text(std::uint64_t value) { return toml_string(format_bytes(value)); }
std::string limit_text(std::uint32_t value) { return std::to_string(value); }
std::string limit_text(double value) { return toml_number(value); }
std::string limit_text(const std::string& value) { return toml_string(value); }

/// Lines of text, built one key at a time.
class TomlWriter {
 public:
  void comment(std::string_view text) { (text_ += "# ") += std::string(text) + "\n"; }
  void blank() { text_ += '\n'; }
  void line(std::string_view text) { (text_ += text) += '\n'; }
  void key(std::string_view key, std::string_view value) {
    text_ += std::string(key) + " = " + std::string(value) + "\n";
  }
  void strings(std::string_view key, const std::vector<std::string>& values) {
    if (values.empty()) return this->key(key, "[]");
    text_ += std::string(key) + " = [\n";
    for (const std::string& value : values) text_ += "  " + toml_string(value) + ",\n";
    text_ += "]\n";
  }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

void write_limits(TomlWriter& writer, const Limits& limits) {
  for (const LimitField& field : limit_fields()) {
    const std::string value = std::visit(
        [&](auto member) {
          const auto& limit = limits.*member;
          return limit.has_value() ? limit_text(*limit) : std::string("\"none\"");
        },
        field.member);
    writer.key(field.key, value + "  # " + field.meaning);
  }
}

void write_binds(TomlWriter& writer, const std::vector<BindMount>& binds) {
  for (const BindMount& bind : binds) {
    writer.blank();
    writer.line("[[profile.bind]]");
    writer.key("source", toml_string(bind.source));
    writer.key("target", toml_string(bind.target));
    writer.key("writable", toml_bool(bind.writable));
    writer.key("optional", toml_bool(bind.optional));
    writer.key("executable", toml_bool(bind.executable));
  }
}

void write_io_maxima(TomlWriter& writer, const std::vector<IoMax>& io_max) {
  for (const IoMax& limit : io_max) {
    writer.blank();
    writer.comment(
        "What each slot's jobs may read and write a second of the disk that has `path`.");
    writer.line("[[profile.io_max]]");
    writer.key("path", toml_string(limit.path));
    if (limit.read_bytes) writer.key("read_bytes", limit_text(*limit.read_bytes));
    if (limit.write_bytes) writer.key("write_bytes", limit_text(*limit.write_bytes));
    if (limit.read_operations)
      writer.key("read_operations", std::to_string(*limit.read_operations));
    if (limit.write_operations)
      writer.key("write_operations", std::to_string(*limit.write_operations));
  }
}

void write_sandbox(TomlWriter& writer, const Profile& profile) {
  writer.comment("A directory that is the whole root, read-only; \"\" builds the root from binds.");
  writer.key("root_directory", toml_string(profile.root_directory));
  writer.comment(
      "true: the binds of the built-in profile come first, and a [[profile.bind]] with the");
  writer.comment(
      "same target replaces one. Left out: true, or false when root_directory is given.");
  writer.key("builtin_binds", "false");
  writer.comment("Hidden under an empty read-only file or directory. Replaces the built-in list.");
  writer.strings("masked_paths", profile.masked_paths);
  writer.comment(
      "Sizes of /tmp, /w and /dev/shm, charged to the job's memory, and inodes of each.");
  writer.key("tmp", toml_string(format_bytes(profile.tmp_bytes)));
  writer.key("work", toml_string(format_bytes(profile.work_bytes)));
  writer.key("shm", toml_string(format_bytes(profile.shm_bytes)));
  writer.key("tmpfs_inodes", std::to_string(profile.tmpfs_inodes));
  writer.key("hostname", toml_string(profile.hostname));
  writer.comment("\"none\": only lo, up. \"host\": the host's network.");
  writer.key("network", profile.network == NetworkMode::kHost ? "\"host\"" : "\"none\"");
  writer.comment("A time namespace, where the kernel has it.");
  writer.key("time_namespace", toml_bool(profile.time_namespace));
  writer.comment(
      "Read-only binds with the host's own inodes: locks and inotify of jobs meet there.");
  writer.key("share_inodes", toml_bool(profile.share_inodes));
  writer.comment("\"\" is the built-in policy; else an OCI runtime-spec seccomp JSON file.");
  writer.key("seccomp_policy", toml_string(profile.seccomp_policy));
  writer.comment(
      "What the built-in policy answers to a refused call: \"errno\" (EPERM) or \"kill\".");
  writer.key("refused_call", profile.refused_call == RefusedCall::kKill ? "\"kill\"" : "\"errno\"");
  writer.comment(
      "SELinux type of jobs; \"\" for none, \"auto\": hatchery_job_t with deploy/selinux, else "
      "none.");
  writer.key("selinux_type", toml_string(profile.selinux_type));
  writer.comment("Environment of a job that names none. Replaces the built-in list.");
  writer.strings("env", profile.env);
}

void write_profile(TomlWriter& writer, const Profile& profile) {
  writer.blank();
  writer.comment(
      "A profile: what a sandbox looks like. Keys left out are as in the built-in profile.");
  writer.line("[[profile]]");
  writer.key("name", toml_string(profile.name));
  write_sandbox(writer, profile);
  writer.comment("true: each slot's jobs run on one CPU, of maximums.cpu_set if that is given.");
  writer.key("pin_slots", toml_bool(profile.pin_slots));
  writer.key("pressure", toml_bool(profile.pressure));
  writer.comment("Page cache of host files that a slot's jobs may leave to the next.");
  writer.key("cache_kept", toml_string(format_bytes(profile.cache_kept_bytes)));
  writer.comment(
      "Slots ready at all times, and at most; one above the minimum that idles is removed.");
  writer.key("slots_min", std::to_string(profile.slots_min));
  writer.key("slots_max", std::to_string(profile.slots_max));
  writer.key("slot_idle",
             toml_string(format_duration(std::chrono::milliseconds(profile.slot_idle_ms))));
  writer.comment("Jobs and groups of jobs that run at once; 0: as many as there are slots.");
  writer.key("running_max", std::to_string(profile.running_max));
  writer.blank();
  writer.comment("Limits of a job that names none. \"none\": no limit.");
  writer.line("[profile.defaults]");
  write_limits(writer, profile.defaults);
  writer.blank();
  writer.comment("What a job may ask for. \"none\": no maximum.");
  writer.line("[profile.maximums]");
  write_limits(writer, profile.maximums);
  write_io_maxima(writer, profile.io_max);
  write_binds(writer, profile.binds);
}

}  // namespace

std::string config_to_toml(const PoolConfig& config) {
  TomlWriter writer;
  writer.comment(
      "Configuration of a Hatchery pool. Sizes: B, KiB, MiB, GiB, TiB (powers of 1024).");
  writer.comment("Durations: ns, us, ms, s, m, h. Every key may be left out.");
  writer.blank();
  writer.comment("Jobs waiting at once, all clients together.");
  writer.key("queue_max", std::to_string(config.queue_max));
  writer.comment("Threads that share out the slots; 0: one for every eight CPUs.");
  writer.key("loops", std::to_string(config.loops));
  writer.comment("Host uids and gids of slots, two a slot. Nothing else on the host may use them.");
  writer.key("uid_base", std::to_string(config.uid_base));
  writer.key("uid_count", std::to_string(config.uid_count));
  writer.comment("Name of the pool's cgroups and lock; \"\" makes a name of its own.");
  writer.key("name", toml_string(config.name));
  writer.comment("Locks live here.");
  writer.key("state_directory", toml_string(config.state_directory));
  writer.comment("cgroup below which the pool makes its own; \"\" finds it.");
  writer.key("cgroup_parent", toml_string(config.cgroup_parent));
  writer.comment("\"none\": no cgroups; memory, processes and cpu_time are rlimits, weaker.");
  writer.key("cgroup", config.cgroup == CgroupUse::kNone ? "\"none\"" : "\"auto\"");
  writer.comment("The hatchery-zygote executable; \"\" finds it.");
  writer.key("zygote_path", toml_string(config.zygote_path));
  writer.comment("Milliseconds of an orderly shutdown; then what is left is killed.");
  writer.key("shutdown_ms", std::to_string(config.shutdown_ms));
  writer.comment("What the file store may hold.");
  writer.key("store_bytes_max", toml_string(format_bytes(config.store_bytes_max)));
  for (const Profile& profile : config.profiles) write_profile(writer, profile);
  return writer.take();
}

}  // namespace hatchery
