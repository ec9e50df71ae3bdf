// B: memory of every kind, its limit and its figure.
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "tests/adversarial.h"
#include "tests/slowness.h"

namespace hatchery::testing {
namespace {

using protocol::kWithoutFilter;
using protocol::kWithoutReset;
using ::testing::AnyOf;
using ::testing::Truly;

/// Time is no limit here, but under emulation for jobs at their limit, where the kernel looks for
/// memory before each of their calls.
Limits memory(std::uint64_t mib) {
  return {.cpu_time = std::chrono::seconds(slowness() == 1 ? 30 : 15),
          .wall_time = std::chrono::seconds(60) * slowness(),
          .memory_bytes = mib * kMiB};
}

ReportMatcher PeakBelow(std::uint64_t bytes) {
  return Truly([bytes](const Report& report) { return report.memory_peak_bytes < bytes; });
}

ReportMatcher PeakFrom(std::uint64_t bytes) {
  return Truly([bytes](const Report& report) { return report.memory_peak_bytes >= bytes; });
}

Control with_memory(std::uint64_t mib, ReportMatcher gets) {
  return with(
      "the limit: " + std::to_string(mib) + " MiB",
      [mib](PoolConfig&, JobSpec& spec) { spec.limits = memory(mib); }, std::move(gets));
}

/// Takes more of one kind than its 16 MiB, and less than 192.
Attack hoards(std::string name, std::string source, std::string does, std::vector<std::string> args,
              std::uint64_t mib = 16, std::string needs = "",
              const ReportMatcher& ends = Ends(Outcome::kMemoryLimit)) {
  return {.name = std::move(name),
          .source = std::move(source),
          .does = std::move(does),
          .answer = "memory limit, with a peak of no more than it",
          .layer = "memory of the job's cgroup",
          .job = payload("hoard", std::move(args), memory(mib)),
          // A dying process may take some pages more, and the zygote's are on top on v1.
          .gets = Both(ends, PeakBelow((mib + 2) * kMiB)),
          .control = with_memory(192, Ends(Outcome::kAccepted)),
          // What the kernel gives back late, such as page tables and segments, can't be the next
          // job's: then the slot is replaced.
          .may_cost_the_slot = true,
          .needs = std::move(needs)};
}

std::vector<Attack> kinds() {
  std::vector<Attack> all = {
      hoards("TouchesUntilItDies", "B17", "touches 32 MiB", {"private", "32"}),
      hoards("StaticArrayAboveTheLimit", "B18", "touches a static array of 32 MiB",
             {"array", "32"}),
      hoards("ChildrenTogetherAreAbove", "B20", "forks four that touch 10 MiB each",
             {"children", "10"}),
      hoards("OnlyAChildIsKilled", "B21", "exits 0 after its child was killed for memory",
             {"child", "32"}),
      hoards("FillsWork", "B22", "writes 32 MiB to /w", {"file", "32", "/w/file"}),
      hoards("FillsTmp", "B22", "writes 32 MiB to /tmp", {"file", "32", "/tmp/file"}),
      hoards("FillsSharedMemoryDirectory", "B22", "writes 32 MiB to /dev/shm",
             {"file", "32", "/dev/shm/file"}),
      hoards("FillsAnUnlinkedFile", "own", "writes 32 MiB to a file without a name",
             {"unlinked", "32"}),
      hoards("FillsAMemfd", "B24", "writes 32 MiB to a memfd", {"memfd", "32"}),
      hoards("FillsASegment", "B24", "touches a System V segment of 32 MiB", {"segment", "32"}),
      hoards("SharesItsMemory", "B24", "touches 32 MiB of shared memory", {"shared", "32"}),
      hoards("FillsPipes", "B32", "fills 384 pipes", {"pipes", "24"}),
      hoards("FillsUnixSockets", "B32", "fills sockets with 32 MiB", {"unix", "32"}),
      hoards("FillsMessageQueues", "own", "queues 24 MiB of messages", {"queues", "24"}),
      hoards("PageTables", "own", "maps so that 24 MiB of page tables are needed",
             {"tables", "24"}),
      hoards("MemoryAreas", "own", "splits a mapping into 30,000", {"areas", "30000"}, 4, "",
             EndsOutOfMemory()),
      hoards("ExtendedAttributes", "own", "writes 32 MiB of extended attributes",
             {"attributes", "32"}, 16, "tmpfs_xattr"),
      hoards("Inodes", "own", "makes 20,000 empty files", {"files", "20000"}, 8, "",
             EndsOutOfMemory()),
  };
  // In /usr, where the kernel remembers them; it may give their memory back at the limit, but frees
  // it an RCU grace period later, so that the limit is mostly reached first.
  all.push_back(
      {.name = "NamesThatDoNotExist",
       .source = "own",
       .does = "looks up 50,000 names of 200 letters that do not exist",
       .answer = "memory limit, or accepted, their memory given back; never above it",
       .layer = "memory of the job's cgroup",
       .job = payload("hoard", {"names", "50000", "/usr"}, memory(4)),
       .gets = Both(AnyOf(Ends(Outcome::kAccepted), EndsOutOfMemory()), PeakBelow(6 * kMiB)),
       .control = with_memory(192, PeakFrom(10 * kMiB)),
       .may_cost_the_slot = true});
  all.push_back({.name = "HugePagesWithoutAsking",
                 .source = "B31",
                 .does = "touches a byte of each 2 MiB of 64, as huge pages",
                 .answer = "accepted with small pages, or memory limit; never above it",
                 .layer = "memory of the job's cgroup",
                 .job = payload("hoard", {"huge", "64"}, memory(16)),
                 .gets = Both(AnyOf(Ends(Outcome::kAccepted), Ends(Outcome::kMemoryLimit)),
                              PeakBelow(18 * kMiB)),
                 .control = no_control("whether there are huge pages is the host's setting")});
  return all;
}

std::vector<Attack> figures() {
  return {
      {.name = "PeakOfAMoment",
       .source = "B27",
       .does = "touches 32 MiB and gives them back at once",
       .answer = "accepted; the peak is there",
       .layer = "the kernel's own peak",
       .job = payload("hoard", {"peak", "32"}, memory(64)),
       .gets = Both(Ends(Outcome::kAccepted), PeakFrom(32 * kMiB)),
       .control = with(
           "the touching", [](PoolConfig&, JobSpec& spec) { spec.args.back() = "1"; },
           PeakBelow(8 * kMiB))},
      {.name = "OneMebibyte",
       .source = "B28",
       .does = "says hello with a limit of 1 MiB",
       .answer = "accepted: the sandbox's own memory is not the job's",
       .layer = "memory of the job's cgroup, less what an idle slot has",
       .job = payload("hoard", {"hello"}, memory(1)),
       .gets = Prints("hello"),
       .control = with(
           "modesty: it is python that says hello",
           [](PoolConfig&, JobSpec& spec) {
             spec.args = {"/usr/bin/python3", "-c", "print('hello')"};
             spec.limits.cpu_time = std::chrono::seconds(1);
           },
           // Its program's pages come and go within the limit until one of the two is reached.
           AnyOf(Ends(Outcome::kMemoryLimit), Ends(Outcome::kTimeLimit)))},
      {.name = "BigPoolProcess",
       .source = "B29",
       .does = "is small, while the process of the pool has touched 256 MiB",
       .answer = "a small peak",
       .layer = "zygotes are forked by a small process",
       .job = payload("hoard", {"private", "1"}),
       .gets = Both(Ends(Outcome::kAccepted), PeakBelow(8 * kMiB)),
       .control = with(
           "smallness", [](PoolConfig&, JobSpec& spec) { spec.args.back() = "32"; },
           PeakFrom(32 * kMiB)),
       .play =
           [](Pool& pool, JobSpec spec) {
             const std::vector<char> big(256 * kMiB, 'x');
             Result<std::future<Report>> future = pool.submit(std::move(spec));
             HATCHERY_CHECK(future.has_value() && big.back() == 'x');
             return future->get();
           }},
      {.name = "AfterABigJob",
       .source = "B33",
       .does = "touches 8 MiB of its 16 after a job that wrote 12 to /tmp",
       .answer = "accepted: memory starts from nothing",
       .layer = "reset of the slot",
       .job = payload("hoard", {"private", "8"}, memory(16)),
       .gets = Both(Ends(Outcome::kAccepted), PeakBelow(12 * kMiB),
                    Truly([](const Report& report) { return report.slot == 0; })),
       // What is left then is found, and costs the slot.
       .control = {.off = "reset",
                   .without = kWithoutReset,
                   .gets = Truly([](const Report& report) { return report.slot != 0; }),
                   .needs = "job_group_kept"},
       .play =
           [](Pool& pool, JobSpec spec) {
             auto first = pool.submit(payload("hoard", {"file", "12", "/tmp/file"}, memory(64)));
             HATCHERY_CHECK(first.has_value());
             EXPECT_EQ(first->get().outcome, Outcome::kAccepted);
             auto second = pool.submit(std::move(spec));
             HATCHERY_CHECK(second.has_value());
             return second->get();
           }},
  };
}

std::vector<Attack> bounds() {
  const auto stack = [](std::uint64_t mib) {
    return [mib](PoolConfig&, JobSpec& spec) { spec.limits.stack_bytes = mib * kMiB; };
  };
  Limits small_stack = memory(128);
  small_stack.stack_bytes = 1 * kMiB;
  Limits large_stack = memory(16);
  large_stack.stack_bytes = 256 * kMiB;
  return {
      {.name = "DeepRecursion",
       .source = "B26",
       .does = "recurses through 8 MiB of stack with 1",
       .answer = "signalled, SIGSEGV",
       .layer = "RLIMIT_STACK",
       .job = payload("hoard", {"stack", "8"}, small_stack),
       .gets = Both(Ends(Outcome::kSignalled),
                    Truly([](const Report& report) { return report.signal == 11; })),
       .control = with("the limit on the stack", stack(64), Ends(Outcome::kAccepted))},
      {.name = "StackAboveTheMemoryLimit",
       .source = "B26",
       .does = "recurses through 48 MiB of stack that it may have, with 16 MiB of memory",
       .answer = "memory limit",
       .layer = "memory of the job's cgroup",
       .job = payload("hoard", {"stack", "48"}, large_stack),
       .gets = Ends(Outcome::kMemoryLimit),
       .control = with(
           "the memory limit",
           [](PoolConfig&, JobSpec& spec) { spec.limits.memory_bytes = 192 * kMiB; },
           Ends(Outcome::kAccepted))},
      {.name = "TerabyteUntouched",
       .source = "B19",
       .does = "maps a terabyte and touches none of it",
       .answer = "ENOMEM with a limit on the address space",
       .layer = "RLIMIT_AS",
       .job = payload("hoard", {"ask", "terabyte"}, {.address_space_bytes = 1024 * kMiB}),
       .gets = Prints("terabyte ENOMEM"),
       .control = with(
           "the limit on the address space",
           [](PoolConfig&, JobSpec& spec) { spec.limits.address_space_bytes.reset(); },
           Prints("terabyte done"))},
      {.name = "MoreThanTheTmpfs",
       .source = "B22",
       .does = "writes 16 MiB to a /tmp of 4",
       .answer = "ENOSPC",
       .layer = "size of the tmpfs",
       .job = payload("hoard", {"file", "16", "/tmp/file"}),
       .gets = Prints("write ENOSPC"),
       .control = with(
           "the size of the tmpfs",
           [](PoolConfig& config, JobSpec&) { config.profiles.front().tmp_bytes = 64 * kMiB; },
           Prints("write done")),
       .prepare = [](PoolConfig& config,
                     JobSpec&) { config.profiles.front().tmp_bytes = 4 * kMiB; }},
      {.name = "LocksItsMemory",
       .source = "B25",
       .does = "locks 1 MiB in memory",
       .answer = "ENOMEM",
       .layer = "RLIMIT_MEMLOCK",
       .job = payload("hoard", {"ask", "lock"}),
       .gets = Prints("lock ENOMEM"),
       .control = without(protocol::kWithoutRlimits, "fixed rlimits", Prints("lock done"))},
      {.name = "LocksAllThatComes",
       .source = "B25",
       .does = "locks all memory that it will have, and maps 1 MiB",
       .answer = "EAGAIN for what comes",
       .layer = "RLIMIT_MEMLOCK",
       .job = payload("hoard", {"ask", "lock-all"}),
       .gets = Prints("future done\nmap EAGAIN"),
       .control =
           without(protocol::kWithoutRlimits, "fixed rlimits", Prints("future done\nmap done"))},
      {.name = "LowersItsOomScore",
       .source = "own",
       .does = "makes itself a worse choice for the OOM killer than its zygote",
       .answer = "EROFS",
       .layer = "read-only /proc",
       .job = payload("hoard", {"ask", "score"}),
       .gets = Prints("score EROFS"),
       .control = without(protocol::kWithoutReadOnlyProc, "read-only /proc", Prints("score done"))},
  };
}

/// What only the filter refuses, with what the kernel would say.
Attack filtered(std::string name, std::string does, const std::string& what,
                const std::string& answer, const std::string& unfiltered) {
  return {.name = std::move(name),
          .source = "own",
          .does = std::move(does),
          .answer = answer,
          .layer = "seccomp filter",
          .job = payload("hoard", {"ask", what}),
          .gets = Prints(what + ' ' + answer),
          .control = without(kWithoutFilter, "filter", Prints(what + ' ' + unfiltered))};
}

std::vector<Attack> elsewhere() {
  const char* const kUnknown = "the limit is the pool's own, written with the job's others";
  Limits sockets = memory(16);
  sockets.open_files = 256;
  const ReportMatcher bounded = AnyOf(Prints("bounded"), Ends(Outcome::kMemoryLimit));
  return {
      {.name = "FillsTcpSockets",
       .source = "B32",
       .does = "fills 20 TCP connections to itself",
       .answer = "bounded on v1, memory limit on v2",
       .layer = "socket memory of the job's cgroup",
       .job = payload("hoard", {"tcp", "20"}, sockets),
       .gets = bounded,
       .control = no_control(kUnknown)},
      {.name = "FillsUdpSockets",
       .source = "B32",
       .does = "sends itself datagrams that 60 UDP sockets keep",
       .answer = "bounded on v1, memory limit on v2",
       .layer = "socket memory of the job's cgroup",
       .job = payload("hoard", {"udp", "60"}, sockets),
       .gets = bounded,
       .control = no_control(kUnknown)},
      filtered("FillsNetlinkSockets", "opens a netlink socket, whose queue is charged to nobody",
               "netlink", "EAFNOSUPPORT", "done"),
      filtered("HugePagesOfTheHost", "maps huge pages, which are charged to nobody", "huge-map",
               "ENOMEM", "EINVAL"),
      filtered("HugePagesInAFile", "makes a file of huge pages", "huge-file", "ENOMEM", "EFAULT"),
      filtered("HugePagesInASegment", "makes a segment of huge pages", "huge-segment", "ENOMEM",
               "EINVAL"),
      filtered("MergesItsPages", "merges its pages with those of other slots", "merge", "EINVAL",
               "ENOMEM"),
  };
}

/// A directory of the host that the job may write to.
const std::string& writable_directory() {
  static const std::string path =
      ::testing::TempDir() + "hatchery-cache-" + std::to_string(::getpid());
  return path;
}

std::vector<Attack> cache() {
  return {
      {.name = "PageCacheOfAHostDirectory",
       .source = "B23",
       .does = "writes 48 MiB to a directory of the host that it was given",
       .answer = "accepted: page cache is charged, and given back at the limit; or, on v2, the "
                 "memory limit, where the disk is too slow",
       .layer = "memory of the job's cgroup",
       .job = payload("hoard", {"file", "48", "/out/file"}, memory(16)),
       // v2 makes writers wait by a count of dirty pages that may be two seconds old
       // (mem_cgroup_wb_stats(), Linux 6.6 to 6.18), and kills before.
       .gets =
           Both(AnyOf(Ends(Outcome::kAccepted), Ends(Outcome::kMemoryLimit)), PeakBelow(18 * kMiB)),
       .control = with_memory(192, PeakFrom(40 * kMiB)),
       .prepare =
           [](PoolConfig& config, JobSpec&) {
             std::filesystem::create_directory(writable_directory());
             ::chmod(writable_directory().c_str(), 0777);
             config.profiles.front().binds.push_back(
                 {.source = writable_directory(), .target = "/out", .writable = true});
           },
       .play =
           [](Pool& pool, JobSpec spec) {
             Result<std::future<Report>> future = pool.submit(std::move(spec));
             HATCHERY_CHECK(future.has_value());
             Report report = future->get();
             std::filesystem::remove(writable_directory() + "/file");
             return report;
           }},
  };
}

HATCHERY_ATTACKS(Memory) {
  std::vector<Attack> all;
  for (const auto& part : {kinds, figures, bounds, elsewhere, cache})
    for (Attack& attack : part()) all.push_back(std::move(attack));
  return all;
}

}  // namespace
}  // namespace hatchery::testing
