// `hatchery judge`: reads the package, starts a pool, judges, prints.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <memory>

#include "core/user_namespace.h"
#include "pool/cli/common.h"
#include "pool/cli/exit_status.h"
#include "pool/cli/judge/judge.h"
#include "pool/cli/judge/judge_json.h"
#include "pool/cli/judge/language.h"
#include "pool/cli/judge/package.h"
#include "pool/cli/judge/table.h"
#include "pool/cli/options.h"
#include "pool/cli/run_files.h"
#include "pool/cli/verbs.h"
#include "pool/nearest_name.h"
#include "pool/pool.h"

namespace hatchery::cli {
namespace {

using judge::Judge;
using judge::LanguageList;
using judge::Package;
using judge::Table;

constexpr std::uint32_t kRunsPerSlot = 2;
constexpr std::uint32_t kRunsMax = 4'096;
/// For a package that names none: the format lets a judge choose.
constexpr Nanoseconds kTimeLimitDefault = std::chrono::seconds(10);

struct JudgeVerbOptions {
  PoolOptions pool = {};
  std::string package = {};
  std::vector<std::string> submissions = {};
  std::string languages_file = {};
  std::string json_path = {};
  std::string time_limit = {};
  std::uint32_t jobs = 0;  ///< 0: two a slot.
  bool all = false;
  bool verbose = false;
  bool list = false;
};

Result<Package> load_package(const JudgeVerbOptions& options) {
  Result<Package> package = judge::read_package(options.package);
  if (!package) return package;
  if (!options.submissions.empty()) package->submissions.clear();
  for (const std::string& path : options.submissions) {
    Result<judge::Submission> submission = judge::read_submission(path);
    if (!submission) return std::move(submission).error();
    package->submissions.push_back(*std::move(submission));
  }
  if (!options.time_limit.empty()) {
    const Result<Nanoseconds> time = judge::parse_limit_seconds(options.time_limit);
    // The option's check has accepted the text.
    HATCHERY_CHECK(time.has_value());
    package->limits.time = *time;
  }
  if (!package->limits.time.has_value()) {
    package->limits.time = kTimeLimitDefault;
    package->warnings.push_back(
        "the package names no time limit, 10 s are taken; give limits.time_limit in problem.yaml, "
        "a "
        ".timelimit file, or --time-limit");
  }
  return package;
}

Result<LanguageList> load_languages(const std::string& file) {
  LanguageList languages = LanguageList::built_in();
  if (!file.empty()) HATCHERY_TRY(languages.add_file(file));
  return languages;
}

Result<PoolConfig> load_pool_config(const JudgeVerbOptions& options, const Package& package) {
  Result<PoolConfig> config = pool_config(options.pool);
  if (!config) return config;
  Profile& profile = config->profiles.front();
  if (package.validation == judge::Validation::kInteractive && profile.slots_max < 2) {
    print_note("an interactive problem needs 2 slots at once: using 2");
    profile.slots_max = 2;
  }
  return config;
}

std::uint32_t in_flight_max(const JudgeVerbOptions& options, const PoolConfig& config) {
  const std::uint32_t per_slot = kRunsPerSlot * config.profiles.front().slots_max;
  const std::uint32_t wanted = options.jobs != 0 ? options.jobs : std::min(per_slot, kRunsMax);
  return std::max(2U, std::min(wanted, config.queue_max));
}

int list_package(const Package& package, const LanguageList& languages) {
  std::string text;
  for (const judge::TestCase& test : package.tests) {
    text += fmt::format("test        {}  ({})\n", judge::printable(test.name),
                        fmt::join(test.validator_flags, " "));
  }
  for (const judge::Submission& submission : package.submissions) {
    const judge::Language* language = languages.of_files(submission.files);
    text += fmt::format("submission  {}  {}  {}\n", judge::printable(submission.name),
                        language == nullptr ? "-" : language->name, submission.expectation.text);
  }
  return print_result(text, kExitSuccess);
}

/// Rows on stdout, a line of counters on a terminal's stderr between them.
class Screen {
 public:
  explicit Screen(const Table& table)
      : table_(table), live_(stderr_is_terminal()), start_(Clock::now()) {}

