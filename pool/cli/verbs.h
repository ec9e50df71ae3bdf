// The verbs of the command line. Each function registers one subcommand with its options, help and
// callback, which runs the verb and stores its status in the invocation. `app` and `invocation`
// outlive the parse.
#pragma once

#include "pool/cli/command.h"
#include "pool/cli/parser.h"

namespace hatchery::cli {

/// `hatchery run`: one job in the foreground.
void add_run_verb(CLI::App& app, Invocation& invocation);
/// `hatchery batch`: JSON lines in, JSON lines out.
void add_batch_verb(CLI::App& app, Invocation& invocation);
/// `hatchery judge`: a problem package. Implemented in pool/cli/judge/.
void add_judge_verb(CLI::App& app, Invocation& invocation);
/// `hatchery doctor`: what this host gives.
void add_doctor_verb(CLI::App& app, Invocation& invocation);
/// `hatchery bench`: the benchmarks, which are a program of their own.
void add_bench_verb(CLI::App& app, Invocation& invocation);

/// Of hatchery-serve:
/// `hatchery serve`: the pool behind HTTP and WebSocket; the server itself is pool/server/.
void add_serve_verb(CLI::App& app, Invocation& invocation);
/// `hatchery config check`: what `serve` would say of its file.
void add_config_verb(CLI::App& app, Invocation& invocation);
inline constexpr const char* kServeSummary = "Runs jobs for clients of HTTP and WebSocket";
inline constexpr const char* kConfigSummary = "Checks a server's configuration file";

}  // namespace hatchery::cli
