// The verbs of the `hatchery` command. Each function registers one subcommand with its options,
// help and callback; main.cc calls them all. The callback runs the verb and stores the status that
// main returns, one of exit_status.h. `app` and `exit_status` outlive the parse.
#pragma once

#include <string>
#include <vector>

#include "pool/cli/parser.h"

namespace hatchery::cli {

/// `hatchery run`: one job in the foreground. `command` is what stands after "--", untouched by the
/// parser.
void add_run_verb(CLI::App& app, const std::vector<std::string>& command, int& exit_status);
/// `hatchery batch`: JSON lines in, JSON lines out.
void add_batch_verb(CLI::App& app, int& exit_status);
/// `hatchery judge`: a problem package. Implemented in pool/cli/judge/.
void add_judge_verb(CLI::App& app, int& exit_status);
/// `hatchery serve`: the pool behind HTTP and WebSocket; the server itself is pool/server/.
void add_serve_verb(CLI::App& app, int& exit_status);
/// `hatchery config check`: what `serve` would say of its file.
void add_config_verb(CLI::App& app, int& exit_status);
/// `hatchery doctor`: what this host gives.
void add_doctor_verb(CLI::App& app, int& exit_status);
/// `hatchery bench`: the benchmarks, which are a program of their own.
void add_bench_verb(CLI::App& app, int& exit_status);

}  // namespace hatchery::cli
