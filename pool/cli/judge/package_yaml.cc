#include "pool/cli/judge/package_yaml.h"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <exception>

#include "pool/nearest_name.h"

namespace hatchery::judge {
namespace {

/// Of the original format and its successors; those that judging doesn't need are only known.
const std::vector<std::string_view> kProblemKeys = {"name",
                                                    "uuid",
                                                    "version",
                                                    "type",
                                                    "author",
                                                    "credits",
                                                    "source",
                                                    "source_url",
                                                    "license",
                                                    "rights_owner",
                                                    "embargo_until",
                                                    "limits",
                                                    "validation",
                                                    "validator_flags",
                                                    "keywords",
                                                    "grading",
                                                    "scoring",
                                                    "languages",
                                                    "libraries",
                                                    "constants",
                                                    "allow_file_writing",
                                                    "problem_format_version"};

const std::vector<std::string_view> kLimitKeys = {"time_limit",
                                                  "time_multiplier",
                                                  "time_multipliers",
                                                  "time_safety_margin",
                                                  "time_resolution",
                                                  "memory",
                                                  "output",
                                                  "code",
                                                  "compilation_time",
                                                  "compilation_memory",
                                                  "validation_time",
                                                  "validation_memory",
                                                  "validation_output",
                                                  "validation_passes"};

constexpr double kMibMax = 1U << 24U;
constexpr double kSecondsMax = 86'400;

std::optional<double> number(std::string_view text) {
  double value = 0;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, value);
  if (text.empty() || parsed.ec != std::errc() || parsed.ptr != end) return std::nullopt;
  return value;
}

std::vector<std::string> words(const std::string& text) {
  std::vector<std::string> found;
  constexpr const char* kBlank = " \t\r\n";
  std::size_t start = text.find_first_not_of(kBlank);
  while (start != std::string::npos) {
    const std::size_t end = std::min(text.find_first_of(kBlank, start), text.size());
    found.push_back(text.substr(start, end - start));
    start = text.find_first_not_of(kBlank, end);
  }
  return found;
}

/// A YAML file whose top is a map, or empty.
class File {
 public:
  File(const YAML::Node& root, std::string name) : root_(root), name_(std::move(name)) {}

  static Result<File> parse(std::string_view text, const std::string& name) {
    YAML::Node root;
    try {
      root = YAML::Load(std::string(text));
    } catch (const YAML::Exception& exception) {
      return Error{
          Step::kReadPackage,
          fmt::format("{}:{}:{}", name, exception.mark.line + 1, exception.mark.column + 1), 0,
          exception.msg, "correct the YAML"};
    } catch (const std::exception& exception) {
      return Error{Step::kReadPackage, name, 0, exception.what(), "correct the YAML"};
    }
    File file(root, name);
    if (file.root_.IsMap() || file.root_.IsNull()) return file;
    return file.error(file.root_, "", "is no map of keys and values", "give lines \"key: value\"");
  }

  const YAML::Node& root() const { return root_; }

  std::string place(const YAML::Node& node) const {
    const YAML::Mark mark = node.Mark();
    if (mark.is_null()) return name_;
    return fmt::format("{}:{}:{}", name_, mark.line + 1, mark.column + 1);
  }

  Error error(const YAML::Node& node, std::string_view key, std::string detail,
              std::string remedy) const {
    const std::string object = key.empty() ? place(node) : fmt::format("{}: {}", place(node), key);
    return Error{Step::kReadPackage, object, 0, std::move(detail), std::move(remedy)};
  }

  /// The value of a key of `map`; undefined or null when there is none. Does not use operator[],
  /// which throws for some kinds of nodes.
  static YAML::Node find(const YAML::Node& map, std::string_view key) {
    if (map.IsMap()) {
      for (const auto& entry : map) {
        if (entry.first.IsScalar() && entry.first.Scalar() == key) return entry.second;
      }
    }
    return YAML::Node();
  }

