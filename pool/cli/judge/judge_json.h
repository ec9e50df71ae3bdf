// Results of a judge as JSON.
// Runs in: pool. Thread: any; values only.
#pragma once

#include <string>

#include "pool/cli/judge/package.h"
#include "pool/cli/judge/result.h"

namespace hatchery::judge {

/// One document with a newline at its end. Times are seconds, sizes bytes; what is not known is
/// null. Text of submissions has U+FFFD where it was no UTF-8.
std::string summary_to_json(const Package& package, const Summary& summary);

}  // namespace hatchery::judge
