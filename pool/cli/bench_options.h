// Options of `hatchery bench`, which the verb and the program behind it both have.
#pragma once

#include <string>
#include <vector>

#include "pool/cli/parser.h"

namespace hatchery::cli {

struct BenchOptions {
  bool quick = false;
  bool list = false;
  std::string only = {};                ///< A regular expression; "" is all.
  std::string json_path = {};           ///< "" for none.
  std::string page_directory = {};      ///< "" for none.
  std::vector<std::string> peers = {};  ///< NAME=PATH
};

/// `options` outlives the parse.
void add_bench_options(CLI::App& app, BenchOptions& options);
/// The same as arguments of a command line.
std::vector<std::string> bench_arguments(const BenchOptions& options);

/// The end of its help.
extern const char* const kBenchExamples;

}  // namespace hatchery::cli
