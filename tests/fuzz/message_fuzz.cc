// What the pool reads from its helpers: any datagram with any number of descriptors, sent through a
// real socket, is a message in which every field is sound, or nothing; and leaves no descriptor
// open. The first byte says how many descriptors, and to which of the two inboxes.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

#include "core/check.h"
#include "core/fd.h"
#include "pool/outcome.h"
#include "pool/slot_message.h"
#include "tests/fuzz/fuzz.h"
#include "workers/raw.h"

namespace {

using namespace hatchery;

/// The number that the next descriptor gets: the same before and after, or one was leaked.
int next_fd() { return UniqueFd(::fcntl(0, F_DUPFD_CLOEXEC, 0)).get(); }

/// What the loop does with an end: nothing of it may depend on the zygote's honesty.
void report_end(const protocol::Ended& ended) {
  Job job;
  job.spec.args = {"command"};
  job.limits.wall_time = Nanoseconds(1'000'000);
  job.ended = ended;
  fill_from_end(job);
  decide_outcome(job, std::nullopt);
  HATCHERY_CHECK(outcome_name(job.report.outcome) != nullptr);
  if (job.report.error) HATCHERY_CHECK(!job.report.error->message().empty());
  HATCHERY_CHECK(!(job.report.exit_code && job.report.signal));
}

void take(Inbox& inbox, int size, bool launcher) {
  if (launcher) {
    const auto message = inbox.take_launcher_message(size);
    if (!message) return;
    HATCHERY_CHECK(message->pidfd.valid() == (message->body.failure.step == Step::kNone));
    HATCHERY_CHECK(step_name(message->body.failure.step) != nullptr);
    return;
  }
  const SlotMessage message = inbox.take_slot_message(size);
  if (const auto* parked = std::get_if<protocol::Parked>(&message.body)) {
    HATCHERY_CHECK(message.fds.size() == std::size_t{1} + parked->has_root + parked->has_listener);
  } else {
    HATCHERY_CHECK(message.fds.empty());
  }
  if (const auto* ended = std::get_if<protocol::Ended>(&message.body)) report_end(*ended);
  if (const auto* failed = std::get_if<protocol::SetupFailed>(&message.body))
    HATCHERY_CHECK(
        !errno_error(failed->failure.step, "", failed->failure.errnum).message().empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto pair = [] {
    std::array<int, 2> fds{};
    HATCHERY_CHECK(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds.data()) == 0);
    return fds;
  }();
  if (size < 2) return 0;
  const int before = next_fd();
  constexpr int kFdsMax = 9;
  const int fds[kFdsMax] = {};
  if (raw::send_message(pair[0], data + 1, size - 1, fds, data[0] % (kFdsMax + 1)) >= 0) {
    static Inbox inbox;
    const ssize_t got = ::recvmsg(pair[1], inbox.prepare(), MSG_CMSG_CLOEXEC);
    HATCHERY_CHECK(got > 0);
    take(inbox, static_cast<int>(got), (data[0] & 0x80) != 0);
  }
  HATCHERY_CHECK(next_fd() == before);
  return 0;
}
