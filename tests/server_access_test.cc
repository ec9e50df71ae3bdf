#include <gtest/gtest.h>

#include "pool/server/access.h"

namespace hatchery::server {
namespace {

HttpRequest with(std::vector<Header> headers) {
  HttpRequest request;
  request.headers = std::move(headers);
  return request;
}

TEST(Access, ATokenIsBearerAndExact) {
  EXPECT_TRUE(has_token(with({{"authorization", "Bearer abc"}}), "abc"));
  for (const char* wrong : {"Bearer ab", "Bearer abcd", "bearer abc", "Basic abc", "abc", ""})
    EXPECT_FALSE(has_token(with({{"Authorization", wrong}}), "abc")) << wrong;
  EXPECT_FALSE(has_token(with({}), "abc"));
}

TEST(Access, APageMayUseOnlyItsOwnServerOrOneThatKnowsIt) {
  const std::vector<std::string> known = {"https://judge.example"};
  const auto is_stranger = [&](std::vector<Header> headers) {
    return stranger(with(std::move(headers)), known, {}).has_value();
  };
  EXPECT_FALSE(is_stranger({{"Host", "h:5050"}}));
  EXPECT_FALSE(is_stranger({{"Host", "h:5050"}, {"Origin", "http://h:5050"}}));
  EXPECT_FALSE(is_stranger({{"Host", "h:5050"}, {"Origin", "https://judge.example"}}));
  EXPECT_TRUE(is_stranger({{"Host", "h:5050"}, {"Origin", "http://h"}}));
  EXPECT_TRUE(is_stranger({{"Host", "h:5050"}, {"Origin", "https://judge.example.evil"}}));
  EXPECT_TRUE(is_stranger({{"Host", "h:5050"}, {"Origin", "null"}}));
  EXPECT_TRUE(is_stranger({{"Origin", "http://h"}}));
}

TEST(Access, ANameThatLeadsHereIsNoName) {
  const auto is_stranger = [](const char* host) {
    return stranger(with({{"Host", host}}), {}, {"judge.local"}).has_value();
  };
  for (const char* good : {"127.0.0.1", "127.0.0.1:5050", "[::1]:5050", "localhost:5050",
                           "a.localhost", "judge.local:80"})
    EXPECT_FALSE(is_stranger(good)) << good;
  for (const char* bad : {"evil.example", "127.0.0.1.evil.example:5050", "localhost.evil", ""})
    EXPECT_TRUE(is_stranger(bad)) << bad;
}

TEST(Access, OnlyTheLoopbackAndUnixSocketsAreLocal) {
  for (const char* local : {"127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "unix:/x"})
    EXPECT_TRUE(is_local_address(local)) << local;
  for (const char* open : {"0.0.0.0:1", "[::]:1", "10.0.0.1:1"})
    EXPECT_FALSE(is_local_address(open)) << open;
}

}  // namespace
}  // namespace hatchery::server
