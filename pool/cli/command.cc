// Parses a command line, runs the verb's callback, turns what the parser throws into messages and
// statuses.
#include "pool/cli/command.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <memory>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "pool/cli/common.h"
#include "pool/cli/exit_status.h"
#include "pool/cli/parser.h"
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
Invocation split_command_line(int argc, char** argv) {
  Invocation invocation;
  const std::string_view verb = argc > 1 ? argv[1] : "";
  int index = 1;
  for (; index < argc; ++index) {
    std::string argument = argv[index];
    if (verb == "run" && argument == "--") break;
    // go-judge writes -http-addr for --http-addr.
    if (verb == "serve" && argument.size() > 2 && argument[0] == '-' && argument[1] != '-')
      argument.insert(0, 1, '-');
    invocation.args.push_back(std::move(argument));
  }
  for (++index; index < argc; ++index) invocation.command.emplace_back(argv[index]);
  return invocation;
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

int run_command(int argc, char** argv, std::span<const Verb> verbs) {
  Invocation invocation = split_command_line(argc, argv);
  const std::string_view first = argc > 1 ? argv[1] : "";
  const auto named = std::ranges::find(verbs, first, &Verb::name);
  if (named != verbs.end() && named->program != nullptr)
    return become(named->program, argv, "build and install all of Hatchery");
  CLI::App app("Hatchery runs untrusted programs in a pool of prepared sandboxes.", "hatchery");
  app.formatter(std::make_shared<HelpFormatter>());
  app.set_version_flag("--version", std::string("hatchery ") + HATCHERY_VERSION);
  app.require_subcommand(1);
  app.footer(kFooter);
  // Only the one that is named, if one is: the options of all others take the parser longer than a
  // job takes.
  if (named != verbs.end())
    named->add(app, invocation);
  else
    for (const Verb& verb : verbs)
      if (verb.program == nullptr)
        verb.add(app, invocation);
      else
        app.add_subcommand(std::string(verb.name), verb.summary);
  // The parser takes its arguments from the back.
  std::vector<std::string> args(invocation.args.rbegin(), invocation.args.rend());
  try {
    app.parse(std::move(args));
  } catch (const CLI::ParseError& error) {
    return explain(app, error);
  }
  return invocation.exit_status;
}

}  // namespace

int command_main(int argc, char** argv, std::span<const Verb> verbs) noexcept {
  // A closed pipe is an error of write(2), with a message, and not a silent death.
  ::signal(SIGPIPE, SIG_IGN);
  if (hold_standard_streams() != 0) return kExitHost;
  try {
    set_up_messages();
    return run_command(argc, argv, verbs);
  } catch (const std::exception& exception) {
    // Memory ran out, or a library met what it can't handle: the pool's jobs die with this process.
    ::dprintf(STDERR_FILENO, "hatchery: internal error: %s\n", exception.what());
    return kExitInternalError;
  }
}

}  // namespace hatchery::cli
