#include "pool/slot_message.h"

#include <sys/wait.h>

#include <algorithm>
#include <cstring>

namespace hatchery {
namespace {

using protocol::Ended;
using protocol::Failure;
using protocol::Parked;
using protocol::SetupFailed;
using protocol::SlotStarted;

bool is_sound(const Failure& failure) { return is_step(failure.step) && failure.errnum >= 0; }

bool is_sound(const Parked& parked, std::size_t fds) {
  return parked.has_root <= 1 && parked.has_listener <= 1 && parked.reset_ns >= 0 &&
         fds == std::size_t{1} + parked.has_root + parked.has_listener;
}

bool is_sound(const Ended& ended, std::size_t fds) {
  const std::int64_t figures[] = {ended.planned_ns, ended.exec_ns, ended.exited_ns,
                                  ended.ended_ns,   ended.user_us, ended.system_us};
  const bool phase =
      ended.phase >= protocol::WorkerPhase::kBorn && ended.phase <= protocol::WorkerPhase::kHungUp;
  const bool over = WIFEXITED(ended.wait_status) || WIFSIGNALED(ended.wait_status);
  return fds == 0 && phase && over && is_sound(ended.failure) &&
         std::all_of(std::begin(figures), std::end(figures),
                     [](std::int64_t figure) { return figure >= 0; });
}

bool is_sound(const SetupFailed& failed, std::size_t fds) {
  return fds == 0 && failed.failure.step != Step::kNone && is_sound(failed.failure);
}

bool is_sound(const SlotStarted& started, std::size_t fds) {
  return is_sound(started.failure) && fds == (started.failure.step == Step::kNone ? 1U : 0U);
}

}  // namespace

msghdr* Inbox::prepare() {
  part = {bytes, sizeof bytes};
  header = {};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  return &header;
}

std::vector<UniqueFd> Inbox::take_fds() {
  std::vector<UniqueFd> fds;
  for (cmsghdr* found = CMSG_FIRSTHDR(&header); found != nullptr;
       found = CMSG_NXTHDR(&header, found)) {
    if (found->cmsg_level != SOL_SOCKET || found->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (found->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(found) + i * sizeof fd, sizeof fd);
      fds.emplace_back(fd);
    }
  }
  header.msg_controllen = 0;  // They have an owner now.
  return fds;
}

template <typename T>
std::optional<T> Inbox::as(int result) const {
  T message;
  const protocol::MessageKind wanted = message.kind;
  if (result != static_cast<int>(sizeof message)) return std::nullopt;
  std::memcpy(&message, bytes, sizeof message);
  return message.kind == wanted ? std::optional<T>(message) : std::nullopt;
}

SlotMessage Inbox::take_slot_message(int result) {
  if (result < 0) return {};  // The kernel wrote no header: what is there is from prepare().
  SlotMessage message{.body = {}, .fds = take_fds()};
  const std::size_t fds = message.fds.size();
  if (const auto parked = as<Parked>(result); parked && is_sound(*parked, fds))
    message.body = *parked;
  else if (const auto ended = as<Ended>(result); ended && is_sound(*ended, fds))
    message.body = *ended;
  else if (const auto failed = as<SetupFailed>(result); failed && is_sound(*failed, fds))
    message.body = *failed;
  else
    message.fds.clear();
  return message;
}

std::optional<LauncherMessage> Inbox::take_launcher_message(int result) {
  if (result < 0) return std::nullopt;
  std::vector<UniqueFd> fds = take_fds();
  const auto started = as<SlotStarted>(result);
  if (!started || !is_sound(*started, fds.size())) return std::nullopt;
  return LauncherMessage{*started, fds.empty() ? UniqueFd() : std::move(fds.front())};
}

}  // namespace hatchery
