// E: what a job can do to its input: host files, stored files, lent descriptors; and the command's
// own files.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "core/user_namespace.h"
#include "tests/adversarial_host.h"

namespace hatchery::testing {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

/// stdin is scratch()/input, all may write it; what it is afterwards comes back as "host".
Report on_host_file(Pool& pool, JobSpec spec) {
  const std::string path = host_file("input", "treasure\n", 0666);
  // As a job of this pool would leave it in a writable bind.
  EXPECT_EQ(::chown(path.c_str(), pool.config().uid_base + 1, pool.config().uid_base + 1), 0);
  const UniqueFd lent(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (spec.fds.contains(0))
    spec.fds[0] = CallerFdStream{lent.get()};
  else
    spec.fds[0] = HostFileStream{.path = path};
  Report report = run_or_refusal(pool, std::move(spec));
  return with_output(std::move(report), "host", bytes_of(path));
}

Attack on_input(const std::string& name, const std::string& does, const std::string& call) {
  return {.name = name,
          .source = "own",
          .does = does + " of a host file given as stdin, whose owner and mode let it",
          .answer = "EROFS, or, where the pool is no host root's, refused; the file is as it was",
          .layer = "detached read-only copy of the mount",
          .job = payload("paths", {call}),
          // Only the host's root may make mounts of the host's own read-only.
          .gets = Both(has_all_ids() ? ReportMatcher(Prints("EROFS")) : FileError(EPERM),
                       Gives("host", "treasure\n")),
          .control = with(
              "read-only: lent for writing",
              [](PoolConfig&, JobSpec& spec) { spec.fds[0] = NullStream{}; }, Prints("done")),
          .play = on_host_file};
}

/// stdin is a stored file; a second job then says what it finds, as "next". With an entry for
/// stdin, a memfd of the caller is in the stored file's place.
Report on_stored_file(Pool& pool, JobSpec spec) {
  const bool lend = spec.fds.contains(0);
  const UniqueFd memfd(::memfd_create("lent", MFD_CLOEXEC));
  EXPECT_EQ(::write(memfd.get(), "treasure\n", 9), 9);
  EXPECT_EQ(::lseek(memfd.get(), 0, SEEK_SET), 0);
  const FileId id = pool.files().put("treasure\n").value();
  const Stream input = lend ? Stream(CallerFdStream{memfd.get()}) : Stream(StoredFileStream{id});
  spec.fds[0] = input;
  Report report = run_or_refusal(pool, std::move(spec));
  JobSpec next = sh("cat");
  next.fds[0] = input;
  const Report second = run_or_refusal(pool, std::move(next));
  pool.files().remove(id);
  const Output* output = second.output("stdout");
  return with_output(std::move(report), "next", output == nullptr ? "" : output->bytes);
}

Attack on_stored(const std::string& name, const std::string& does, const std::string& call,
                 const std::string& answer) {
  return {.name = name,
          .source = "own",
          .does = does + " of a stored file given as stdin",
          .answer = answer + "; the next job finds it as it was",
          .layer = "mode of the memfd, seals",
          .job = payload("paths", {call}),
          .gets = Both(Prints(answer), Gives("next", "treasure\n")),
          .control = with(
              "the store: a lent memfd",
              [](PoolConfig&, JobSpec& spec) { spec.fds[0] = NullStream{}; }, Prints("done")),
          .play = on_stored_file};
}

Report lends_directory(Pool& pool, JobSpec spec) {
  const bool file = spec.fds.contains(3);
  const std::string path = file ? host_file("lent", "text") : scratch();
  const UniqueFd lent(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  spec.fds[3] = CallerFdStream{lent.get()};
  return run_or_refusal(pool, std::move(spec));
}

/// Many jobs at once, each with an executable of its own copied in.
Report many_executables(Pool& pool, JobSpec spec) {
  std::vector<std::future<Report>> reports;
  for (int i = 0; i < 40; ++i) {
    Result<std::future<Report>> future = pool.submit(spec);
    HATCHERY_CHECK(future.has_value());
    reports.push_back(*std::move(future));
  }
  Report last;
  for (std::future<Report>& report : reports) {
    last = report.get();
    if (last.outcome != Outcome::kAccepted) return last;
  }
  return last;
}

/// `hatchery run --out out=scratch()/target` of the job's script; "host" is what the victim of
/// target's symlink says afterwards.
Report command_out(Pool&, JobSpec spec) {
  const std::string victim = host_file("victim", "treasure\n");
  const std::string target = scratch() + "/target";
  std::error_code ignored;
  std::filesystem::remove(target, ignored);
  if (spec.id != "plain") std::filesystem::create_symlink(victim, target);
  Report report = run_command(
      {HATCHERY_BINARY, "run", "--out", "out=" + target, "--", "/bin/sh", "-c", spec.args[2]});
  return with_output(with_output(std::move(report), "host", bytes_of(victim)), "target",
                     bytes_of(target));
}

/// A job in `hatchery run` with this option more.
std::function<Report(Pool&, JobSpec)> command_with(const std::string& option,
                                                   const std::string& value) {
  return [option, value](Pool&, const JobSpec& spec) {
    const std::string text = value == "FIFO" ? scratch() + "/fifo" : value;
    ::mkfifo((scratch() + "/fifo").c_str(), 0666);
    std::vector<std::string> args = {HATCHERY_BINARY, "run"};
    if (spec.id != "plain") args.insert(args.end(), {option, text});
    args.insert(args.end(), {"--", "/bin/echo", "ran"});
    return run_command(args);
  };
}

void plain(PoolConfig&, JobSpec& spec) { spec.id = "plain"; }

std::vector<Attack> commands() {
  return {
      {.name = "CommandOutThroughASymlink",
       .source = "E59",
       .does = "has put a symlink where `hatchery run --out` writes",
       .answer = "an error; the symlink's target is as it was",
       .layer = "O_NOFOLLOW",
       .job = sh("echo stolen >out"),
       .gets = Both(Gives("host", "treasure\n"), Gives("stderr", HasSubstr("ELOOP"))),
       .control = with("the symlink", plain,
                       Both(Gives("target", "stolen\n"), Gives("stderr", IsEmpty()))),
       .play = command_out},
      {.name = "CommandTakesASymlink",
       .source = "E55",
       .does = "leaves a symlink for `hatchery run --out`",
       .answer = "file error; nothing is written",
       .layer = "openat2 without symlinks",
       .job = sh("ln -s /etc/passwd out"),
       .gets = Both(Gives("target", IsEmpty()), Gives("stderr", HasSubstr("symlink"))),
       .control = with(
           "the symlink: a file", [](PoolConfig&, JobSpec& spec) { spec.args[2] = "echo x >out"; },
           Gives("target", "x\n")),
       .prepare = plain,
       .play = command_out},
      {.name = "CommandInFifo",
       .source = "E70",
       .does = "is given a FIFO by `hatchery run --in`",
       .answer = "an error, at once",
       .layer = "only regular files and directories",
       .job = sh(""),
       .gets = Both(Gives("stdout", IsEmpty()), Gives("stderr", HasSubstr("neither"))),
       .control = with("the FIFO", plain, Gives("stdout", "ran\n")),
       .play = command_with("--in", "FIFO")},
      {.name = "CommandOutAbove",
       .source = "E51",
       .does = "has a file above /w taken out by `hatchery run --out`",
       .answer = "refused",
       .layer = "checks at submit",
       .job = sh(""),
       .gets = Both(Gives("stdout", IsEmpty()), Gives("stderr", HasSubstr(".."))),
       .control = with("the path", plain, Gives("stdout", "ran\n")),
       .play = command_with("--out", "../x=" + std::string("/tmp/hatchery-never"))},
      {.name = "CommandLendsADirectory",
       .source = "own",
       .does = "starts in a descriptor of the worker by `hatchery run --cwd`",
       .answer = "file error",
       .layer = "the worker's descriptors are closed before its chdir",
       .job = sh(""),
       .gets = Gives("stdout", IsEmpty()),
       .control = with("the directory", plain, Gives("stdout", "ran\n")),
       .play =
           command_with("--cwd", "/proc/self/fd/" + std::to_string(protocol::kPrivateFdBase + 2))},
  };
}

HATCHERY_ATTACKS(Inputs) {
  // A user's file is no job's own: no job can change its mode, lent for writing or not.
  Attack mode = on_input("HostInputMode", "changes the mode", "chmod-input");
  mode.control.needs = "host_root";
  std::vector<Attack> all = {
      on_input("HostInputReopened", "opens /proc/self/fd/0 for writing", "reopen-input"),
      on_input("HostInputTruncated", "truncates /proc/self/fd/0", "truncate-input"),
      mode,
      on_input("HostInputMarked", "sets an extended attribute", "mark-input"),
      on_stored("StoredInputReopened", "opens /proc/self/fd/0 for writing", "reopen-input",
                "EACCES"),
      on_stored("StoredInputTruncated", "truncates /proc/self/fd/0", "truncate-input", "EACCES"),
      on_stored("StoredInputWritten", "writes to the descriptor", "write-input", "EBADF"),
      {.name = "StoredInputMarked",
       .source = "own",
       .does = "leaves an extended attribute on a stored file for the next job",
       .answer = "EACCES",
       .layer = "mode of the memfd",
       .job = payload("paths", {"mark-input"}),
       .gets = Prints("EACCES"),
       .control = with(
           "the store: a lent memfd, on which it stays",
           [](PoolConfig&, JobSpec& spec) { spec.fds[0] = NullStream{}; }, Prints("done")),
       .play = on_stored_file,
       .needs = "tmpfs_xattr"},
      {.name = "StoredInputPosition",
       .source = "own",
       .does = "reads a stored file to its end, for the next job to start there",
       .answer = "the next job reads all of it",
       .layer = "an open file of its own a job",
       .job = sh("cat"),
       .gets = Both(Prints("treasure"), Gives("next", "treasure\n")),
       .control = with(
           "the store: a lent memfd",
           [](PoolConfig&, JobSpec& spec) { spec.fds[0] = NullStream{}; },
           Gives("next", IsEmpty())),
       .play = on_stored_file},
      {.name = "InputBytesWritten",
       .source = "own",
       .does = "writes to its own input bytes by /proc/self/fd/0",
       .answer = "EPERM or EBADF",
       .layer = "seals",
       .job = sh("echo x 2>/dev/null >>/proc/self/fd/0 && echo written || echo refused"),
       .gets = Prints("refused"),
       .control = with(
           "the seals: a lent memfd", [](PoolConfig&, JobSpec& spec) { spec.id = "lend"; },
           Prints("written")),
       .play =
           [](Pool& pool, JobSpec spec) {
             const UniqueFd memfd(::memfd_create("lent", MFD_CLOEXEC));
             if (spec.id == "lend")
               spec.fds[0] = CallerFdStream{memfd.get()};
             else
               spec.fds[0] = BytesStream{"text"};
             return run_or_refusal(pool, std::move(spec));
           }},
      {.name = "LentDirectory",
       .source = "E74",
       .does = "is lent a directory of the host by mistake",
       .answer = "refused",
       .layer = "checks at submit",
       .job = sh("ls /proc/self/fd/3/"),
       .gets = FileError(EISDIR),
       .control = with(
           "the directory: a file", [](PoolConfig&, JobSpec& spec) { spec.fds[3] = NullStream{}; },
           Survives()),
       .play = lends_directory},
      {.name = "FullStore",
       .source = "J132",
       .does = "leaves more for the store than it holds",
       .answer = "an error of that file only",
       .layer = "store's bound",
       .job = sh("head -c 3000000 /dev/zero >out; echo said"),
       .gets = Both(GivesNot("out", ENOSPC), Gives("stdout", "said\n")),
       .control = with(
           "the bound", [](PoolConfig& config, JobSpec&) { config.store_bytes_max = 4 << 20; },
           Both(Ends(Outcome::kAccepted), Gives("out", IsEmpty()))),
       .prepare =
           [](PoolConfig& config, JobSpec& spec) {
             config.store_bytes_max = 2 << 20;
             spec.files_out = {{.path = "out", .store = true}};
           }},
      {.name = "BusyExecutables",
       .source = "J133",
       .does = "is executed while other jobs' programs are being written",
       .answer = "never ETXTBSY",
       .layer = "no fork in the pool",
       .job = sh("cp /payloads/paths x && ./x euid"),
       .gets = Prints("1000"),
       .control = no_control(kNothingDenied),
       .prepare =
           [](PoolConfig&, JobSpec& spec) {
             spec.args = {"/w/tool", "euid"};
             spec.files_in = {{.path = "tool",
                               .source = FileIn::HostFile{HATCHERY_PAYLOADS "/paths"},
                               .mode = 0755}};
           },
       .play = many_executables},
      {.name = "SetIdOfAHostFile",
       .source = "E66",
       .does = "gets a set-user-id file of the host copied in",
       .answer = "a file without the bit",
       .layer = "modes are masked",
       .job = sh("stat -c %a tool"),
       .gets = Prints("755"),
       .control = with(
           "the mask: it sets the bit itself, on its own file",
           [](PoolConfig&, JobSpec& spec) { spec.args[2] = "chmod 4755 tool; stat -c %a tool"; },
           Prints("4755")),
       .prepare =
           [](PoolConfig&, JobSpec& spec) {
             spec.files_in = {
                 {.path = "tool", .source = FileIn::HostFile{host_file("setid", "", 04755)}}};
           }},
  };
  for (Attack& attack : commands()) all.push_back(std::move(attack));
  return all;
}

}  // namespace
}  // namespace hatchery::testing
