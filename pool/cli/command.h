// What the programs of the command line have in common: the verb that is named gets its arguments.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pool/cli/parser.h"

namespace hatchery::cli {

/// A start of the command.
struct Invocation {
  std::vector<std::string> args;     ///< From the verb on.
  std::vector<std::string> command;  ///< Of `run`: what stands after "--", untouched by the parser.
  int exit_status = 0;               ///< What the verb ended with, one of exit_status.h.
};

struct Verb {
  std::string_view name;
  void (*add)(CLI::App& app, Invocation& invocation) = nullptr;
  /// Instead, of one that another program of ours has, which gets the command line as it is.
  const char* program = nullptr;
  const char* summary = nullptr;
};

/// All that main() does. Returns the exit status.
int command_main(int argc, char** argv, std::span<const Verb> verbs) noexcept;

}  // namespace hatchery::cli
