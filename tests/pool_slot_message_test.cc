// What the pool reads of its helpers' datagrams, and that it keeps no descriptor that it has no use
// for.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <array>
#include <functional>

#include "core/check.h"
#include "pool/slot_message.h"
#include "workers/raw.h"

namespace hatchery {
namespace {

using protocol::Ended;
using protocol::Parked;
using protocol::SetupFailed;
using protocol::SlotStarted;

/// The number that the next descriptor gets.
int next_fd() { return UniqueFd(::fcntl(0, F_DUPFD_CLOEXEC, 0)).get(); }

class SlotMessages : public ::testing::Test {
 protected:
  SlotMessages() {
    int pair[2];
    HATCHERY_CHECK(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
    theirs_ = UniqueFd(pair[0]);
    ours_ = UniqueFd(pair[1]);
  }
  /// As the kernel leaves it in the inbox; returns recvmsg's result.
  int arrive(const void* bytes, std::size_t size, std::size_t fds_count) {
    const std::array<int, 16> fds{};
    HATCHERY_CHECK(raw::send_message(theirs_.get(), bytes, size, fds.data(), fds_count) >= 0);
    return static_cast<int>(::recvmsg(ours_.get(), inbox_.prepare(), MSG_CMSG_CLOEXEC));
  }
  template <typename T>
  SlotMessage take(const T& message, std::size_t fds_count) {
    const int size = arrive(&message, sizeof message, fds_count);
    return inbox_.take_slot_message(size);
  }
  template <typename T>
  bool is_refused(const T& message, std::size_t fds_count = 0) {
    const int before = next_fd();
    const SlotMessage taken = take(message, fds_count);
    EXPECT_EQ(next_fd(), before) << "a descriptor of a refused message stays open";
    return std::holds_alternative<std::monostate>(taken.body) && taken.fds.empty();
  }
  static Ended ended() {
    Ended message;
    message.phase = protocol::WorkerPhase::kExec;
    return message;
  }

  UniqueFd theirs_, ours_;
  Inbox inbox_{};
};

TEST_F(SlotMessages, AreReadWithTheirDescriptors) {
  Parked parked;
  EXPECT_EQ(take(parked, 1).fds.size(), 1U);
  parked.has_root = 1;
  EXPECT_EQ(take(parked, 2).fds.size(), 2U);
  parked.has_listener = 1;
  const SlotMessage with_listener = take(parked, 3);
  EXPECT_TRUE(std::holds_alternative<Parked>(with_listener.body));
  EXPECT_EQ(with_listener.fds.size(), 3U);
  EXPECT_TRUE(std::holds_alternative<Ended>(take(ended(), 0).body));
  SetupFailed failed;
  failed.failure = {Step::kSlotClone, -1, ENOSPC};
  EXPECT_TRUE(std::holds_alternative<SetupFailed>(take(failed, 0).body));
}

TEST_F(SlotMessages, WithOtherDescriptorsThanTheirsAreRefusedAndTheseClosed) {
  Parked parked;
  for (const std::size_t count : {0U, 2U, 3U, 9U}) EXPECT_TRUE(is_refused(parked, count)) << count;
  parked.has_listener = 1;
  EXPECT_TRUE(is_refused(parked, 1));
  parked.has_root = 1;
  EXPECT_TRUE(is_refused(parked, 2));
  EXPECT_TRUE(is_refused(ended(), 1));
  SetupFailed failed;
  failed.failure = {Step::kSlotClone, -1, ENOSPC};
  EXPECT_TRUE(is_refused(failed, 1));
}

TEST_F(SlotMessages, WithAFieldThatNoHelperSendsAreRefused) {
  Parked parked;
  parked.has_listener = 2;
  EXPECT_TRUE(is_refused(parked, 3));
  parked = {};
  parked.has_root = 2;
  EXPECT_TRUE(is_refused(parked, 3));
  const std::function<void(Ended&)> spoilings[] = {
      [](Ended& message) { message.phase = protocol::WorkerPhase(5); },
      [](Ended& message) { message.failure.step = Step(19); },
      [](Ended& message) { message.failure.errnum = -1; },
      [](Ended& message) { message.wait_status = 0x137f; },  // Stopped, not dead.
      [](Ended& message) { message.exec_ns = -1; },
      [](Ended& message) { message.user_us = INT64_MIN; },
  };
  for (const auto& spoil : spoilings) {
    Ended message = ended();
    spoil(message);
    EXPECT_TRUE(is_refused(message)) << &spoil - spoilings;
  }
  EXPECT_TRUE(is_refused(SetupFailed{})) << "without a failure";
  EXPECT_TRUE(is_refused(protocol::Reset{})) << "no message to the pool";
}

TEST_F(SlotMessages, ThatAreLongerThanAnyAreRefused) {
  EXPECT_TRUE(is_refused(std::array<char, 1000>{}, 2));
}

TEST_F(SlotMessages, OfADeadSenderAreNone) {
  theirs_.reset();
  const auto size = static_cast<int>(::recvmsg(ours_.get(), inbox_.prepare(), MSG_CMSG_CLOEXEC));
  EXPECT_EQ(size, 0);
  EXPECT_TRUE(std::holds_alternative<std::monostate>(inbox_.take_slot_message(size).body));
  inbox_.prepare();
  EXPECT_TRUE(std::holds_alternative<std::monostate>(inbox_.take_slot_message(-EIO).body));
}

TEST_F(SlotMessages, OfTheLauncherHaveAPidfdWhenNothingFailed) {
  const auto launcher = [this](const SlotStarted& message, std::size_t fds) {
    const int size = arrive(&message, sizeof message, fds);
    return inbox_.take_launcher_message(size);
  };
  SlotStarted started;
  started.slot = 7;
  const auto good = launcher(started, 1);
  ASSERT_TRUE(good);
  EXPECT_EQ(good->body.slot, 7U);
  EXPECT_TRUE(good->pidfd.valid());
  const int before = next_fd();
  EXPECT_FALSE(launcher(started, 0));
  EXPECT_FALSE(launcher(started, 2));
  started.failure = {Step::kSlotClone, -1, ENOSPC};
  EXPECT_FALSE(launcher(started, 1));
  EXPECT_EQ(next_fd(), before);
  const auto failed = launcher(started, 0);
  ASSERT_TRUE(failed);
  EXPECT_FALSE(failed->pidfd.valid());
}

}  // namespace
}  // namespace hatchery
