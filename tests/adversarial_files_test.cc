// E: files into and out of a sandbox: symlinks, odd kinds, odd names, races, and the job's
// directories between two jobs.
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "tests/adversarial_host.h"

namespace hatchery::testing {
namespace {

using protocol::kWithoutBeneath;
using protocol::kWithoutReset;
using ::testing::_;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::string secret() { return scratch() + "/secret"; }

/// What `$SECRET` is in a script: a file of the host.
void with_secret(PoolConfig&, JobSpec& spec) {
  host_file("secret", "treasure\n");
  std::string& script = spec.args[2];
  for (std::size_t at = script.find("$SECRET"); at != std::string::npos;
       at = script.find("$SECRET"))
    script.replace(at, 7, secret());
}

/// Leaves a symlink to a file of the host where the pool takes `path`.
Attack leaves_link(const std::string& name, const std::string& does, const std::string& script,
                   FileOut out, int errnum = ELOOP) {
  Attack attack{.name = name,
                .source = "E55-57",
                .does = does,
                .answer = "file error; nothing is read",
                .layer = "openat2 beneath the slot's directory, no symlinks",
                .job = sh(script),
                .gets = GivesNot(out.path, errnum),
                .control = without(kWithoutBeneath, "confinement of the pool's paths",
                                   Not(GivesNot(out.path, errnum))),
                .prepare = with_secret};
  if (!out.store) attack.control.gets = Gives(out.path, "treasure\n");
  attack.job.files_out = {std::move(out)};
  return attack;
}

/// Leaves at "out" what is no regular file.
Attack leaves(const std::string& name, const std::string& what, const std::string& script) {
  Attack attack{
      .name = name,
      .source = "E63",
      .does = "leaves a " + what + " where a file is taken out",
      .answer = "file error, at once",
      .layer = "looked at before it is opened",
      .job = sh(script),
      .gets = GivesNot("out", EINVAL),
      .control = with(
          "the oddity: a regular file",
          [](PoolConfig&, JobSpec& spec) { spec.args[2] = "echo x >out"; }, Gives("out", "x\n"))};
  attack.job.files_out = {{.path = "out"}};
  return attack;
}

/// The first job's script, then the second job: its report.
std::function<Report(Pool&, JobSpec)> after(const std::string& script) {
  return [script](Pool& pool, JobSpec second) {
    const Report first = run_or_refusal(pool, sh(script));
    EXPECT_THAT(first, Survives()) << describe(first);
    return run_or_refusal(pool, std::move(second));
  };
}

/// Fills the slot's directories; the next job looks.
Attack litters(const std::string& name, const std::string& does, const std::string& script) {
  return {.name = name,
          .source = "E67-68",
          .does = does,
          .answer = "the next job finds nothing",
          .layer = "tmpfs of its own a job",
          .job = sh("ls -A /w /tmp /dev/shm | wc -l"),
          .gets = Prints("5"),
          .control = without(kWithoutReset, "reset", Prints(Not("5"))),
          .play = after(script)};
}

/// A job that gets this file in.
Attack takes_in(const std::string& name, const std::string& does, FileIn file, ReportMatcher gets,
                Control control, const std::string& source = "E70") {
  Attack attack{.name = name,
                .source = source,
                .does = does,
                .answer = "refused, or a file error",
                .layer = "checks at submit; openat2 beneath the slot's directory",
                .job = sh("cat /w/in"),
                .gets = std::move(gets),
                .control = std::move(control),
                .prepare = with_secret,
                .play = run_or_refusal,
                // A slot with half of a job's files in it is not used again.
                .may_cost_the_slot = true};
  attack.job.files_in = {std::move(file)};
  return attack;
}

Control with_file(const std::string& off, const FileIn& file) {
  return with(
      off, [file](PoolConfig&, JobSpec& spec) { spec.files_in = {file}; }, Prints("text"));
}

const FileIn kGood{.path = "in", .source = FileIn::Bytes{"text"}};

/// A directory of the host with a symlink out of the sandbox in it, then a file by way of it.
Report through_link(Pool& pool, JobSpec spec) {
  const std::string tree = scratch() + "/tree";
  std::filesystem::remove_all(tree);
  std::filesystem::create_directory(tree);
  std::filesystem::create_symlink(scratch(), tree + "/link");
  std::filesystem::remove(scratch() + "/planted");
  spec.files_in = {{.path = "tree", .source = FileIn::HostDirectory{tree}},
                   {.path = "tree/link/planted", .source = FileIn::Bytes{"text"}}};
  Report report = run_or_refusal(pool, std::move(spec));
  return with_output(std::move(report), "host", bytes_of(scratch() + "/planted"));
}

/// The same with a file in the place of such a symlink.
void over_link(PoolConfig&, JobSpec& spec) {
  const std::string tree = scratch() + "/tree";
  std::filesystem::remove_all(tree);
  std::filesystem::create_directory(tree);
  host_file("secret", "treasure\n", 0600);
  std::filesystem::create_symlink(secret(), tree + "/link");
  spec.files_in = {{.path = "tree", .source = FileIn::HostDirectory{tree}},
                   {.path = "tree/link", .source = FileIn::Bytes{"text"}}};
}

Report with_owner_of_secret(Pool& pool, JobSpec spec) {
  Report report = run_or_refusal(pool, std::move(spec));
  struct stat status {};
  EXPECT_EQ(::stat(secret().c_str(), &status), 0);
  return with_output(std::move(report), "owner", std::to_string(status.st_uid));
}

/// While a host directory is copied in, a file of it is a symlink every other moment.
Report swapped(Pool& pool, JobSpec spec) {
  const std::string tree = scratch() + "/swapped";
  std::filesystem::remove_all(tree);
  std::filesystem::create_directory(tree);
  host_file("secret", "treasure\n", 0600);
  std::atomic<bool> stop = false;
  std::thread swapper([&] {
    for (unsigned i = 0; !stop; ++i) {
      const std::string next = tree + "/.next";
      if (i % 2 == 0)
        std::filesystem::create_symlink(secret(), next);
      else
        host_file("swapped/.next", "text");
      std::filesystem::rename(next, tree + "/in");
    }
  });
  spec.files_in = {{.path = "tree", .source = FileIn::HostDirectory{tree}}};
  std::string seen;
  for (int i = 0; i < 20; ++i) {
    const Report report = run_or_refusal(pool, spec);
    if (const Output* output = report.output("stdout")) seen += output->bytes;
  }
  stop = true;
  swapper.join();
  return with_output({.outcome = Outcome::kAccepted}, "stdout", seen);
}

std::vector<Attack> outgoing() {
  return {
      leaves_link("SymlinkOut", "leaves a symlink to a host file", "ln -s $SECRET out",
                  {.path = "out"}),
      leaves_link("SymlinkOutOptional", "leaves one where the file is optional",
                  "ln -s $SECRET out", {.path = "out", .optional = true}),
      leaves_link("SymlinkOutStored", "leaves one for a file that is stored", "ln -s $SECRET out",
                  {.path = "out", .store = true}),
      leaves_link("SymlinkOutOfTmp", "leaves one in /tmp", "ln -s $SECRET /tmp/out",
                  {.path = "/tmp/out"}),
      leaves_link("SymlinkParent", "makes the parent directory a symlink to the root",
                  "ln -s $(dirname $SECRET) d", {.path = "d/secret"}),
      // Followed by the pool, /proc/self is the pool: not every host lets it follow /proc/1/root.
      leaves_link("ProcRootParent", "makes the parent directory a symlink below /proc/self/root",
                  "ln -s /proc/self/root$(dirname $SECRET) d", {.path = "d/secret"}),
      leaves_link("SymlinkChain", "leads out over three symlinks",
                  "ln -s $SECRET a; ln -s a b; ln -s b out", {.path = "out"}, ELOOP),
      leaves("FifoOut", "FIFO", "mkfifo out"),
      leaves("SocketOut", "socket",
             "python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"out\")'"),
      leaves("DirectoryOut", "directory", "mkdir out"),
      leaves("DeviceOut", "device (the one that needs no rights: a whiteout)",
             "python3 -c 'import os; os.mknod(\"out\", 0o20666, 0)'"),
      {.name = "ClosedDirectoryOut",
       .source = "E67",
       .does = "takes all permissions off a file and its directory",
       .answer = "the file: the pool's rights count",
       .layer = "the pool's rights",
       .job = sh("mkdir d; echo x >d/out; chmod 0 d/out d"),
       .gets = Gives("d/out", "x\n"),
       .control = no_control(kNothingDenied),
       .prepare = [](PoolConfig&, JobSpec& spec) { spec.files_out = {{.path = "d/out"}}; }},
      {.name = "SparseFileOut",
       .source = "E69",
       .does = "leaves a sparse file of 200 MiB where 1 MiB is taken",
       .answer = "file error by size",
       .layer = "size cap",
       .job = sh("truncate -s 200M out"),
       .gets = GivesNot("out", EFBIG),
       .control = with(
           "the size", [](PoolConfig&, JobSpec& spec) { spec.args[2] = "truncate -s 1M out"; },
           Keeps("out", 1 << 20)),
       .prepare = [](PoolConfig&,
                     JobSpec& spec) { spec.files_out = {{.path = "out", .bytes_max = 1 << 20}}; }},
      {.name = "UnlinkedFileOut",
       .source = "E69",
       .does = "fills a file that has no name any more and holds it open in a daemon",
       .answer = "no such file; its memory is free afterwards",
       .layer = "every process is dead before files are taken",
       .job = sh("exec 3>out; rm out; head -c 8000000 /dev/zero >&3; setsid sleep 60 & :"),
       .gets = GivesNot("out", ENOENT),
       .control = with(
           "the removal",
           [](PoolConfig&, JobSpec& spec) {
             spec.args[2] = "exec 3>out; head -c 8000000 /dev/zero >&3";
           },
           Keeps("out", 8'000'000)),
       .prepare = [](PoolConfig&, JobSpec& spec) { spec.files_out = {{.path = "out"}}; }},
      {.name = "HugeSparseFile",
       .source = "D46",
       .does = "makes a file of a gibibyte without bytes",
       .answer = "output limit (SIGXFSZ)",
       .layer = "RLIMIT_FSIZE",
       .job = sh("exec truncate -s 1G out", {.file_bytes = 1 << 20}),
       .gets = Ends(Outcome::kOutputLimit),
       .control = with(
           "the limit", [](PoolConfig&, JobSpec& spec) { spec.limits.file_bytes = 2ULL << 30; },
           Ends(Outcome::kAccepted))},
      {.name = "IgnoresFileLimit",
       .source = "D47",
       .does = "ignores SIGXFSZ and goes on writing",
       .answer = "EFBIG; the file has the limit's size",
       .layer = "RLIMIT_FSIZE",
       .job = sh("trap '' XFSZ; head -c 3000000 /dev/zero >out; stat -c %s out",
                 {.file_bytes = 1 << 20}),
       .gets = Prints("1048576"),
       .control = with(
           "the limit", [](PoolConfig&, JobSpec& spec) { spec.limits.file_bytes = 4 << 20; },
           Prints("3000000"))},
      {.name = "FullDirectory",
       .source = "B22",
       .does = "writes more into /w than it holds",
       .answer = "ENOSPC at its size",
       .layer = "tmpfs size",
       .job = sh("head -c 3000000 /dev/zero >out; stat -c %s out"),
       .gets = Prints("2097152"),
       .control = with(
           "the size",
           [](PoolConfig& config, JobSpec&) { config.profiles.front().work_bytes = 8 << 20; },
           Prints("3000000")),
       .prepare = [](PoolConfig& config,
                     JobSpec&) { config.profiles.front().work_bytes = 2 << 20; }},
      {.name = "ManyFiles",
       .source = "D45",
       .does = "makes files until it can't",
       .answer = "ENOSPC at the inodes' number",
       .layer = "tmpfs inodes",
       .job = sh("i=0; while [ $i -lt 2000 ] && : >f$i; do i=$((i + 1)); done 2>/dev/null; "
                 "ls | wc -l"),
       .gets = Prints(Not("2000")),
       .control = with(
           "the bound",
           [](PoolConfig& config, JobSpec&) { config.profiles.front().tmpfs_inodes = 4096; },
           Prints("2000")),
       .prepare = [](PoolConfig& config,
                     JobSpec&) { config.profiles.front().tmpfs_inodes = 1024; }},
  };
}

std::vector<Attack> incoming() {
  FileIn above = kGood;
  above.path = "../in";
  FileIn outside = kGood;
  outside.path = "/etc/in";
  FileIn set_id = kGood;
  set_id.mode = 04755;
  return {
      takes_in("PathAbove", "has a file put above /w", above, Not(Prints(_)),
               with_file("\"..\"", kGood)),
      takes_in("PathOutside", "has a file put into /etc", outside, Not(Prints(_)),
               with_file("the place", kGood)),
      takes_in("SetIdMode", "has a file put there with a set-id bit", set_id, Not(Prints(_)),
               with_file("the bit", kGood), "E66"),
      takes_in("DeviceIn", "has /dev/zero copied in",
               {.path = "in", .source = FileIn::HostFile{"/dev/zero"}}, FileError(EINVAL),
               with_file("the device", kGood)),
      takes_in("UnknownFileId", "names a stored file by a path",
               {.path = "in", .source = FileIn::Stored{"../../etc/passwd"}}, FileError(ENOENT),
               with_file("the id", kGood), "E71"),
      takes_in("EmptyFileId", "names a stored file by nothing",
               {.path = "in", .source = FileIn::Stored{""}}, FileError(ENOENT),
               with_file("the id", kGood), "E71"),
      takes_in("LongFileId", "names a stored file by 4 KB",
               {.path = "in", .source = FileIn::Stored{std::string(4096, 'f')}}, FileError(ENOENT),
               with_file("the id", kGood), "E71"),
      {.name = "SameNameTwice",
       .source = "E72",
       .does = "has two files put at one place, by \"in\" and \"./in\"",
       .answer = "file error: neither takes the other's place",
       .layer = "O_EXCL",
       .job = sh("cat in"),
       .gets = FileError(EEXIST),
       .control = with_file("the second", kGood),
       .prepare =
           [](PoolConfig&, JobSpec& spec) {
             spec.files_in = {kGood, {.path = "./in", .source = FileIn::Bytes{"other"}}};
           },
       .may_cost_the_slot = true},
      {.name = "FileThroughItsOwnSymlink",
       .source = "E61",
       .does = "brings a directory with a symlink to the host, and a file by way of it",
       .answer = "file error; nothing is written on the host",
       .layer = "openat2 beneath the slot's directory, no symlinks",
       .job = sh("cat tree/link/planted"),
       .gets = Both(Not(Prints("text")), Gives("host", IsEmpty())),
       .control =
           without(kWithoutBeneath, "confinement of the pool's paths", Gives("host", "text")),
       .play = through_link,
       .may_cost_the_slot = true},
      {.name = "OwnerByASymlink",
       .source = "E60",
       .does = "brings a directory with a symlink to a host file, and a file in its place",
       .answer = "file error; the host's file keeps its owner, mode and bytes",
       .layer = "O_EXCL, O_NOFOLLOW; owners are set by descriptor",
       .job = sh("cat tree/link"),
       .gets = Both(FileError(EEXIST), Gives("owner", "0")),
       .control = with_file("the symlink", {.path = "tree/link", .source = FileIn::Bytes{"text"}}),
       .prepare = over_link,
       .play = with_owner_of_secret,
       .may_cost_the_slot = true},
      {.name = "SwappedWhileCopied",
       .source = "E61",
       .does = "has a file of a host directory become a symlink while it is copied in",
       .answer = "the file, the link itself, or an error; never the link's target",
       .layer = "fd-based walk, O_NOFOLLOW",
       .job = sh("test -h tree/in || cat tree/in"),
       .gets = Gives("stdout", Not(HasSubstr("treasure"))),
       .control = no_control("a race must be won first, and a control may not fail by chance"),
       .play = swapped,
       .may_cost_the_slot = true},
      {.name = "SymlinkPlantedForTheNextInput",
       .source = "E58",
       .does = "leaves a symlink to a file of the next job's place",
       .answer = "the next job's file is in its own, new directory",
       .layer = "reset",
       .job = sh("cat in"),
       .gets = Prints("text"),
       .control = without(kWithoutReset, "reset", FileError(EEXIST)),
       .prepare = [](PoolConfig&, JobSpec& spec) { spec.files_in = {kGood}; },
       .play = after("ln -s /tmp/elsewhere in")},
      {.name = "FifoPlantedForTheNextInput",
       .source = "E64",
       .does = "leaves a FIFO there",
       .answer = "the next job's file, no hang",
       .layer = "reset",
       .job = sh("cat in"),
       .gets = Prints("text"),
       .control = without(kWithoutReset, "reset", FileError(EEXIST)),
       .prepare = [](PoolConfig&, JobSpec& spec) { spec.files_in = {kGood}; },
       .play = after("mkfifo in")},
      litters("DeepTree", "makes 3,000 directories in each other",
              "python3 -c 'import os\nfor i in range(3000): os.mkdir(\"d\"); os.chdir(\"d\")'"),
      litters("OddNames", "makes files with 255 bytes, line breaks and no UTF-8 in their names",
              "python3 -c 'import os\nfor n in (b\"x\"*255, b\"a\\nb\", b\"?\", b\"\\xff\\xfe\", "
              "b\"-rf\"): open(n, \"w\")'"),
      litters("ClosedTree", "takes all permissions off a tree",
              "mkdir -p a/b/c; echo x >a/b/c/d; chmod 0 a/b/c/d a/b/c a/b a"),
      litters("ManySymlinks", "leaves symlinks to the host and to themselves",
              "ln -s / a; ln -s b b; ln -s /proc/1/root c; ln -s ../../.. d"),
  };
}

HATCHERY_ATTACKS(Files) {
  std::vector<Attack> all = outgoing();
  for (Attack& attack : incoming()) all.push_back(std::move(attack));
  return all;
}

}  // namespace
}  // namespace hatchery::testing