  void print(const std::string& text) {
    clear();
    if (error_ == 0) error_ = write_all(STDOUT_FILENO, text);
  }
  void on_submission(const judge::SubmissionResult& result) { print(table_.row(result)); }
  void on_progress(const judge::Progress& progress) {
    const Clock::time_point now = Clock::now();
    if (!live_ || now - shown_at_ < kPeriod) return;
    shown_at_ = now;
    const double seconds = std::chrono::duration<double>(now - start_).count();
    write_all(STDERR_FILENO,
              fmt::format("\r\x1b[K{}/{} submissions, {} jobs, {:.0f} jobs/s",
                          progress.submissions_done, progress.submissions, progress.jobs,
                          static_cast<double>(progress.jobs) / std::max(seconds, 0.001)));
    dirty_ = true;
  }
  void clear() {
    if (dirty_) write_all(STDERR_FILENO, "\r\x1b[K");
    dirty_ = false;
  }
  bool live() const noexcept { return live_; }
  /// errno of the first failed write to stdout, or 0.
  int error() const noexcept { return error_; }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds kPeriod{200};

  const Table& table_;
  const bool live_;
  const Clock::time_point start_;
  Clock::time_point shown_at_ = {};
  bool dirty_ = false;
  int error_ = 0;
};

Result<judge::Summary> judge_package(const JudgeVerbOptions& options, const Package& package,
                                     const LanguageList& languages, const Interrupts& interrupts,
                                     Screen& screen) {
  Result<PoolConfig> config = load_pool_config(options, package);
  if (!config) return std::move(config).error();
  // Before the first thread.
  HATCHERY_TRY(enter_user_namespace());
  judge::JudgeOptions judge_options;
  judge_options.all = options.all;
  judge_options.in_flight_max = in_flight_max(options, *config);
  judge_options.interrupts = &interrupts;
  judge_options.on_submission = [&](const auto& result) { screen.on_submission(result); };
  if (screen.live()) {
    judge_options.on_progress = [&](const auto& progress) { screen.on_progress(progress); };
  }
  Result<std::unique_ptr<Pool>> pool = Pool::create(*std::move(config));
  if (!pool) return std::move(pool).error();
  Judge engine(**pool, package, languages, std::move(judge_options));
  return engine.run();
}

Result<int> run_judge(const JudgeVerbOptions& options) {
  Result<LanguageList> languages = load_languages(options.languages_file);
  if (!languages) return std::move(languages).error();
  Result<Package> package = load_package(options);
  if (!package) return std::move(package).error();
  for (const std::string& warning : package->warnings) print_note(judge::printable(warning));
  if (options.list) return list_package(*package, *languages);
  if (package->submissions.empty()) {
    return Error{Step::kReadPackage, options.package + "/submissions", 0, "has no submission",
                 "give some as arguments, or put them into submissions/accepted"};
  }
  UniqueFd json_fd;
  if (!options.json_path.empty()) {
    Result<UniqueFd> created = create_host_file(options.json_path);
    if (!created) return std::move(created).error();
    json_fd = *std::move(created);
  }
  Result<Interrupts> interrupts = Interrupts::create();
  if (!interrupts) return std::move(interrupts).error();
  const Table table(*package, *languages,
                    {.verbose = options.verbose, .colour = ::isatty(STDOUT_FILENO) == 1});
  Screen screen(table);
  screen.print(table.title() + table.header());
  const Result<judge::Summary> summary =
      judge_package(options, *package, *languages, *interrupts, screen);
  screen.clear();
  if (!summary) return summary.error();
  screen.print(table.footer(*summary));
  if (json_fd.valid()) {
    const int error = write_all(json_fd.get(), judge::summary_to_json(*package, *summary));
    if (error != 0) return write_error(quote(options.json_path), error);
  }
  if (screen.error() != 0) return write_error("standard output", screen.error());
  if (summary->interrupted != 0) return kExitSignalBase + summary->interrupted;
  return summary->as_expected == summary->submissions.size() ? kExitSuccess : kExitFailure;
}

int judge_verb(const JudgeVerbOptions& options) {
  const Result<int> status = run_judge(options);
  if (status) return *status;
  print_error(status.error());
  // A validator that doesn't compile is the package's fault, not ours.
  if (status.error().step == Step::kCompileSubmission) return kExitFileError;
  return exit_status_of(status.error());
}

constexpr const char* kJudgeExamples =
    "PACKAGE is a directory in the ICPC problem package format: problem.yaml, data/sample,\n"
    "data/secret, submissions/<expected>/ and, where the problem has one, output_validators/.\n"
    "Without SUBMISSION all of submissions/ is judged. A SUBMISSION is a file or a directory; its\n"
    "verdict is expected only if it lies in submissions/<expected>/ or says @EXPECTED_RESULTS@.\n"
    "\n"
    "Verdicts: AC accepted, WA wrong answer, TLE time limit, RTE run-time error, MLE memory "
    "limit,\n"
    "OLE output limit, CE compile error, JE the package or this judge is at fault. A row with '!'\n"
    "is not as expected. Times are CPU time; the largest of all tests that ran.\n"
    "\n"
    "Examples:\n"
    "  hatchery judge deploy/samples/addition\n"
    "  hatchery judge --all --json verdicts.json path/to/problem\n"
    "  hatchery judge --verbose --time-limit 2 path/to/problem my_solution.cc\n"
    "\n"
    "Exit status: 0 when every verdict is as expected, 1 when one is not (JE never is); 245 when\n"
    "the package can't be read, has nothing to judge, or its validator doesn't compile; 248 wrong\n"
    "usage, profile or languages; 249 this host can't run jobs; 130 after Ctrl-C, with what is\n"
    "known until then.";

std::string check_seconds(const std::string& text) {
  const Result<Nanoseconds> time = judge::parse_limit_seconds(text);
  return time ? std::string() : value_error_text(time.error());
}

void add_judge_options(CLI::App& verb, JudgeVerbOptions& options) {
  verb.add_option("PACKAGE", options.package, "Directory of the problem package")->required();
  verb.add_option("SUBMISSION", options.submissions, "Judges these instead of the package's own");
  verb.add_flag("--all", options.all, "Runs every test even when the verdict is known");
  verb.add_flag("-v,--verbose", options.verbose, "A row for each test, and compiler messages");
  verb.add_flag("--list", options.list, "Lists tests and submissions, and runs nothing");
  verb.add_option("--json", options.json_path, "Writes all results to a file")->type_name("FILE");
  verb.add_option("--languages", options.languages_file,
                  "TOML file with languages, in addition to the built-in ones or instead of them")
      ->type_name("FILE");
  verb.add_option("--time-limit", options.time_limit,
                  "CPU seconds of a test, instead of the package's")
      ->check(check_seconds)
      ->type_name("S");
  verb.add_option("--jobs", options.jobs, "Jobs submitted at once; default: two a slot")
      ->check(CLI::Range(1U, kRunsMax))
      ->type_name("N");
  add_pool_options(verb, options.pool);
  add_slots_option(verb, options.pool);
}

}  // namespace

void add_judge_verb(CLI::App& app, Invocation& invocation) {
  CLI::App* verb = app.add_subcommand("judge", "Judges the submissions of a problem package");
  const auto options = std::make_shared<JudgeVerbOptions>();
  verb->footer(kJudgeExamples);
  add_judge_options(*verb, *options);
  verb->callback([options, &invocation] { invocation.exit_status = judge_verb(*options); });
}

}  // namespace hatchery::cli
