// The `hatchery` command: one subcommand a verb. Parses the command line, runs the verb's callback,
// turns what the parser throws into messages and statuses.
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <functional>
#include <iterator>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "pool/cli/common.h"
#include "pool/cli/exit_status.h"
#include "pool/cli/parser.h"
#include "pool/cli/verbs.h"
#include "pool/nearest_name.h"

#ifndef HATCHERY_VERSION
#error "HATCHERY_VERSION must be defined as the project's version, a string"
#endif

namespace hatchery::cli {
namespace {

constexpr const char* kFooter =
    "Examples:\n"
    "  hatchery doctor\n"
    "  hatchery run --cpu-time 1s --memory 64MiB -- ./program\n"
    "  hatchery batch jobs.jsonl > reports.jsonl\n"
    "  hatchery judge deploy/samples/addition\n"
    "  hatchery serve\n"
    "\n"
    "`hatchery VERB --help` says more about a verb.";

/// The parser's own help, with what it can't know: that `run` takes a command.
class HelpFormatter : public CLI::Formatter {
 public:
  std::string make_usage(const CLI::App* app, std::string name) const override {
    std::string usage = CLI::Formatter::make_usage(app, std::move(name));
    if (app->get_name() != "run") return usage;
    while (!usage.empty() && usage.back() == '\n') usage.pop_back();
    return usage + " -- CMD [ARG...]\n\n";
  }
};

/// What stands after the first "--" of `hatchery run … -- CMD ARG…` is the job's and never seen by
/// the parser, which would find options, lists and subcommands in it.
struct CommandLine {
  std::vector<std::string> args;
  std::vector<std::string> command;
};

CommandLine split_command_line(int argc, char** argv) {
  CommandLine line;
  const std::string_view verb = argc > 1 ? argv[1] : "";
  int index = 1;
  for (; index < argc; ++index) {
    std::string argument = argv[index];
    if (verb == "run" && argument == "--") break;
    // go-judge writes -http-addr for --http-addr.
    if (verb == "serve" && argument.size() > 2 && argument[0] == '-' && argument[1] != '-')
      argument.insert(0, 1, '-');
    line.args.push_back(std::move(argument));
  }
  for (++index; index < argc; ++index) line.command.emplace_back(argv[index]);
  return line;
}

/// All messages go to stderr as "hatchery: …"; stdout belongs to results.
void set_up_messages() {
  auto sink = std::make_shared<spdlog::sinks::stderr_color_sink_mt>();
  auto logger = std::make_shared<spdlog::logger>("hatchery", std::move(sink));
  logger->set_pattern("%^hatchery%$: %v");
  spdlog::set_default_logger(std::move(logger));
}

/// The verb that the parser was in when it gave up, or the command itself.
const CLI::App& parsed_verb(const CLI::App& app) {
  const std::vector<CLI::App*> verbs = app.get_subcommands();
  return verbs.empty() ? app : *verbs.front();
}

int explain_extras(const CLI::App& app) {
  const CLI::App& verb = parsed_verb(app);
  std::vector<std::string> extras = verb.remaining();
  if (extras.empty()) extras = app.remaining();
  const std::string first = extras.empty() ? "" : extras.front();
  if (&verb != &app || first.rfind('-', 0) == 0) {
    print_error(unknown_argument_text(verb, first));
    return kExitUsage;
  }
  std::vector<std::string> names;
  for (const CLI::App* known : app.get_subcommands({})) names.push_back(known->get_name());
  const std::vector<std::string_view> known(names.begin(), names.end());
  const std::string what = first.empty() ? "no verb" : "unknown verb " + quote(first);
  print_error(what + "; " + suggest_name(first, known) + "; see hatchery --help");
  return kExitUsage;
}

/// Help and version end well; all else is wrong usage.
int explain(const CLI::App& app, const CLI::ParseError& error) {
  if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) {
    std::ostringstream text;
    app.exit(error, text, text);
    return print_result(text.str(), kExitSuccess);
  }
  const CLI::App& verb = parsed_verb(app);
  const bool no_verb = &verb == &app && dynamic_cast<const CLI::RequiredError*>(&error) != nullptr;
  if (no_verb || dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) {
    return explain_extras(app);
  }
  print_error(std::string(error.what()) + "; see hatchery " +
              (&verb == &app ? "" : verb.get_name() + " ") + "--help");
  return kExitUsage;
}

/// Only the verb that the command line begins with, if there is one: the options of all others take
/// the parser longer than a job takes.
void add_verbs(CLI::App& app, CommandLine& line, int& exit_status) {
  struct Verb {
    std::string_view name;
    std::function<void(CLI::App& app, int& exit_status)> add;
  };
  const auto add_run = [&line](CLI::App& run_app, int& run_status) {
    add_run_verb(run_app, line.command, run_status);
  };
  const Verb verbs[] = {
      {"run", add_run},          {"batch", add_batch_verb},   {"judge", add_judge_verb},
      {"serve", add_serve_verb}, {"config", add_config_verb}, {"doctor", add_doctor_verb},
      {"bench", add_bench_verb}};
  const std::string_view first = line.args.empty() ? "" : std::string_view(line.args.front());
  const Verb* const named = std::ranges::find(verbs, first, &Verb::name);
  for (const Verb& verb : verbs)
    if (named == std::end(verbs) || named == &verb) verb.add(app, exit_status);
}

int run_command(int argc, char** argv) {
  int exit_status = kExitSuccess;
  CommandLine line = split_command_line(argc, argv);
  CLI::App app("Hatchery runs untrusted programs in a pool of prepared sandboxes.", "hatchery");
  app.formatter(std::make_shared<HelpFormatter>());
  app.set_version_flag("--version", std::string("hatchery ") + HATCHERY_VERSION);
  app.require_subcommand(1);
  app.footer(kFooter);
  add_verbs(app, line, exit_status);
  // The parser takes its arguments from the back.
  std::vector<std::string> args(line.args.rbegin(), line.args.rend());
  try {
    app.parse(std::move(args));
  } catch (const CLI::ParseError& error) {
    return explain(app, error);
  }
  return exit_status;
}

}  // namespace
}  // namespace hatchery::cli

int main(int argc, char** argv) {
  // A closed pipe is an error of write(2), with a message, and not a silent death.
  ::signal(SIGPIPE, SIG_IGN);
  if (hatchery::cli::hold_standard_streams() != 0) return hatchery::cli::kExitHost;
  try {
    hatchery::cli::set_up_messages();
    return hatchery::cli::run_command(argc, argv);
  } catch (const std::exception& exception) {
    // Memory ran out, or a library met what it can't handle: the pool's jobs die with this process.
    ::dprintf(STDERR_FILENO, "hatchery: internal error: %s\n", exception.what());
    return hatchery::cli::kExitInternalError;
  }
}
