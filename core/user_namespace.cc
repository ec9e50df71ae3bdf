#include "core/user_namespace.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sched.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <optional>
#include <sstream>
#include <string>
#include <utility>

#include "core/fd.h"
#include "core/files.h"

namespace hatchery {
namespace {

constexpr const char* kUidMap = "/proc/self/uid_map";
constexpr const char* kGidMap = "/proc/self/gid_map";
constexpr std::uint32_t kAllIds = 0xFFFF'FFFF;
// Below lie users and daemons; 65534 is what ids without a mapping are shown as.
constexpr std::uint32_t kFirstSlotId = 4'096;
constexpr std::uint32_t kOverflowId = 65'534;

std::vector<IdRange> read_map(const char* path) {
  std::vector<IdRange> ranges;
  const Result<std::string> text = read_whole_file(path);
  if (!text) return ranges;
  std::istringstream lines(*text);
  IdRange range;
  std::uint32_t outside = 0;
  while (lines >> range.first >> outside >> range.count) ranges.push_back(range);
  std::sort(ranges.begin(), ranges.end(),
            [](const IdRange& a, const IdRange& b) { return a.first < b.first; });
  return ranges;
}

std::uint64_t end_of(const IdRange& range) { return std::uint64_t{range.first} + range.count; }

/// "name:first:count" or "uid:first:count" (subuid(5)): the largest range lent to this user.
std::optional<IdRange> lent_ids(const std::string& path, const std::string& name, uid_t uid) {
  const Result<std::string> text = read_whole_file(path);
  if (!text) return std::nullopt;
  std::optional<IdRange> largest;
  std::istringstream lines(*text);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string owner = line.substr(0, first);
    if (owner != name && owner != std::to_string(uid)) continue;
    const auto from = leading_number(std::string_view(line).substr(first + 1));
    const auto count = leading_number(std::string_view(line).substr(second + 1));
    if (!from || !count || *from == 0 || *from > kAllIds || *count > kAllIds - *from) continue;
    if (!largest || *count > largest->count)
      largest = IdRange{static_cast<std::uint32_t>(*from), static_cast<std::uint32_t>(*count)};
  }
  return largest;
}

std::string user_name(uid_t uid) {
  passwd entry{};
  passwd* found = nullptr;
  char text[4096];
  if (::getpwuid_r(uid, &entry, text, sizeof text, &found) != 0 || found == nullptr) return {};
  return found->pw_name;
}

Error no_namespace(std::string object, int errnum, std::string detail, std::string remedy) {
  return Error{.step = Step::kEnterUserNamespace,
               .object = std::move(object),
               .errnum = errnum,
               .detail = std::move(detail),
               .remedy = std::move(remedy)};
}

/// A shell that waits for a line, and then maps the ids of process $1 from outside of its
/// namespace.
class Mapper {
 public:
  static Result<Mapper> start(const IdRange& uids, const IdRange& gids) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) < 0) return errno_error(Step::kEnterUserNamespace, "pipe", errno);
    const UniqueFd theirs(ends[0]);
    Mapper mapper;
    mapper.go_ = UniqueFd(ends[1]);
    constexpr const char* kScript =
        "read -r go && newuidmap \"$1\" 0 \"$2\" 1 1 \"$3\" \"$4\" && "
        "newgidmap \"$1\" 0 \"$5\" 1 1 \"$6\" \"$7\"";
    std::string words[] = {"sh",
                           "-c",
                           kScript,
                           "sh",
                           std::to_string(::getpid()),
                           std::to_string(::geteuid()),
                           std::to_string(uids.first),
                           std::to_string(uids.count),
                           std::to_string(::getegid()),
                           std::to_string(gids.first),
                           std::to_string(gids.count)};
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, theirs.get(), 0);
    // Standard output is for results.
    ::posix_spawn_file_actions_adddup2(&actions, 2, 1);
    const int errnum =
        ::posix_spawn(&mapper.pid_, "/bin/sh", &actions, nullptr, argv.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    if (errnum != 0) return errno_error(Step::kEnterUserNamespace, "/bin/sh", errnum);
    return mapper;
  }

  /// Lets it map, or just end. Its exit status.
  int finish(bool map) {
    if (map && ::write(go_.get(), "\n", 1) != 1) map = false;
    go_.reset();
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  UniqueFd go_;
  pid_t pid_ = -1;
};