  /// A scalar, or a sequence of scalars, as words.
  Result<std::vector<std::string>> word_list(const YAML::Node& node, std::string_view key) const {
    if (node.IsNull()) return std::vector<std::string>();
    if (node.IsScalar()) return words(node.Scalar());
    if (!node.IsSequence()) return error(node, key, "is a map", "give words");
    std::vector<std::string> list;
    for (const YAML::Node& element : node) {
      if (!element.IsScalar())
        return error(element, key, "has an element that is no word", "give words");
      list.push_back(element.Scalar());
    }
    return list;
  }

 private:
  YAML::Node root_;
  std::string name_;
};

Result<void> read_seconds(const File& file, const YAML::Node& limits, const char* key,
                          std::optional<Nanoseconds>& value) {
  const YAML::Node node = File::find(limits, key);
  if (node.IsNull()) return {};
  const Result<Nanoseconds> seconds = parse_limit_seconds(node.IsScalar() ? node.Scalar() : "");
  if (!seconds) return file.error(node, key, seconds.error().detail, seconds.error().remedy);
  value = *seconds;
  return {};
}

Result<void> read_seconds(const File& file, const YAML::Node& limits, const char* key,
                          Nanoseconds& value) {
  std::optional<Nanoseconds> given;
  HATCHERY_TRY(read_seconds(file, limits, key, given));
  value = given.value_or(value);
  return {};
}

Result<void> read_mib(const File& file, const YAML::Node& limits, const char* key,
                      std::uint64_t& bytes) {
  const YAML::Node node = File::find(limits, key);
  if (node.IsNull()) return {};
  const std::string text = node.IsScalar() ? node.Scalar() : "";
  const std::optional<double> mib = number(text);
  if (!mib.has_value() || !(*mib >= 1 && *mib <= kMibMax)) {
    return file.error(node, key, quote(text) + " is no number of MiB in range",
                      fmt::format("give 1 to {}", static_cast<long>(kMibMax)));
  }
  bytes = static_cast<std::uint64_t>(std::llround(*mib * (1U << 20U)));
  return {};
}

/// A key that nobody knows is a slip more often than another tool's.
void warn_of_unknown_keys(const File& file, const YAML::Node& map, const std::string& prefix,
                          const std::vector<std::string_view>& known, ProblemYaml& problem) {
  for (const auto& entry : map) {
    const std::string key = entry.first.IsScalar() ? entry.first.Scalar() : "?";
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    problem.warnings.push_back(fmt::format("{}: {}{} is unknown and ignored; {}",
                                           file.place(entry.first), prefix, key,
                                           suggest_name(key, known)));
  }
}

Result<void> read_limits(const File& file, ProblemYaml& problem) {
  const YAML::Node limits = File::find(file.root(), "limits");
  if (limits.IsNull()) return {};
  if (!limits.IsMap())
    return file.error(limits, "limits", "is no map", "give \"memory: 512\" lines");
  warn_of_unknown_keys(file, limits, "limits.", kLimitKeys, problem);
  PackageLimits& into = problem.limits;
  HATCHERY_TRY(read_seconds(file, limits, "time_limit", into.time));
  HATCHERY_TRY(read_mib(file, limits, "memory", into.memory_bytes));
  HATCHERY_TRY(read_mib(file, limits, "output", into.output_bytes));
  HATCHERY_TRY(read_seconds(file, limits, "compilation_time", into.compile_time));
  HATCHERY_TRY(read_mib(file, limits, "compilation_memory", into.compile_memory_bytes));
  HATCHERY_TRY(read_seconds(file, limits, "validation_time", into.validation_time));
  HATCHERY_TRY(read_mib(file, limits, "validation_memory", into.validation_memory_bytes));
  HATCHERY_TRY(read_mib(file, limits, "validation_output", into.validation_output_bytes));
  return {};
}

/// "validation" of the original format.
Result<void> read_validation(const File& file, ProblemYaml& problem) {
  const YAML::Node node = File::find(file.root(), "validation");
  if (node.IsNull()) return {};
  const Result<std::vector<std::string>> kinds = file.word_list(node, "validation");
  if (!kinds) return kinds.error();
  const bool custom = !kinds->empty() && kinds->front() == "custom";
  if (custom && kinds->size() == 1) {
    problem.validation = Validation::kCustom;
  } else if (custom && kinds->size() == 2 && kinds->back() == "interactive") {
    problem.validation = Validation::kInteractive;
  } else if (kinds->size() == 1 && kinds->front() == "default") {
    problem.validation = Validation::kDefault;
  } else {
    return file.error(node, "validation",
                      quote(fmt::format("{}", fmt::join(*kinds, " "))) + " is not supported",
                      "give \"default\", \"custom\" or \"custom interactive\"");
  }
  return {};
}

/// "type" of the formats from 2023 on, which have no "validation".
Result<void> read_type(const File& file, ProblemYaml& problem) {
  const YAML::Node node = File::find(file.root(), "type");
  const Result<std::vector<std::string>> types = file.word_list(node, "type");
  if (!types) return types.error();
  for (const std::string& type : *types) {
    if (type == "interactive") {
      problem.validation = Validation::kInteractive;
    } else if (type != "pass-fail") {
      return file.error(node, "type", quote(type) + " is not supported",
                        "give \"pass-fail\" or \"interactive\"");
    }
  }
  return {};
}

/// A text, or a map from language to text.
std::string read_name(const File& file) {
  const YAML::Node node = File::find(file.root(), "name");
  if (node.IsScalar()) return node.Scalar();
  if (!node.IsMap()) return {};
  if (const YAML::Node english = File::find(node, "en"); english.IsScalar())
    return english.Scalar();
  for (const auto& entry : node) {
    if (entry.second.IsScalar()) return entry.second.Scalar();
  }
  return {};
}

}  // namespace

