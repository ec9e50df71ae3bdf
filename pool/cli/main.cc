// The `hatchery` command. `serve` and `config` are another program's, and so are the libraries that
// only these need: loading them would take longer than a job does.
#include "pool/cli/command.h"
#include "pool/cli/verbs.h"

namespace {

constexpr hatchery::cli::Verb kVerbs[] = {
    {"run", hatchery::cli::add_run_verb},
    {"batch", hatchery::cli::add_batch_verb},
    {"judge", hatchery::cli::add_judge_verb},
    {"serve", nullptr, "hatchery-serve", hatchery::cli::kServeSummary},
    {"config", nullptr, "hatchery-serve", hatchery::cli::kConfigSummary},
    {"doctor", hatchery::cli::add_doctor_verb},
    {"bench", hatchery::cli::add_bench_verb}};

}  // namespace

int main(int argc, char** argv) { return hatchery::cli::command_main(argc, argv, kVerbs); }
