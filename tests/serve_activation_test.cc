// Which sockets are ours by LISTEN_PID and LISTEN_FDS, and where NOTIFY_SOCKET leads.
#include <gtest/gtest.h>

#include <string>

#include "pool/cli/activation.h"

namespace hatchery::cli {
namespace {

int sockets(std::string_view pid, std::string_view fds) {
  const Result<int> count = announced_sockets(pid, fds, 42);
  return count ? *count : -1;
}

TEST(Activation, SocketsAreOursOnlyByOurPid) {
  EXPECT_EQ(sockets("42", "2"), 2);
  EXPECT_EQ(sockets("42", "0"), 0);
  EXPECT_EQ(sockets("41", "2"), 0);
  EXPECT_EQ(sockets("", ""), 0);
  EXPECT_EQ(sockets("", "2"), 0);
  EXPECT_EQ(sockets("42x", "2"), 0);
  // Somebody else's nonsense is not ours to complain about.
  EXPECT_EQ(sockets("41", "many"), 0);
}

TEST(Activation, ANumberOfSocketsThatCannotBeIsAnError) {
  for (const char* fds : {"", "x", "1x", "-1", " 1", "65", "99999999999"})
    EXPECT_EQ(sockets("42", fds), -1) << fds;
  EXPECT_EQ(sockets("42", "64"), 64);
}

TEST(Activation, NotifySocketsArePathsOrAbstractNames) {
  const auto path = notify_address("/run/systemd/notify");
  ASSERT_TRUE(path);
  EXPECT_STREQ(path->name.sun_path, "/run/systemd/notify");
  EXPECT_EQ(path->size, offsetof(sockaddr_un, sun_path) + 20);
  const auto abstract = notify_address("@name");
  ASSERT_TRUE(abstract);
  EXPECT_EQ(std::string(abstract->name.sun_path, 5), std::string("\0name", 5));
  EXPECT_EQ(abstract->size, offsetof(sockaddr_un, sun_path) + 5);
}

TEST(Activation, OtherNotifySocketsAreRefused) {
  for (const char* text : {"", "/", "@", "relative", "vsock:2:1234"})
    EXPECT_FALSE(notify_address(text)) << text;
  // sun_path has 108 bytes; a path needs one for its end.
  EXPECT_TRUE(notify_address("/" + std::string(106, 'a')));
  EXPECT_FALSE(notify_address("/" + std::string(107, 'a')));
  EXPECT_TRUE(notify_address("@" + std::string(107, 'a')));
  EXPECT_FALSE(notify_address("@" + std::string(108, 'a')));
}

}  // namespace
}  // namespace hatchery::cli
