// The programs that are spawned: from the least that a kernel can run to an interpreter.
#pragma once

#include <string>
#include <vector>

#include "pool/config.h"

namespace hatchery::bench {

struct Program {
  std::string name;
  std::string what;  ///< One line for people.
  /// As the host runs it; the first is an absolute path.
  std::vector<std::string> args;
  /// As a sandbox runs it: programs of the benchmark lie in kProgramsInside there.
  std::vector<std::string> args_inside;
};

inline constexpr const char* kProgramsInside = "/payloads";
/// Environment of every job, sandboxed or not: that of the built-in profile.
std::vector<std::string> job_environment();

/// What a sandbox must have beside the built-in profile's files.
BindMount programs_bind();

std::vector<Program> all_programs();
/// By name, one of all_programs().
Program program_named(const std::string& name);

}  // namespace hatchery::bench
