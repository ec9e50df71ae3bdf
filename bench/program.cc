#include "bench/program.h"

#include <unistd.h>

#include <filesystem>

#include "bench/own_files.h"
#include "core/check.h"

namespace hatchery::bench {
namespace {

Program own(const char* name, const char* file, const char* what) {
  return {.name = name,
          .what = what,
          .args = {programs_directory() + "/" + file},
          .args_inside = {std::string(kProgramsInside) + "/" + file}};
}

Program hosts(const char* name, std::vector<std::string> args, const char* what) {
  return {.name = name, .what = what, .args = args, .args_inside = args};
}

}  // namespace

std::vector<std::string> job_environment() { return default_profile().env; }

BindMount programs_bind() { return {.source = programs_directory(), .target = kProgramsInside}; }

std::vector<Program> all_programs() {
  return {own("bare_c", "bare", "static C without a C library: exit_group(0)"),
          own("static_c", "noop", "static C with glibc: return 0"),
          hosts("dynamic_true", {"/bin/true"}, "Debian's /bin/true"),
          own("dynamic_cxx", "streams", "dynamic C++ with iostream"),
          hosts("python3_pass", {"/usr/bin/python3", "-c", "pass"}, "python3 -c pass")};
}

Program program_named(const std::string& name) {
  for (Program& program : all_programs())
    if (program.name == name) return std::move(program);
  HATCHERY_UNREACHABLE();
}

}  // namespace hatchery::bench
