// Configuration from TOML text. This file knows keys and types and remembers where each key stands;
// ranges are PoolConfig::validate()'s, whose errors are given that place.
#include <algorithm>
#include <cerrno>
#include <limits>
#include <map>
#include <utility>

#include "core/files.h"
#include "pool/config.h"
#include "pool/limits.h"
#include "pool/nearest_name.h"
#include "pool/toml_parse.h"
#include "pool/toml_reader.h"
#include "pool/units.h"

namespace hatchery {
namespace {

constexpr std::size_t kFileBytesMax = 4U << 20U;

BindMount read_bind(Reading& reading, const toml::table& table, const std::string& path,
                    const std::string& name) {
  reading.remember(path, table.source().begin, name);
  TableReader reader(reading, table, path + ".", name + ".");
  BindMount bind;
  reader.string("source", bind.source);
  bind.target = bind.source;
  reader.string("target", bind.target);
  reader.boolean("writable", bind.writable);
  reader.boolean("optional", bind.optional);
  reader.boolean("executable", bind.executable);
  reader.finish();
  return bind;
}

IoMax read_io_max(Reading& reading, const toml::table& table, const std::string& path) {
  reading.remember(path, table.source().begin, path);
  TableReader reader(reading, table, path + ".");
  IoMax limit;
  reader.string("path", limit.path);
  reader.bytes("read_bytes", limit.read_bytes);
  reader.bytes("write_bytes", limit.write_bytes);
  reader.integer("read_operations", limit.read_operations);
  reader.integer("write_operations", limit.write_operations);
  reader.finish();
  return limit;
}

/// A built-in bind gives way to one of the file with the same target; two of the file are
/// validate()'s to refuse.
void drop_replaced_binds(const toml::array& array, std::vector<BindMount>& binds) {
  for (const toml::node& element : array) {
    const toml::table* table = element.as_table();
    if (table == nullptr) continue;
    const toml::node* target = table->get(table->contains("target") ? "target" : "source");
    const auto* text = target == nullptr ? nullptr : target->as_string();
    if (text == nullptr) continue;
    std::erase_if(binds, [&](const BindMount& bind) { return bind.target == text->get(); });
  }
}

void read_binds(Reading& reading, TableReader& reader, const std::string& prefix,
                Profile& profile) {
  bool builtin_binds = profile.root_directory.empty();
  reader.boolean("builtin_binds", builtin_binds);
  if (!builtin_binds) profile.binds.clear();
  if (const toml::node* node = reader.find("bind"); node != nullptr && node->is_array())
    drop_replaced_binds(*node->as_array(), profile.binds);
  reader.tables("bind", "[[profile.bind]] tables", "a [[profile.bind]] table",
                [&](const toml::table& table, const std::string& name) {
                  // validate() counts the built-in ones too.
                  const std::string path =
                      prefix + "bind[" + std::to_string(profile.binds.size()) + "]";
                  profile.binds.push_back(read_bind(reading, table, path, name));
                });
}

Profile read_profile(Reading& reading, const toml::table& table, const std::string& prefix) {
  Profile profile = default_profile();
  TableReader reader(reading, table, prefix);
  reader.string("name", profile.name);
  reader.string("root_directory", profile.root_directory);
  read_binds(reading, reader, prefix, profile);
  reader.strings("masked_paths", profile.masked_paths);
  reader.bytes("tmp", profile.tmp_bytes);
  reader.bytes("work", profile.work_bytes);
  reader.bytes("shm", profile.shm_bytes);
  reader.integer("tmpfs_inodes", profile.tmpfs_inodes);
  reader.string("hostname", profile.hostname);
  reader.choice<NetworkMode>("network", profile.network,
                             {{"none", NetworkMode::kNone}, {"host", NetworkMode::kHost}});
  reader.boolean("time_namespace", profile.time_namespace);
  reader.boolean("share_inodes", profile.share_inodes);
  reader.string("seccomp_policy", profile.seccomp_policy);
  reader.choice<RefusedCall>("refused_call", profile.refused_call,
                             {{"errno", RefusedCall::kErrno}, {"kill", RefusedCall::kKill}});
  reader.string("selinux_type", profile.selinux_type);
  reader.strings("env", profile.env);
  reader.boolean("pin_slots", profile.pin_slots);
  reader.boolean("pressure", profile.pressure);
  reader.tables("io_max", "[[profile.io_max]] tables", "a [[profile.io_max]] table",
                [&](const toml::table& limit, const std::string& name) {
                  profile.io_max.push_back(read_io_max(reading, limit, name));
                });
  reader.bytes("cache_kept", profile.cache_kept_bytes);
  reader.integer("slots_max", profile.slots_max);
  // The built-in minimum follows a lower maximum; one that the file gives does not.
  profile.slots_min = std::min(profile.slots_min, std::max(profile.slots_max, 1U));
  reader.integer("slots_min", profile.slots_min);
  reader.milliseconds("slot_idle", profile.slot_idle_ms);
  reader.integer("running_max", profile.running_max);
  reader.limits("defaults", profile.defaults);
  reader.limits("maximums", profile.maximums);
  reader.finish();
  return profile;
}

void read_profiles(Reading& reading, TableReader& reader, std::vector<Profile>& profiles) {
  if (reader.find("profile") != nullptr) profiles.clear();
  reader.tables("profile", "[[profile]], in two brackets", "a [[profile]] table",
                [&](const toml::table& table, const std::string& name) {
                  reading.remember(name, table.source().begin, name);
                  profiles.push_back(read_profile(reading, table, name + "."));
                });
}

PoolConfig read_config(Reading& reading, const toml::table& table) {
  PoolConfig config;
  TableReader reader(reading, table, "");
  reader.integer("queue_max", config.queue_max);
  reader.integer("loops", config.loops);
  reader.integer("uid_base", config.uid_base);
  reader.integer("uid_count", config.uid_count);
  reader.string("name", config.name);
  reader.string("state_directory", config.state_directory);
  reader.string("cgroup_parent", config.cgroup_parent);
  reader.choice<CgroupUse>("cgroup", config.cgroup,
                           {{"auto", CgroupUse::kAuto}, {"none", CgroupUse::kNone}});
  reader.string("zygote_path", config.zygote_path);
  reader.integer("shutdown_ms", config.shutdown_ms);
  reader.bytes("store_bytes_max", config.store_bytes_max);
  read_profiles(reading, reader, config.profiles);
  // Of `hatchery serve`, which reads it itself: pool/server/server_config.cc.
  static_cast<void>(reader.find("server"));
  reader.finish();
  return config;
}

}  // namespace

namespace {

Result<PoolConfig> config_from_text(std::string_view text, const std::string& file_name,
                                    bool with_files) {
  Reading reading(file_name);
  const Result<toml::table> parsed = parse_toml(text, file_name);
  if (!parsed) return parsed.error();
  PoolConfig config = read_config(reading, *parsed);
  if (reading.failed()) return reading.take_error();
  Result<void> valid = config.validate();
  if (valid && with_files) valid = config.check_files();
  if (!valid) return reading.with_place(std::move(valid).error());
  return config;
}

}  // namespace

Result<PoolConfig> config_from_toml(std::string_view text, const std::string& file_name) {
  return config_from_text(text, file_name, false);
}

Result<PoolConfig> config_from_file(const std::string& path) {
  const Result<std::string> text = read_whole_file(path, kFileBytesMax);
  if (text) return config_from_text(*text, path, true);
  return errno_error(Step::kReadFile, path, text.error().errnum,
                     "give the path of a readable TOML file");
}

}  // namespace hatchery