Result<ProblemYaml> read_problem_yaml(std::string_view text, const std::string& file_name) {
  Result<File> file = File::parse(text, file_name);
  if (!file) return std::move(file).error();
  ProblemYaml problem;
  problem.name = read_name(*file);
  if (file->root().IsMap()) warn_of_unknown_keys(*file, file->root(), "", kProblemKeys, problem);
  HATCHERY_TRY(read_validation(*file, problem));
  HATCHERY_TRY(read_type(*file, problem));
  Result<std::vector<std::string>> flags =
      file->word_list(File::find(file->root(), "validator_flags"), "validator_flags");
  if (!flags) return std::move(flags).error();
  problem.validator_flags = *std::move(flags);
  HATCHERY_TRY(read_limits(*file, problem));
  return problem;
}

Result<std::optional<std::vector<std::string>>> read_test_group_yaml(std::string_view text,
                                                                     const std::string& file_name) {
  const Result<File> file = File::parse(text, file_name);
  if (!file) return file.error();
  for (const char* key : {"output_validator_flags", "output_validator_args"}) {
    const YAML::Node node = File::find(file->root(), key);
    if (node.IsNull()) continue;
    Result<std::vector<std::string>> flags = file->word_list(node, key);
    if (!flags) return std::move(flags).error();
    return std::optional(*std::move(flags));
  }
  return std::optional<std::vector<std::string>>();
}

Result<Nanoseconds> parse_limit_seconds(std::string_view text) {
  const std::optional<double> seconds = number(text);
  if (!seconds.has_value() || !(*seconds >= 0.001 && *seconds <= kSecondsMax)) {
    return Error{Step::kReadPackage,
                 {},
                 0,
                 quote(text) + " is no number of seconds in range",
                 fmt::format("give 0.001 to {}", static_cast<long>(kSecondsMax))};
  }
  return Nanoseconds(std::llround(*seconds * 1e9));
}

}  // namespace hatchery::judge
