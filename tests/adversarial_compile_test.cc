// H: what is hostile to a compiler, and compilers that are hostile.
#include "tests/adversarial_host.h"

namespace hatchery::testing {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using ::testing::Not;

/// gcc reads the source from its stdin; what it says goes to stdout.
Attack compile(Attack attack, const std::string& source, const std::string& options,
               Limits limits = {}) {
  attack.job = sh("cat >x.c; exec gcc " + options + " x.c 2>&1", std::move(limits));
  attack.job.fds[0] = BytesStream{source};
  attack.needs = "gcc";
  return attack;
}

/// A runtime that sizes itself by the machine, under small limits.
Attack starts_small(const std::string& name, const std::string& what, const std::string& needs,
                    std::vector<std::string> args) {
  return {.name = name,
          .source = "H116",
          .does = "is " + what + " with 256 MiB and 64 processes, on however many CPUs",
          .answer = "accepted: address space is no memory, and has no limit",
          .layer = "limits are of what is used",
          .job = {.args = std::move(args), .limits = {.memory_bytes = 256 * kMiB, .processes = 64}},
          .gets = Ends(Outcome::kAccepted),
          .control = with(
              "that: a limit of 256 MiB on the address space",
              [](PoolConfig&, JobSpec& spec) { spec.limits.address_space_bytes = 256 * kMiB; },
              Not(Ends(Outcome::kAccepted))),
          .needs = needs};
}

std::vector<Attack> runtimes() {
  return {
      starts_small("JavaWithSmallLimits", "java", "java", {"/usr/bin/java", "-version"}),
      {.name = "CrashAfterTheEnd",
       .source = "H117",
       .does = "prints, returns, and crashes in a handler of its exit",
       .answer = "signalled, with the output kept",
       .layer = "the exit status is the kernel's",
       .job = python("import atexit, os\n"
                     "print('kept', flush=True)\n"
                     "atexit.register(os.abort)"),
       .gets = Both(Ends(Outcome::kSignalled), Gives("stdout", "kept\n")),
       .control = with(
           "the crash", [](PoolConfig&, JobSpec& spec) { spec.args[2] = "print('kept')"; },
           Both(Ends(Outcome::kAccepted), Gives("stdout", "kept\n")))},
  };
}

HATCHERY_ATTACKS(Compile) {
  std::vector<Attack> all = {
      compile(
          {.name = "HugeProgram",
           .source = "H110",
           .does = "compiles an array that makes a program of 16 MiB",
           .answer = "the assembler dies, no program",
           .layer = "limit of file size",
           .job = {},
           .gets = Ends(Outcome::kNonzeroExit),
           .control = with(
               "the limit", [](PoolConfig&, JobSpec& spec) { spec.limits.file_bytes = 64 * kMiB; },
               Ends(Outcome::kAccepted))},
          "int a[1 << 22] = {1};", "-c -o a.o", {.file_bytes = 8 * kMiB}),
      compile({.name = "ProgramOfAGibibyte",
               .source = "H111",
               .does = "compiles an initialised array of 1 GiB",
               .answer = "the assembler dies, no program",
               .layer = "limit of file size",
               .job = {},
               .gets = Ends(Outcome::kNonzeroExit),
               .control = with(
                   "the size",
                   [](PoolConfig&, JobSpec& spec) {
                     spec.fds[0] = BytesStream{"char a[1 << 10] = {1};"};
                   },
                   Ends(Outcome::kAccepted))},
              "char a[1 << 30] = {1};", "-c -o a.o", {.file_bytes = 8 * kMiB}),
      compile({.name = "EndlessInclude",
               .source = "H112",
               .does = "includes /dev/zero",
               .answer = "memory limit",
               .layer = "memory limit",
               .job = {},
               .gets = Ends(Outcome::kMemoryLimit),
               .control = no_control("without a limit it would take the host's memory")},
              "#include \"/dev/zero\"", "-fsyntax-only", {.memory_bytes = 96 * kMiB}),
      compile({.name = "RecursiveInclude",
               .source = "H112",
               .does = "includes itself twice, 200 deep",
               .answer = "time limit",
               .layer = "CPU limit",
               .job = {},
               .gets = Ends(Outcome::kTimeLimit),
               .control = with(
                   "the CPU limit",
                   [](PoolConfig&, JobSpec& spec) {
                     spec.limits.cpu_time.reset();
                     spec.limits.wall_time = milliseconds(400);
                   },
                   Ends(Outcome::kWallLimit))},
              "#include \"x.c\"\n#include \"x.c\"\n", "-fsyntax-only",
              {.cpu_time = milliseconds(200)}),
      compile({.name = "FloodOfDiagnostics",
               .source = "H113",
               .does = "makes the compiler complain without end",
               .answer = "output limit",
               .layer = "output limit",
               .job = {},
               .gets = Ends(Outcome::kOutputLimit),
               .control = with(
                   "the limit",
                   [](PoolConfig&, JobSpec& spec) { spec.limits.output_bytes = 16 * kMiB; },
                   Ends(Outcome::kNonzeroExit))},
              [] {
                std::string source;
                for (int i = 0; i < 300; ++i)
                  source +=
                      "int f" + std::to_string(i) + "(){return y" + std::to_string(i) + ";}\n";
                return source;
              }(),
              "-fsyntax-only", {.output_bytes = 16384}),
      compile({.name = "IncludeOfTheHost",
               .source = "G109",
               .does = "includes a file of the host, to read it in the diagnostics",
               .answer = "no such file",
               .layer = "a root of its own",
               .job = {},
               .gets = Prints(HasSubstr("No such file")),
               .control = with(
                   "it: the directory is bound",
                   [](PoolConfig& config, JobSpec&) {
                     config.profiles.front().binds.push_back(
                         {.source = HATCHERY_SOURCE_DIR, .target = HATCHERY_SOURCE_DIR});
                   },
                   Prints(Not(HasSubstr("No such file"))))},
              "#include \"" HATCHERY_SOURCE_DIR "/LICENSE\"", "-fsyntax-only"),
      compile({.name = "AssemblerIncludesShadow",
               .source = "G109",
               .does = "embeds /etc/shadow by .incbin",
               .answer = "no such file",
               .layer = "a root of its own",
               .job = {},
               .gets = Prints(HasSubstr("file not found")),
               .control = with(
                   "it: another file",
                   [](PoolConfig&, JobSpec& spec) {
                     spec.fds[0] = BytesStream{"asm(\".incbin \\\"/etc/passwd\\\"\");"};
                   },
                   Prints(""))},
              "asm(\".incbin \\\"/etc/shadow\\\"\");", "-c -o a.o"),
      compile({.name = "CompilerRunsACommand",
               .source = "H114",
               .does = "has gcc run a program that stays behind",
               .answer = "it dies with the job",
               .layer = "kill of all processes",
               .job = {},
               .gets = Prints("none"),
               .control = without(protocol::kWithoutKillAll, "it", Prints("found")),
               .play =
                   [](Pool& pool, JobSpec spec) {
                     pool.submit(std::move(spec)).value().get();
                     return pool.submit(payload("channel", {"look", "daemon", "x"})).value().get();
                   }},
              "int main(void){return 0;}",
              "-fsyntax-only -wrapper /payloads/channel,leave,daemon,x"),
      {.name = "OptionsWithNewlines",
       .source = "H115",
       .does = "has arguments with newlines, quotes, `@file` and $(command)",
       .answer = "each arrives as it is",
       .layer = "no shell in between",
       .job = {.args = {"/usr/bin/printf", "%s|", "a\nb", "$(id)", "@x", "';id;'"},
               .fds = {{1, CollectorStream{"stdout"}}}},
       .gets = Prints("a\nb|$(id)|@x|';id;'|"),
       .control = no_control("there is no shell to put in")},
  };
  for (Attack& attack : runtimes()) all.push_back(std::move(attack));
  return all;
}

}  // namespace
}  // namespace hatchery::testing