Error nobody_lends(const char* path, const std::string& who) {
  return no_namespace(path, EPERM,
                      "it lends no ids to " + who + ", and slots need host uids of their own",
                      "run as root, or `usermod --add-subuids 100000-165535 --add-subgids "
                      "100000-165535 " +
                          who + "` as root, with the package uidmap");
}

}  // namespace

bool may_give_out_ids() noexcept {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
  if (::syscall(SYS_capget, &header, data) < 0) return false;
  constexpr std::uint32_t kNeeded = 1U << CAP_SETUID | 1U << CAP_SETGID;
  return (data[0].effective & kNeeded) == kNeeded;
}

bool has_all_ids() {
  return ids_of_this_namespace() == std::vector<IdRange>{{.first = 0, .count = kAllIds}};
}

std::vector<IdRange> ids_of_this_namespace() {
  const std::vector<IdRange> gids = read_map(kGidMap);
  std::vector<IdRange> both;
  for (const IdRange& uid : read_map(kUidMap))
    for (const IdRange& gid : gids) {
      const std::uint32_t first = std::max(uid.first, gid.first);
      const std::uint64_t end = std::min(end_of(uid), end_of(gid));
      if (end > first) both.push_back({first, static_cast<std::uint32_t>(end - first)});
    }
  return both;
}

IdRange ids_for_slots(std::uint32_t base, std::uint32_t count) {
  IdRange best;
  for (const IdRange& range : ids_of_this_namespace()) {
    if (range.first <= base && end_of(range) >= std::uint64_t{base} + count) return {base, count};
    // Without the overflow id: the parts below and above it.
    const std::pair<std::uint64_t, std::uint64_t> parts[] = {
        {std::max(range.first, kFirstSlotId), std::min<std::uint64_t>(end_of(range), kOverflowId)},
        {std::max(range.first, kOverflowId + 2), end_of(range)}};
    for (const auto& [first, end] : parts)
      if (end > first && end - first > best.count)
        best = {static_cast<std::uint32_t>(first),
                static_cast<std::uint32_t>(std::min<std::uint64_t>(end - first, count))};
  }
  return best;
}

Result<void> enter_user_namespace() {
  if (may_give_out_ids()) return {};
  const uid_t uid = ::geteuid();
  const std::string name = user_name(uid);
  const std::string who = name.empty() ? std::to_string(uid) : name;
  const std::optional<IdRange> uids = lent_ids("/etc/subuid", name, uid);
  const std::optional<IdRange> gids = lent_ids("/etc/subgid", name, uid);
  if (!uids) return nobody_lends("/etc/subuid", who);
  if (!gids) return nobody_lends("/etc/subgid", who);
  Result<Mapper> mapper = Mapper::start(*uids, *gids);
  if (!mapper) return std::move(mapper).error();
  const int errnum = ::unshare(CLONE_NEWUSER) == 0 ? 0 : errno;
  const int status = mapper->finish(errnum == 0);
  if (errnum != 0)
    return no_namespace("unshare", errnum, "",
                        errnum == EINVAL ? "call it before the first thread is made"
                                         : "run as root, or allow user namespaces: see the "
                                           "sysctls user.max_user_namespaces, "
                                           "kernel.unprivileged_userns_clone and "
                                           "kernel.apparmor_restrict_unprivileged_userns");
  if (status != 0)
    return no_namespace("newuidmap, newgidmap", 0, "exit status " + std::to_string(status),
                        "install the package uidmap, or run as root");
  if (::setresgid(0, 0, 0) < 0 || ::setresuid(0, 0, 0) < 0)
    return errno_error(Step::kEnterUserNamespace, "setresuid", errno);
  return {};
}

}  // namespace hatchery
