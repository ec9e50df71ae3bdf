// The server under clients that are slow, many, gone or hostile, and under its own death: section J
// of the list of attacks.
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <filesystem>
#include <thread>

#include "core/files.h"
#include "tests/await.h"
#include "tests/server_fixture.h"
#include "tests/slowness.h"

namespace hatchery::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class ServerBehaviour : public ServerTest {
 protected:
  /// Another client is served as if nothing was.
  void expect_well() {
    HttpClient fresh(address());
    const std::string body =
        json::serialize(json::object{{"cmd", json::array{shell("echo well")}}});
    EXPECT_THAT(fresh.post("/run", body).body, HasSubstr("well"));
  }
};

/// Of a directory in /proc; "" when it is no process's or the process is gone.
std::string command_line_of(const std::filesystem::path& process) {
  Result<std::string> line = read_whole_file(process / "cmdline");
  return line ? *std::move(line) : std::string();
}

/// Processes of this host whose command line has that text.
std::size_t processes_with(const std::string& text) {
  std::size_t count = 0;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    if (command_line_of(entry.path()).find(text) != std::string::npos) ++count;
  }
  return count;
}

// ---- J127

TEST_F(ServerBehaviour, OversizedAndDeepRequestsAreRefusedInBoundedMemory) {
  HttpClient announces(address());
  announces.write_raw(
      "POST /run HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1073741824\r\n\r\n");
  EXPECT_EQ(announces.read_answer().status, 413);
  HttpClient chunks(address());
  chunks.write_raw("POST /run HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
  const std::string part = "100000\r\n" + std::string(1 << 20, ' ') + "\r\n";
  for (int sent = 0; sent < 300 && chunks.write_raw(part); ++sent) {
  }
  EXPECT_EQ(chunks.read_answer().status, 413);
  std::string many = R"({"cmd":[{"procLimit":1,"args":["true")";
  for (int i = 0; i < 1'000'000; ++i) many += ",\"x\"";
  HttpClient asks(address());
  const HttpAnswer answer = asks.post("/run", many + "]}]}");
  EXPECT_EQ(answer.status, 400) << answer.body.substr(0, 200);
  EXPECT_THAT(answer.body, HasSubstr("args"));
  EXPECT_LT(server().peak_resident_kib(), 1U << 20);
  expect_well();
}

TEST_F(ServerBehaviour, WhatIsNoHttpIsToldSoAndClosed) {
  for (const std::string& bytes :
       {std::string("\x16\x03\x01\x02\x00", 5), std::string("GET\r\n\r\n"),
        "GET / HTTP/1.1\r\nX: " + std::string(100'000, 'x') + "\r\n\r\n",
        std::string("POST /run HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n"),
        std::string("POST /run HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
                    "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        std::string("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")}) {
    HttpClient client(address());
    client.write_raw(bytes);
    client.shut_down_writing();
    const std::string answer = client.read_to_end();
    EXPECT_TRUE(answer.empty() || answer.starts_with("HTTP/1.1 4")) << answer.substr(0, 200);
  }
  expect_well();
}

// ---- J128

TEST_F(ServerBehaviour, AClientThatIsTooSlowIsDroppedAndOthersAreNot) {
  arguments = {"--client-timeout", "1s"};
  HttpClient head(address());
  head.write_raw("POST /run HTTP/1.1\r\nHost: loc");
  HttpClient body(address());
  body.write_raw("POST /run HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{");
  // Takes nothing of an answer that is larger than any buffer.
  HttpClient takes(address());
  const json::object large =
      shell("head -c 16000000 /dev/zero | tr '\\0' x",
            {{"files", json::array{json::object{{"content", ""}},
                                   json::object{{"name", "o"}, {"max", 64 << 20}}}}});
  const std::string request = json::serialize(json::object{{"cmd", json::array{large}}});
  takes.write_raw("POST /run HTTP/1.1\r\nHost: localhost\r\nContent-Length: " +
                  std::to_string(request.size()) + "\r\n\r\n" + request);
  expect_well();
  // Until the server closes: a read that ends is the condition, not a time.
  EXPECT_EQ(head.read_to_end(), "");
  EXPECT_EQ(body.read_to_end(), "");
  await_metric("hatchery_connections 1");
  expect_well();
}

TEST_F(ServerBehaviour, TenThousandIdleConnectionsCostLittleAndSlowNobody) {
  const std::size_t http_count = 9'000U / static_cast<unsigned>(slowness());
  const std::size_t socket_count = 1'000U / static_cast<unsigned>(slowness());
  rlimit files{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &files), 0);
  const rlimit before = files;
  files.rlim_cur = files.rlim_max;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &files), 0);
  // A WebSocketClient has four descriptors.
  ASSERT_GT(files.rlim_max, http_count + 4 * socket_count + 500)
      << "raise RLIMIT_NOFILE's hard limit";
  std::vector<UniqueFd> idle;
  std::vector<std::unique_ptr<WebSocketClient>> sockets;
  sockaddr_in name{
      .sin_family = AF_INET,
      .sin_port =
          htons(static_cast<std::uint16_t>(std::stoi(address().substr(address().rfind(':') + 1)))),
      .sin_addr = {htonl(INADDR_LOOPBACK)},
      .sin_zero = {}};
  for (std::size_t i = 0; i < http_count; ++i) {
    idle.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(::connect(idle.back().get(), reinterpret_cast<const sockaddr*>(&name), sizeof name),
              0);
  }
  for (std::size_t i = 0; i < socket_count; ++i) {
    sockets.push_back(std::make_unique<WebSocketClient>(address(), "/ws"));
    ASSERT_EQ(sockets.back()->status(), 101);
  }
  expect_well();
  EXPECT_LT(server().peak_resident_kib(), (64U << 10) + (idle.size() + sockets.size()) * 16);
  // And they still work.
  sockets.front()->send("{\"requestId\":\"\"}");
  EXPECT_TRUE(sockets.front()->receive().has_value());
  idle.clear();
  sockets.clear();
  expect_well();
  ::setrlimit(RLIMIT_NOFILE, &before);
}

TEST_F(ServerBehaviour, AReaderThatLagsBehindAFloodIsDropped) {
  WebSocketClient socket(address(), "/stream");
  json::object flood = shell("while :; do head -c 1000000 /dev/zero; done",
                             {{"clockLimit", 2'000'000'000'000}, {"cpuLimit", 2'000'000'000'000}});
  flood["files"] = json::array{json::object{{"content", ""}}, json::object{{"streamOut", true}}};
  socket.send("\x01" + json::serialize(json::object{{"cmd", json::array{flood}}}), true);
  // It reads nothing: the server's bound is met, and the job ended.
  await_metric("hatchery_jobs_total{outcome=\"cancelled\"} 1");
  EXPECT_LT(server().peak_resident_kib(), 400U << 10);
  expect_well();
}

// ---- J132, J133

TEST_F(ServerBehaviour, StoredFilesThatNobodyUsesExpire) {
  arguments = {"--file-timeout", "1s"};
  const std::string id = upload("old");
  await([this] { return client().get("/file").body == "{}\n"; });
  EXPECT_EQ(client().get("/file/" + id).status, 404);
  EXPECT_THAT(client().get("/metrics").body, HasSubstr("go_judge_file_current_bytes_sum 0\n"));
}

TEST_F(ServerBehaviour, AProgramThatWasJustCopiedInIsNeverBusy) {
  const int requests = 500 / slowness();
  std::ifstream file("/usr/bin/true", std::ios::binary);
  const std::string id = upload({std::istreambuf_iterator<char>(file), {}});
  WebSocketClient socket(address(), "/ws");
  std::thread sends([&] {
    for (int i = 0; i < requests; ++i) {
      json::object one = cmd({"program"}, {{"copyIn", {{"program", {{"fileId", id}}}}}});
      socket.send(json::serialize(
          json::object{{"requestId", std::to_string(i)}, {"cmd", json::array{one}}}));
    }
  });
  int accepted = 0;
  std::string other;
  for (int i = 0; i < requests; ++i) {
    const std::optional<std::string> answer = socket.receive();
    if (!answer) break;
    if (answer->find("\"status\":\"Accepted\"") != std::string::npos)
      ++accepted;
    else
      other = *answer;
  }
  sends.join();
  EXPECT_EQ(accepted, requests) << other;
}

// ---- J134, J135, J139

TEST_F(ServerBehaviour, AKilledServersJobsDieAndTheNextOneCleansUp) {
  arguments = {"--cgroup-prefix", "server-killed-test"};
  const std::string body = json::serialize(json::object{
      {"cmd", json::array{cmd({"/bin/sleep", "86399"}, {{"clockLimit", 2'000'000'000'000}})}}});
  HttpClient asks(address());
  asks.write_raw("POST /run HTTP/1.1\r\nHost: localhost\r\nContent-Length: " +
                 std::to_string(body.size()) + "\r\n\r\n" + body);
  const std::string job = std::string("/bin/sleep\0", 11) + "86399";
  await([&] { return processes_with(job) > 0; });
  // The name is taken while it lives.
  const ProcessResult second = run_process({HATCHERY_BINARY, "serve", "--http-addr", "127.0.0.1:0",
                                            "--cgroup-prefix", "server-killed-test"});
  EXPECT_NE(second.status, 0);
  EXPECT_THAT(second.err, HasSubstr("server-killed-test"));
  restart(SIGKILL);
  await([&] { return processes_with(job) == 0; });
  expect_well();
}

TEST_F(ServerBehaviour, ATakenAddressIsToldAtTheStart) {
  const ProcessResult second = run_process({HATCHERY_BINARY, "serve", "--http-addr", address()});
  EXPECT_EQ(second.status, 249);
  EXPECT_THAT(second.err, HasSubstr("EADDRINUSE"));
  EXPECT_THAT(second.err, HasSubstr(address()));
}

TEST_F(ServerBehaviour, AServerThatDoesNotStartLeavesNoSocket) {
  const std::string path = scratch_ / "socket";
  const ProcessResult second = run_process({HATCHERY_BINARY, "serve", "--http-addr", "unix:" + path,
                                            "--enable-metrics", "--monitor-addr", address()});
  EXPECT_EQ(second.status, 249);
  EXPECT_THAT(second.err, HasSubstr("EADDRINUSE"));
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(ServerBehaviour, AKilledZygoteIsAnInternalErrorOfThatRequestAlone) {
  const std::string body = json::serialize(json::object{
      {"cmd", json::array{cmd({"/bin/sleep", "86398"}, {{"clockLimit", 2'000'000'000'000}})}}});
  HttpClient asks(address());
  asks.write_raw("POST /run HTTP/1.1\r\nHost: localhost\r\nContent-Length: " +
                 std::to_string(body.size()) + "\r\n\r\n" + body);
  const std::string job = std::string("/bin/sleep\0", 11) + "86398";
  await([&] { return processes_with(job) > 0; });
  // The job's parent is its zygote.
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    if (command_line_of(entry.path()).find(job) == std::string::npos) continue;
    std::ifstream status(entry.path() / "status");
    for (std::string field; std::getline(status, field);)
      if (field.starts_with("PPid:")) ::kill(std::stoi(field.substr(5)), SIGKILL);
  }
  EXPECT_THAT(asks.read_answer().body, HasSubstr("Internal Error"));
  expect_well();
}

// ---- the operator's log

/// The objects of that key in a log of JSON lines; every line must be one with time, level and
/// message.
std::vector<json::object> logged(const std::string& log, const std::string& key) {
  std::vector<json::object> found;
  std::istringstream lines(log);
  for (std::string line; std::getline(lines, line);) {
    json::error_code error;
    const json::value value = json::parse(line, error);
    EXPECT_TRUE(!error && value.is_object()) << line;
    if (error || !value.is_object()) continue;
    const json::object& object = value.get_object();
    for (const char* field : {"time", "level", "message"})
      EXPECT_TRUE(object.contains(field)) << line;
    if (const json::value* event = object.if_contains(key)) found.push_back(event->get_object());
  }
  return found;
}

TEST_F(ServerBehaviour, TheLogAsJsonHasEachRequestAndJob) {
  arguments = {"--log-format", "json", "--origin", "https://judge.example"};
  EXPECT_EQ(text_at(run_cmd(shell("exit 3")), "status"), "Nonzero Exit Status");
  EXPECT_EQ(client().get("/a\"b\xff").status, 404);
  EXPECT_EQ(client().request("GET", "/version", "", {{"Origin", "https://evil.example"}}).status,
            403);
  server().kill(SIGTERM);
  const std::string log = server().wait().err;
  const std::vector<json::object> requests = logged(log, "request");
  ASSERT_EQ(requests.size(), 3U) << log;
  EXPECT_EQ(text_at(requests[0], "method"), "POST");
  EXPECT_EQ(text_at(requests[0], "path"), "/run");
  EXPECT_EQ(number_at(requests[0], "status"), 200U);
  EXPECT_EQ(text_at(requests[1], "path"), "/a\"b\xef\xbf\xbd");
  EXPECT_EQ(number_at(requests[2], "status"), 403U);
  const std::vector<json::object> jobs = logged(log, "job");
  ASSERT_EQ(jobs.size(), 1U) << log;
  EXPECT_EQ(text_at(jobs[0], "outcome"), "nonzero exit");
  EXPECT_EQ(number_at(jobs[0], "exit_code"), 3U);
}

TEST_F(ServerBehaviour, TheLogAsTextHasNoRequests) {
  EXPECT_EQ(text_at(run_cmd(shell("exit 3")), "status"), "Nonzero Exit Status");
  server().kill(SIGTERM);
  EXPECT_THAT(server().wait().err, Not(HasSubstr("/run")));
}

// ---- the end

TEST_F(ServerBehaviour, ATermLetsRequestsFinishAndTakesNoMore) {
  const std::string body = json::serialize(
      json::object{{"cmd", json::array{shell("echo begun >&2; sleep 0.5; echo finished")}}});
  HttpClient asks(address());
  HttpClient idle(address());
  asks.write_raw("POST /run HTTP/1.1\r\nHost: localhost\r\nContent-Length: " +
                 std::to_string(body.size()) + "\r\n\r\n" + body);
  await_metric("go_judge_worker_running_count 1");
  server().kill(SIGTERM);
  EXPECT_THAT(asks.read_answer().body, HasSubstr("finished"));
  EXPECT_EQ(idle.read_to_end(), "");
  EXPECT_EQ(server().wait().status, 0);
}

TEST_F(ServerBehaviour, AUnixSocketServesAndIsRemoved) {
  const std::string path = scratch_ / "socket";
  arguments = {"--http-addr", "unix:" + path};
  expect_well();
  restart(SIGKILL);
  // What a killed server left is replaced.
  expect_well();
  server().stop();
  EXPECT_FALSE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace hatchery::testing
