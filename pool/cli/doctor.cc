// `hatchery doctor`: what this host gives, what is missing, what follows, what to do.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstdlib>
#include <memory>

#include "core/user_namespace.h"
#include "pool/cli/common.h"
#include "pool/cli/exit_status.h"
#include "pool/cli/verbs.h"
#include "pool/config.h"
#include "pool/host_probe.h"
#include "pool/utf8.h"

namespace hatchery::cli {
namespace {

struct DoctorOptions {
  bool json = false;
  bool print_config = false;
};

struct Mark {
  const char* text;
  const char* colour;
};

Mark mark_of(const HostFeature& feature) {
  if (feature.present) return {"ok", "\x1b[32m"};
  switch (feature.need) {
    case FeatureNeed::kRequired: return {"MISSING", "\x1b[1;31m"};
    case FeatureNeed::kWanted: return {"missing", "\x1b[33m"};
    case FeatureNeed::kInteresting: return {"note", "\x1b[36m"};
  }
  HATCHERY_UNREACHABLE();
}

std::string feature_text(const HostFeature& feature, std::size_t name_width, bool colour) {
  const Mark mark = mark_of(feature);
  const std::string padded = fmt::format("{:<8}", mark.text);
  std::string text =
      fmt::format("  {}{:<{}}  {}\n", colour ? mark.colour + padded + "\x1b[0m" : padded,
                  feature.name, name_width, feature.value);
  if (feature.present) return text;
  if (!feature.consequence.empty()) {
    text += fmt::format("  {:<8}  so: {}\n", "", feature.consequence);
  }
  if (!feature.remedy.empty()) text += fmt::format("  {:<8}  do: {}\n", "", feature.remedy);
  return text;
}

std::string conclusion(const std::vector<HostFeatureGroup>& groups) {
  std::size_t required = 0;
  std::size_t wanted = 0;
  for (const HostFeatureGroup& group : groups) {
    for (const HostFeature& feature : group.features) {
      if (feature.present) continue;
      if (feature.need == FeatureNeed::kRequired) ++required;
      if (feature.need == FeatureNeed::kWanted) ++wanted;
    }
  }
  if (required > 0) {
    return fmt::format("This host can't run jobs: {} required missing, {} wanted missing.\n",
                       required, wanted);
  }
  return wanted > 0 ? fmt::format("This host can run jobs; {} wanted missing.\n", wanted)
                    : "This host can run jobs.\n";
}

std::string doctor_text(const std::vector<HostFeatureGroup>& groups, bool colour) {
  std::size_t name_width = 0;
  for (const HostFeatureGroup& group : groups) {
    for (const HostFeature& feature : group.features) {
      name_width = std::max(name_width, feature.name.size());
    }
  }
  std::string text;
  for (const HostFeatureGroup& group : groups) {
    text += group.name + "\n";
    for (const HostFeature& feature : group.features) {
      text += feature_text(feature, name_width, colour);
    }
  }
  return text + "\n" + conclusion(groups);
}

std::string doctor_json(const std::vector<HostFeatureGroup>& groups) {
  boost::json::array features;
  for (const HostFeatureGroup& group : groups) {
    for (const HostFeature& feature : group.features) {
      features.push_back({{"group", group.name},
                          {"name", feature.name},
                          {"need", feature_need_name(feature.need)},
                          {"present", feature.present},
                          {"value", utf8_or_replaced(feature.value)},
                          {"consequence", feature.consequence},
                          {"remedy", feature.remedy}});
    }
  }
  const boost::json::object result = {{"ok", host_suffices(groups)}, {"features", features}};
  return boost::json::serialize(result) + "\n";
}

int doctor_verb(const DoctorOptions& options) {
  if (options.print_config) return print_result(config_to_toml(PoolConfig{}), kExitSuccess);
  // Whatever hinders it is in the answer.
  static_cast<void>(enter_user_namespace().has_value());
  const std::vector<HostFeatureGroup> groups = probe_host();
  const int status = host_suffices(groups) ? kExitSuccess : kExitFailure;
  if (options.json) return print_result(doctor_json(groups), status);
  // NOLINTNEXTLINE(concurrency-mt-unsafe): one thread.
  const bool colour = ::isatty(STDOUT_FILENO) == 1 && ::getenv("NO_COLOR") == nullptr;
  return print_result(doctor_text(groups, colour), status);
}

constexpr const char* kDoctorExamples =
    "Examples:\n"
    "  hatchery doctor\n"
    "  hatchery doctor --json | jq '.features[] | select(.present | not)'\n"
    "  hatchery doctor --print-config > pool.toml\n"
    "\n"
    "Exit status: 0 when nothing required is missing, else 1.";

}  // namespace

void add_doctor_verb(CLI::App& app, Invocation& invocation) {
  CLI::App* verb = app.add_subcommand("doctor", "Says what this host gives, lacks, and needs");
  const auto options = std::make_shared<DoctorOptions>();
  verb->footer(kDoctorExamples);
  verb->add_flag("--json", options->json, "One JSON object on stdout");
  verb->add_flag("--print-config", options->print_config,
                 "Prints the default pool file with its profile, commented, and checks nothing");
  verb->callback([options, &invocation] { invocation.exit_status = doctor_verb(*options); });
}

}  // namespace hatchery::cli
