// D: what a job writes, and what it does to the pipe, file or terminal it writes to.
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tests/adversarial_host.h"

namespace hatchery::testing {
namespace {

using protocol::kWithoutFilter;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

/// Writes `bytes` more than the limit takes.
Attack flood(const std::string& name, const std::string& script, const std::string& stream) {
  return {.name = name,
          .source = "D44",
          .does = "writes more than its limit to " + stream,
          .answer = "output limit, and just the limit's bytes",
          .layer = "collector",
          .job = sh(script, {.output_bytes = 100 * kKiB}),
          .gets = Both(Ends(Outcome::kOutputLimit), Keeps(stream, 100 * kKiB)),
          .control = with(
              "the limit",
              [](PoolConfig&, JobSpec& spec) { spec.limits.output_bytes = 8 * 1024 * kKiB; },
              Both(Ends(Outcome::kAccepted), Keeps(stream, 3000 * kKiB)))};
}

Attack terminal_request(const std::string& name, const std::string& does, const std::string& what,
                        const std::string& call) {
  return {.name = name,
          .source = "D53",
          .does = does,
          .answer = "EPERM",
          .layer = "seccomp filter",
          .job = payload("output", {what}),
          .gets = Prints(call + " EPERM"),
          .control = without(kWithoutFilter, "filter", Prints(call + " ENOTTY"))};
}

/// Lends the job a terminal as stdin; what was typed on it comes back as output "typed".
Report on_terminal(Pool& pool, JobSpec spec) {
  const UniqueFd master(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK));
  HATCHERY_CHECK(master.valid() && ::unlockpt(master.get()) == 0);
  char name[64];
  HATCHERY_CHECK(::ptsname_r(master.get(), name, sizeof name) == 0);
  const UniqueFd slave(::open(name, O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK));
  HATCHERY_CHECK(slave.valid());
  spec.fds[0] = CallerFdStream{slave.get()};
  Report report = run_or_refusal(pool, std::move(spec));
  char typed[64];
  const ssize_t got = ::read(slave.get(), typed, sizeof typed);
  return with_output(std::move(report), "typed",
                     std::string(typed, got > 0 ? static_cast<std::size_t>(got) : 0));
}

/// As a line of `hatchery batch`; its report's line is the output.
Report in_batch(Pool&, JobSpec spec) {
  std::string line = R"({"args":["/bin/sh","-c",")" + spec.args[2] + R"("]})";
  return run_command({HATCHERY_BINARY, "batch", "--slots", "1", "-q", "-"}, line + "\n");
}

HATCHERY_ATTACKS(Output) {
  return {
      flood("StdoutFlood", "head -c 3072000 /dev/zero", "stdout"),
      flood("StderrFlood", "head -c 3072000 /dev/zero >&2", "stderr"),
      flood("BothFlood", "head -c 3072000 /dev/zero; head -c 3072000 /dev/zero >&2", "stdout"),
      flood("ForkedFlood", "for i in 1 2 3 4 5; do head -c 614400 /dev/zero & done; wait",
            "stdout"),
      {.name = "OneByteTooMany",
       .source = "D44",
       .does = "writes one byte more than its limit",
       .answer = "output limit",
       .layer = "collector",
       .job = sh("head -c 1001 /dev/zero", {.output_bytes = 1000}),
       .gets = Both(Ends(Outcome::kOutputLimit), Keeps("stdout", 1000)),
       .control = with(
           "one byte of the limit",
           [](PoolConfig&, JobSpec& spec) { spec.limits.output_bytes = 1001; },
           Both(Ends(Outcome::kAccepted), Keeps("stdout", 1001)))},
      {.name = "SharedStreamFlood",
       .source = "D44",
       .does = "floods one pipe by two descriptors",
       .answer = "output limit, counted once",
       .layer = "collector",
       .job = sh("(head -c 3072000 /dev/zero >&2) & head -c 3072000 /dev/zero; wait",
                 {.output_bytes = 100 * kKiB}),
       .gets = Both(Ends(Outcome::kOutputLimit), Keeps("stdout", 100 * kKiB)),
       .control = with(
           "the limit",
           [](PoolConfig&, JobSpec& spec) { spec.limits.output_bytes = 8 * 1024 * kKiB; },
           Both(Ends(Outcome::kAccepted), Keeps("stdout", 6000 * kKiB))),
       .prepare = [](PoolConfig&, JobSpec& spec) { spec.fds[2] = SameAsStream{1}; }},
      {.name = "PacketsOfOneByte",
       .source = "own",
       .does = "puts its pipe into packet mode, so that each read of the pool gets a byte",
       .answer = "output limit",
       .layer = "collector, reads a visit bounded",
       .job = payload("output", {"packets", "60000"}, {.output_bytes = 50'000}),
       .gets = Both(Ends(Outcome::kOutputLimit), Keeps("stdout", 50'000)),
       .control = with(
           "the limit", [](PoolConfig&, JobSpec& spec) { spec.limits.output_bytes = 60'000; },
           Both(Ends(Outcome::kAccepted), Keeps("stdout", 60'000)))},
      {.name = "PipeMadeLarge",
       .source = "own",
       .does = "makes its pipe a mebibyte large, fills it and ends",
       .answer = "output limit, and just the limit's bytes",
       .layer = "collector, also after the end",
       .job = payload("output", {"refill", "1000000"}, {.output_bytes = 70'000}),
       .gets = Both(Ends(Outcome::kOutputLimit), Keeps("stdout", 70'000)),
       .control = with(
           "the limit", [](PoolConfig&, JobSpec& spec) { spec.limits.output_bytes = 1'000'000; },
           Both(Ends(Outcome::kAccepted), Keeps("stdout", 1'000'000)))},
      {.name = "OutputTakenBack",
       .source = "D50",
       .does = "opens its own stdout for reading and takes out what it writes, 16 MiB in all",
       .answer = "accepted: only its own output is gone, and the pool holds no more than it read",
       .layer = "pipe of its own",
       .job = payload("output", {"steal", "4096"}),
       .gets = Survives(),
       .control = no_control(kNothingDenied)},
      {.name = "GiftedPages",
       .source = "B32",
       .does = "gives the pipe pages of its memory and changes them afterwards",
       .answer = "accepted; one page of output",
       .layer = "collector",
       .job = payload("output", {"gift"}),
       .gets = Both(Ends(Outcome::kAccepted), Keeps("stdout", 4096)),
       .control = no_control(kNothingDenied)},
      {.name = "ClosedStdout",
       .source = "D49",
       .does = "closes stdout and never reads 30 MB of stdin",
       .answer = "accepted",
       .layer = "memfd",
       .job = sh("exec >&- 2>&- <&-; exit 0"),
       .gets = Ends(Outcome::kAccepted),
       .control = no_control(kNothingDenied),
       .prepare = [](PoolConfig&,
                     JobSpec& spec) { spec.fds[0] = BytesStream{std::string(30'000'000, 'x')}; }},
      {.name = "AllBytes",
       .source = "D48",
       .does = "writes all bytes, NUL, half surrogates and cut UTF-8",
       .answer = "just these bytes",
       .layer = "collector",
       .job = sh(R"(printf 'a\0b\377\355\240\200\303')"),
       .gets = Gives("stdout", std::string("a\0b\377\355\240\200\303", 8)),
       .control = no_control(kNothingDenied)},
      {.name = "AllBytesInJson",
       .source = "D48",
       .does = "writes half a surrogate to `hatchery batch`",
       .answer = "a valid line, the bytes in base64",
       .layer = "report's JSON",
       .job = sh(R"(printf '\\355\\240\\200')"),
       .gets = Gives("stdout", AllOf(HasSubstr(R"("base64":"7aCA")"), Not(HasSubstr("\355")))),
       .control = with(
           "the half: a whole letter",
           [](PoolConfig&, JobSpec& spec) { spec.args[2] = R"(printf '\\303\\244')"; },
           Gives("stdout", HasSubstr("\"text\":\"\303\244\""))),
       .play = in_batch},
      {.name = "EscapesInJson",
       .source = "D52",
       .does = "writes escape sequences and line breaks to `hatchery batch`",
       .answer = "one line, escaped",
       .layer = "report's JSON",
       .job = sh(R"(printf '\\033[2J\\r\\n{}')"),
       .gets = Gives("stdout", AllOf(HasSubstr(R"(\u001b[2J\r\n{})"), Not(HasSubstr("\033")))),
       .control = no_control(kNothingDenied),
       .play = in_batch},
      {.name = "EscapesInTheCommand",
       .source = "D52",
       .does = "has escape sequences in the name of a command that can't be executed",
       .answer = "a message without them",
       .layer = "command's messages",
       .job = sh(""),
       .gets = Gives("stderr", AllOf(HasSubstr("hatchery:"), Not(HasSubstr("\033")))),
       .control = no_control(kNothingDenied),
       .play =
           [](Pool&, JobSpec) {
             return run_command({HATCHERY_BINARY, "run", "--", "/w/\033[2J"});
           }},
      {.name = "EscapesOnStderr",
       .source = "D52",
       .does = "writes escape sequences to stderr",
       .answer = "just these bytes",
       .layer = "collector",
       .job = sh(R"(printf '\033]0;title\007\r' >&2)"),
       .gets = Gives("stderr", "\033]0;title\007\r"),
       .control = no_control(kNothingDenied)},
      {.name = "CollectorNamedLikeAPath",
       .source = "D51",
       .does = "has a collector named like a path of the host",
       .answer = "a name in the report, no file",
       .layer = "names are never opened",
       .job = sh("echo text"),
       .gets = Both(Gives("../../tmp/x", "text\n"), Gives("host", IsEmpty())),
       .control = no_control(kNothingDenied),
       .play =
           [](Pool& pool, JobSpec spec) {
             spec.fds[1] = CollectorStream{.name = "../../tmp/x"};
             Report report = run_or_refusal(pool, std::move(spec));
             return with_output(std::move(report), "host", bytes_of("../../tmp/x"));
           }},
      terminal_request("TerminalInput", "puts input into a terminal", "sti", "TIOCSTI"),
      terminal_request("TerminalInputHighBits", "does so with high bits in the request", "sti-high",
                       "TIOCSTI"),
      terminal_request("ConsoleSelection", "pastes on a console", "linux", "TIOCLINUX"),
      terminal_request("ConsoleSelectionHighBits", "does so with high bits in the request",
                       "linux-high", "TIOCLINUX"),
      {.name = "TerminalInputOnALentTerminal",
       .source = "D53",
       .does = "takes a lent terminal as its own and types on it",
       .answer = "EPERM, and nothing is typed",
       .layer = "seccomp filter",
       .job = payload("output", {"terminal"}),
       .gets = Both(Prints(HasSubstr("TIOCSTI EPERM")), Gives("typed", IsEmpty())),
       // Or EIO where the host's dev.tty.legacy_tiocsti is 0.
       .control = without(kWithoutFilter, "filter", Prints(Not(HasSubstr("EPERM")))),
       .play = on_terminal},
      {.name = "TerminalHeld",
       .source = "D54",
       .does = "stops a lent terminal, changes its mode, line discipline and size",
       .answer = "accepted; the pool goes on",
       .layer = "the pool never writes to it",
       .job = payload("output", {"hold-terminal"}),
       .gets = Prints("held done"),
       .control = no_control(kNothingDenied),
       .play = on_terminal},
  };
}

}  // namespace
}  // namespace hatchery::testing
