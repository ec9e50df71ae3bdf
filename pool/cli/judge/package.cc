#include "pool/cli/judge/package.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/files.h"
#include "pool/cli/judge/tree.h"
#include "pool/nearest_name.h"

namespace hatchery::judge {
namespace {

constexpr std::size_t kYamlBytesMax = 1U << 20U;

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

std::string_view unquoted(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n'\"";
  const std::size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

/// read_whole_file() with our step.
Result<std::string> read_text(const std::string& path) {
  Result<std::string> text = read_whole_file(path, kYamlBytesMax);
  if (text) return text;
  Error error = std::move(text).error();
  error.step = Step::kReadPackage;
  error.object = path;
  return error;
}

/// Walks the test data; remembers the flags that hold in each directory.
class TestReader {
 public:
  TestReader(const ProblemYaml& problem, Package& package) : problem_(problem), package_(package) {}

  Result<void> read_all() {
    const std::string data = package_.directory + "/data";
    std::vector<std::string> flags;
    HATCHERY_TRY(read_flags(data, flags));
    for (const char* part : {"sample", "secret"}) {
      const std::string path = data + "/" + part;
      if (is_directory(path)) HATCHERY_TRY(read_group(path, part, flags, 0));
    }
    if (!package_.tests.empty()) return {};
    return Error{Step::kReadPackage, data, 0, "has no test",
                 "put pairs of NAME.in and NAME.ans into data/secret"};
  }

 private:
  /// Replaces `flags` when the directory has its own.
  Result<void> read_flags(const std::string& directory, std::vector<std::string>& flags) {
    for (const char* name : {"/testdata.yaml", "/test_group.yaml"}) {
      const std::string path = directory + name;
      if (!is_file(path)) continue;
      const Result<std::string> text = read_text(path);
      if (!text) return text.error();
      const auto read = read_test_group_yaml(*text, path);
      if (!read) return read.error();
      if (read->has_value()) flags = **read;
      if (read->has_value()) flags_file_ = path;
    }
    return {};
  }

  Result<void> read_group(const std::string& path, const std::string& name,
                          std::vector<std::string> flags, unsigned depth) {
    if (depth > kDepthMax) {
      return Error{Step::kReadPackage, path, 0, "is too deep",
                   fmt::format("keep test groups within {} directories", kDepthMax)};
    }
    const std::string outer_flags_file = flags_file_;
    HATCHERY_TRY(read_flags(path, flags));
    const Result<std::vector<Entry>> entries = list_directory(path);
    if (!entries) return entries.error();
    const Result<ValidatorOptions> options = options_of(flags);
    if (!options) return options.error();
    for (const Entry& entry : *entries) {
      if (entry.directory) {
        HATCHERY_TRY(read_group(entry.path, name + "/" + entry.name, flags, depth + 1));
      } else if (ends_with(entry.name, ".in")) {
        HATCHERY_TRY(add_test(entry, name, flags, *options));
      } else if (ends_with(entry.name, ".ans")) {
        warn_of_lone_answer(entry);
      }
    }
    flags_file_ = outer_flags_file;
    return {};
  }

  /// problem.yaml's flags, then the group's, as Kattis gives them.
  std::vector<std::string> all_flags(const std::vector<std::string>& flags) const {
    std::vector<std::string> all = problem_.validator_flags;
    all.insert(all.end(), flags.begin(), flags.end());
    return all;
  }

  Result<ValidatorOptions> options_of(const std::vector<std::string>& flags) const {
    if (package_.validation != Validation::kDefault) return ValidatorOptions{};
    Result<ValidatorOptions> options = parse_validator_flags(all_flags(flags));
    if (options) return options;
    Error error = std::move(options).error();
    error.object = flags_file_.empty() ? package_.directory + "/problem.yaml: validator_flags"
                                       : flags_file_ + ": output_validator_flags";
    return error;
  }

  Result<void> add_test(const Entry& entry, const std::string& group,
                        const std::vector<std::string>& flags, const ValidatorOptions& options) {
    if (package_.tests.size() == kTestsMax) {
      return Error{Step::kReadPackage, entry.path, 0, "is one test too many",
                   fmt::format("keep a package within {} tests", kTestsMax)};
    }
    const std::string stem = entry.name.substr(0, entry.name.size() - 3);
    TestCase test;
    test.name = group + "/" + stem;
    test.input_path = entry.path;
    test.input_bytes = entry.size;
    test.answer_path = entry.path.substr(0, entry.path.size() - 3) + ".ans";
    test.validator_flags = all_flags(flags);
    test.options = options;
    if (!is_file(test.answer_path)) {
      if (package_.validation != Validation::kInteractive) {
        return Error{Step::kReadPackage, test.answer_path, 0, "is missing",
                     "give each " + entry.name + " its answer"};
      }
      test.answer_path.clear();
    }
    package_.tests.push_back(std::move(test));
    return {};
  }

  void warn_of_lone_answer(const Entry& entry) {
    const std::string input = entry.path.substr(0, entry.path.size() - 4) + ".in";
    if (is_file(input)) return;
    package_.warnings.push_back(entry.path + " has no .in file and is ignored");
  }

  const ProblemYaml& problem_;
  Package& package_;
  /// The testdata.yaml whose flags hold; "" for none.
  std::string flags_file_;
};

/// The program of output_validators/ (or output_validator/): a file or a directory.
Result<void> read_validator(Package& package) {
  const std::string successor = package.directory + "/output_validator";
  if (is_directory(successor)) {
    Result<std::vector<SourceFile>> files = read_sources(successor);
    if (!files) return std::move(files).error();
    package.validator_files = *std::move(files);
    return {};
  }
  const std::string directory = package.directory + "/output_validators";
  const Result<std::vector<Entry>> entries =
      is_directory(directory) ? list_directory(directory) : std::vector<Entry>();
  if (!entries) return entries.error();
  if (entries->size() != 1) {
    return Error{Step::kReadPackage, directory, 0,
                 entries->empty() ? "has no validator" : "has more than one validator",
                 "put one source file, or one directory of sources, into output_validators"};
  }
  Result<std::vector<SourceFile>> files = read_sources(entries->front().path);
  if (!files) return std::move(files).error();
  package.validator_files = *std::move(files);
  return {};
}

/// The time limit where problem.yaml has none.
Result<void> read_time_limit(Package& package) {
  if (package.limits.time.has_value()) {
    package.time_limit_source = "problem.yaml";
    return {};
  }
  struct Source {
    const char* name;
    const char* key;  ///< "" where the file is just the number.
  };
  for (const Source& source :
       {Source{".timelimit", ""}, Source{"domjudge-problem.ini", "timelimit"}}) {
    const std::string path = package.directory + "/" + source.name;
    if (!is_file(path)) continue;
    const Result<std::string> text = read_text(path);
    if (!text) return text.error();
    std::string_view value = *text;
    const std::string_view key = source.key;
    if (!key.empty()) {
      const std::size_t found = value.find(key);
      const std::size_t equals =
          value.find('=', found == std::string_view::npos ? value.size() : found);
      if (equals == std::string_view::npos) continue;
      value = value.substr(equals + 1);
      value = value.substr(0, value.find('\n'));
    }
    const Result<Nanoseconds> time = parse_limit_seconds(unquoted(value));
    if (!time) return Error{Step::kReadPackage, path, 0, time.error().detail, time.error().remedy};
    package.limits.time = *time;
    package.time_limit_source = source.name;
    return {};
  }
  return {};
}

bool is_note(const std::string& name) {
  return name.rfind("README", 0) == 0 || ends_with(name, ".md") || ends_with(name, ".txt") ||
         ends_with(name, ".yaml");
}

/// The expectation that the sources name, else that of the directory.
Result<void> set_expectation(Submission& submission, const std::optional<Expectation>& directory) {
  submission.expectation = directory.value_or(Expectation{});
  for (const SourceFile& file : submission.files) {
    const std::string where =
        submission.path + (submission.files.size() == 1 ? "" : "/" + file.name);
    const Result<std::optional<Expectation>> named = expectation_in_source(file.bytes, where);
    if (!named) return named.error();
    if (!named->has_value()) continue;
    submission.expectation = **named;
    return {};
  }
  return {};
}

Result<void> read_submission_directory(const Entry& directory, Package& package) {
  const std::optional<Expectation> expectation = expectation_of_directory(directory.name);
  if (!expectation.has_value()) {
    package.warnings.push_back(
        fmt::format("{} names no verdict: its submissions are judged without "
                    "an expectation; known: {}",
                    directory.path, expected_directory_names()));
  }
  const Result<std::vector<Entry>> entries = list_directory(directory.path);
  if (!entries) return entries.error();
  for (const Entry& entry : *entries) {
    if (!entry.directory && is_note(entry.name)) continue;
    if (package.submissions.size() == kSubmissionsMax) {
      return Error{Step::kReadPackage, entry.path, 0, "is one submission too many",
                   fmt::format("keep a package within {} submissions", kSubmissionsMax)};
    }
    Submission submission;
    submission.name = directory.name + "/" + entry.name;
    submission.path = entry.path;
    Result<std::vector<SourceFile>> files = read_sources(entry.path);
    if (!files) return std::move(files).error();
    submission.files = *std::move(files);
    HATCHERY_TRY(set_expectation(submission, expectation));
    package.submissions.push_back(std::move(submission));
  }
  return {};
}

Result<void> read_submissions(Package& package) {
  const std::string path = package.directory + "/submissions";
  if (!is_directory(path)) return {};
  const Result<std::vector<Entry>> directories = list_directory(path);
  if (!directories) return directories.error();
  for (const Entry& directory : *directories) {
    if (directory.directory) {
      HATCHERY_TRY(read_submission_directory(directory, package));
    } else if (!is_note(directory.name)) {
      package.warnings.push_back(
          fmt::format("{} is ignored: put it into a directory of its expected verdict, {}",
                      directory.path, expected_directory_names()));
    }
  }
  return {};
}

}  // namespace

Result<Package> read_package(const std::string& directory) {
  Package package;
  package.directory = directory;
  while (package.directory.size() > 1 && package.directory.back() == '/')
    package.directory.pop_back();
  const std::string yaml_path = package.directory + "/problem.yaml";
  Result<std::string> text = read_text(yaml_path);
  if (!text) {
    Error error = std::move(text).error();
    error.remedy = "give a directory with problem.yaml, data/ and submissions/";
    return error;
  }
  Result<ProblemYaml> problem = read_problem_yaml(*text, yaml_path);
  if (!problem) return std::move(problem).error();
  package.name = problem->name.empty() ? base_name(package.directory) : problem->name;
  package.limits = problem->limits;
  package.warnings = problem->warnings;
  const bool has_validator = is_directory(package.directory + "/output_validator");
  package.validation =
      problem->validation.value_or(has_validator ? Validation::kCustom : Validation::kDefault);
  HATCHERY_TRY(read_time_limit(package));
  HATCHERY_TRY(TestReader(*problem, package).read_all());
  if (package.validation != Validation::kDefault) HATCHERY_TRY(read_validator(package));
  HATCHERY_TRY(read_submissions(package));
  return package;
}

Result<Submission> read_submission(const std::string& path) {
  Submission submission;
  submission.path = path;
  submission.name = path;
  Result<std::vector<SourceFile>> files = read_sources(path);
  if (!files) {
    Error error = std::move(files).error();
    error.step = Step::kReadPackage;
    error.object = path;
    error.remedy = "a submission is a source file or a directory of them";
    return error;
  }
  submission.files = *std::move(files);
  const std::string directory = parent_path(path);
  std::optional<Expectation> expectation;
  if (base_name(parent_path(directory)) == "submissions") {
    expectation = expectation_of_directory(base_name(directory));
  }
  HATCHERY_TRY(set_expectation(submission, expectation));
  return submission;
}

}  // namespace hatchery::judge
