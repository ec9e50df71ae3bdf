// hatchery-serve, the program behind `hatchery serve` and `hatchery config`.
#include "pool/cli/command.h"
#include "pool/cli/verbs.h"

namespace {

constexpr hatchery::cli::Verb kVerbs[] = {{"serve", hatchery::cli::add_serve_verb},
                                          {"config", hatchery::cli::add_config_verb}};

}  // namespace

int main(int argc, char** argv) { return hatchery::cli::command_main(argc, argv, kVerbs); }
