// Groups of options that several verbs have: which profile, changes to it, and limits.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "pool/cli/parser.h"
#include "pool/config.h"

namespace hatchery::cli {

/// Values of the options of add_pool_options().
struct PoolOptions {
  std::string profile_file = {};  ///< "" for the built-in profile.
  std::optional<std::uint32_t> slots = {};
  std::string root_directory = {};
  std::vector<std::string> binds = {};  ///< SRC[:DEST[:rw]]
  std::string network = {};             ///< "none", "host" or "" for the profile's.
  std::string seccomp_policy = {};
  std::string refused_call = {};  ///< "errno", "kill" or "" for the profile's.
};

/// --profile, --root, --bind, --network, --seccomp and --refused-call; `options` outlives the
/// parse.
void add_pool_options(CLI::App& verb, PoolOptions& options);
/// --slots, for verbs that run many jobs.
void add_slots_option(CLI::App& verb, PoolOptions& options);
/// One option for each field of Limits: --cpu-time, --memory, ….
void add_limit_options(CLI::App& verb, Limits& limits);

/// Reads the profile file (or takes the built-in profile), applies the options to every profile and
/// validates the result.
Result<PoolConfig> pool_config(const PoolOptions& options);

/// The profile of that name, or the first for "".
Result<const Profile*> find_profile(const PoolConfig& config, const std::string& name);

/// Sets one limit from what a user typed; the error has detail and remedy.
Result<void> set_limit(Limits& limits, std::string_view key, const std::string& text);

/// "SRC[:DEST[:rw]]" as a bind mount; SRC is made absolute and must exist.
Result<BindMount> parse_bind(const std::string& text);

}  // namespace hatchery::cli
