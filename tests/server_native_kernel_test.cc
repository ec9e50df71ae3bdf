// The native interface below /v1: jobs, batches, logs, files, and its description.
#include <gmock/gmock.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "tests/await.h"
#include "tests/server_fixture.h"
#include "tests/slowness.h"

namespace hatchery::testing {
namespace {

using ::testing::HasSubstr;

class Native : public ServerTest {
 protected:
  static json::value parsed(const std::string& text) {
    json::error_code error;
    json::value value = json::parse(text, error);
    EXPECT_FALSE(error) << text;
    return value;
  }
  json::object answer(const HttpAnswer& got, int status) {
    EXPECT_EQ(got.status, status) << got.body;
    const json::value value = parsed(got.body);
    return value.is_object() ? value.get_object() : json::object{};
  }
  /// A job that is waited for.
  json::object job(const json::object& spec) {
    return answer(client().post("/v1/jobs?wait=1", json::serialize(spec)), 200);
  }
  static json::object script(const std::string& text, const json::object& more = {}) {
    json::object spec{{"args", {"/bin/sh", "-c", text}}};
    for (const json::key_value_pair& pair : more) spec[pair.key()] = pair.value();
    return spec;
  }
  /// The message of an error's answer.
  std::string error(const HttpAnswer& got, int status) {
    const json::object object = answer(got, status);
    const json::value* error = object.if_contains("error");
    return error == nullptr ? "" : text_at(error->get_object(), "message");
  }
};

std::string output_text(const json::object& tracked, const std::string& name) {
  for (const json::value& output : tracked.at("report").get_object().at("outputs").get_array())
    if (text_at(output.get_object(), "name") == name) return text_at(output.get_object(), "text");
  return "";
}

TEST_F(Native, AJobIsRunAndItsReportIsKept) {
  const json::object done =
      job(script("cat; exit 3", {{"stdin", {{"text", "in"}}}, {"id", "mine"}}));
  EXPECT_EQ(text_at(done, "state"), "done");
  const json::object report = done.at("report").get_object();
  EXPECT_EQ(text_at(report, "id"), "mine");
  EXPECT_EQ(text_at(report, "outcome"), "nonzero exit");
  EXPECT_EQ(number_at(report, "exit_code"), 3U);
  EXPECT_EQ(output_text(done, "stdout"), "in");
  const json::object again = answer(client().get("/v1/jobs/" + text_at(done, "id")), 200);
  EXPECT_EQ(again, done);
  const json::array listed = answer(client().get("/v1/jobs"), 200).at("jobs").get_array();
  ASSERT_EQ(listed.size(), 1U);
  EXPECT_EQ(text_at(listed[0].get_object(), "id"), text_at(done, "id"));
}

TEST_F(Native, AJobGoesOnWithoutItsClientAndIsFoundAgain) {
  const json::object accepted =
      answer(client().post("/v1/jobs", json::serialize(script("sleep 0.2; echo done"))), 202);
  EXPECT_EQ(text_at(accepted, "state"), "active");
  EXPECT_TRUE(accepted.at("report").is_null());
  HttpClient another(address());
  const json::object done =
      answer(another.get("/v1/jobs/" + text_at(accepted, "id") + "?wait=1"), 200);
  EXPECT_EQ(output_text(done, "stdout"), "done\n");
}

TEST_F(Native, ACancelledJobSaysSo) {
  const std::string id = text_at(
      answer(client().post("/v1/jobs", json::serialize(script(
                                           "sleep 1000", {{"limits", {{"wall_time", "1h"}}}}))),
             202),
      "id");
  answer(client().request("DELETE", "/v1/jobs/" + id), 202);
  const json::object done = answer(client().get("/v1/jobs/" + id + "?wait=1"), 200);
  EXPECT_EQ(text_at(done.at("report").get_object(), "outcome"), "cancelled");
}

TEST_F(Native, OutputsOfAnyBytesComeWhole) {
  const json::object done =
      job(script("printf 'a\\377\\000b'; printf x >file",
                 {{"files_out", json::array{json::object{{"path", "file"}, {"store", true}}}}}));
  const std::string path = "/v1/jobs/" + text_at(done, "id") + "/outputs/";
  EXPECT_EQ(client().get(path + "stdout").body, std::string("a\377\0b", 4));
  EXPECT_EQ(client().get(path + "file").body, "x");
  EXPECT_EQ(client().get(path + "none").status, 404);
  EXPECT_THAT(json::serialize(done), HasSubstr("\"base64\":\"Yf8AYg==\""));
}

TEST_F(Native, AKeyRunsAJobOnce) {
  const std::string body = json::serialize(script("date +%N"));
  const HttpHeaders key = {{"Idempotency-Key", "k1"}};
  const HttpAnswer first = client().request("POST", "/v1/jobs?wait=1", body, key);
  const HttpAnswer second = client().request("POST", "/v1/jobs?wait=1", body, key);
  EXPECT_EQ(first.body, second.body);
  EXPECT_EQ(second.headers.at("idempotent-replay"), "true");
  EXPECT_FALSE(first.headers.contains("idempotent-replay"));
  EXPECT_EQ(client().request("POST", "/v1/jobs", json::serialize(script("other")), key).status,
            422);
  EXPECT_NE(client().request("POST", "/v1/jobs?wait=1", body, {{"Idempotency-Key", "k2"}}).body,
            first.body);
}

// ---- logs

/// The bytes of a log's events, and the last event's id.
struct Followed {
  std::string out = {};
  std::string err = {};
  std::string last_id = {};
  std::string end = {};
};

Followed parse_events(const std::string& body) {
  Followed followed;
  std::istringstream lines(body);
  std::string line, event, id;
  while (std::getline(lines, line)) {
    if (line.starts_with("id: ")) followed.last_id = line.substr(4);
    if (line.starts_with("event: ")) event = line.substr(7);
    if (!line.starts_with("data: ")) continue;
    json::error_code error;
    const json::object data = json::parse(line.substr(6), error).get_object();
    if (event == "stdout") followed.out += text_at(data, "text");
    if (event == "stderr") followed.err += text_at(data, "text");
    if (event == "end") followed.end = text_at(data, "outcome");
  }
  return followed;
}

TEST_F(Native, ALogIsFollowedLiveAndResumedWhereItBroke) {
  const std::string id = text_at(
      answer(client().post("/v1/jobs?log=1",
                           json::serialize(script("echo one; echo err >&2; sleep 0.3; echo two"))),
             202),
      "id");
  HttpClient follower(address());
  const Followed all = parse_events(follower.get("/v1/jobs/" + id + "/log").body);
  EXPECT_EQ(all.out, "one\ntwo\n");
  EXPECT_EQ(all.err, "err\n");
  EXPECT_EQ(all.end, "accepted");
  EXPECT_EQ(all.last_id, "12");
  HttpClient resumed(address());
  EXPECT_EQ(
      parse_events(
          resumed.request("GET", "/v1/jobs/" + id + "/log", "", {{"Last-Event-ID", "9"}}).body)
          .out,
      "wo\n");
  HttpClient at_end(address());
  EXPECT_EQ(parse_events(at_end.get("/v1/jobs/" + id + "/log?offset=12").body).out, "");
  HttpClient wrong(address());
  EXPECT_EQ(wrong.get("/v1/jobs/" + id + "/log?offset=x").status, 400);
  EXPECT_EQ(client().get("/v1/jobs/" + text_at(job(script("exit 0")), "id") + "/log").status, 404);
}

TEST_F(Native, ALogThatIsSilentSaysThatItLives) {
  arguments = {"--config", write("events.toml", "[server]\nevent_silence = \"1ms\"\n")};
  const std::string id = text_at(
      answer(client().post("/v1/jobs?log=1", json::serialize(script("sleep 3600"))), 202), "id");
  HttpClient follower(address());
  follower.write_raw("GET /v1/jobs/" + id + "/log HTTP/1.1\r\nHost: localhost\r\n\r\n");
  // A comment, as Server-Sent Events have it, in a chunk of its own.
  EXPECT_THAT(follower.read_until("3\r\n:\n\n\r\n"), HasSubstr("\r\n:\n\n\r\n"));
  EXPECT_EQ(client().request("DELETE", "/v1/jobs/" + id).status, 202);
  EXPECT_THAT(follower.read_until("event: end"), HasSubstr("event: end"));
}

TEST_F(Native, AnEventStreamSaysThatItsConnectionEndsWithIt) {
  const std::string id = text_at(
      answer(client().post("/v1/jobs?log=1&wait=1", json::serialize(script("echo x"))), 200), "id");
  HttpClient follower(address());
  EXPECT_EQ(follower.get("/v1/jobs/" + id + "/log").headers["connection"], "close");
  // The control: any other answer leaves it open.
  EXPECT_EQ(client().get("/v1/jobs/" + id).headers["connection"], "");
}

TEST_F(Native, AJobIsForgottenWhenItsTimeIsOver) {
  arguments = {"--config", write("kept.toml", "[server]\njobs_kept = \"1ms\"\n")};
  const std::string id =
      text_at(answer(client().post("/v1/jobs?wait=1", json::serialize(script("true"))), 200), "id");
  int status = 0;
  await([&] { return (status = client().get("/v1/jobs/" + id).status) != 200; });
  EXPECT_EQ(status, 404);
}

TEST_F(Native, ALogBeyondTheOutputLimitEndsTheJob) {
  const json::object done = answer(
      client().post(
          "/v1/jobs?log=1&wait=1",
          json::serialize(script(
              "yes",
              {{"limits", {{"output", 100'000}, {"wall_time", "1h"}, {"cpu_time", "1h"}}}}))),
      200);
  EXPECT_EQ(text_at(done.at("report").get_object(), "outcome"), "output limit");
  EXPECT_EQ(number_at(done, "log_bytes"), 100'000U);
}

// ---- batches

TEST_F(Native, ABatchRunsOneProgramOnManyTests) {
  const json::object batch{
      {"job", script("read a b; echo $((a+b))")},
      {"tests", json::array{json::object{{"id", "small"}, {"stdin", "1 2\n"}, {"expected", "3"}},
                            json::object{{"stdin", "20 22\n"}, {"expected", "42\n"}}}}};
  const json::object done =
      answer(client().post("/v1/batches?wait=1", json::serialize(batch)), 200);
  EXPECT_EQ(text_at(done, "verdict"), "accepted") << json::serialize(done);
  const json::array results = done.at("results").get_array();
  ASSERT_EQ(results.size(), 2U);
  EXPECT_EQ(text_at(results[0].get_object(), "id"), "small");
  EXPECT_EQ(text_at(results[1].get_object(), "id"), "2");
  for (const json::value& result : results)
    EXPECT_EQ(text_at(result.get_object(), "verdict"), "accepted");
  EXPECT_EQ(answer(client().get("/v1/batches/" + text_at(done, "id")), 200), done);
}

TEST_F(Native, ABatchStopsAtTheFirstFailureUnlessToldNotTo) {
  json::array tests;
  for (int i = 0; i < 40; ++i)
    tests.push_back(json::object{{"stdin", std::to_string(i)},
                                 {"expected", i == 3 ? "wrong" : std::to_string(i)}});
  json::object batch{{"job", script("cat")}, {"tests", tests}};
  const auto counts = [&] {
    std::map<std::string, int> verdicts;
    const json::object done =
        answer(client().post("/v1/batches?wait=1", json::serialize(batch)), 200);
    EXPECT_EQ(text_at(done, "verdict"), "wrong answer");
    for (const json::value& result : done.at("results").get_array())
      ++verdicts[text_at(result.get_object(), "verdict")];
    return verdicts;
  };
  std::map<std::string, int> stopped = counts();
  EXPECT_EQ(stopped["wrong answer"], 1);
  EXPECT_GT(stopped["not run"], 0);
  batch["stop_at_first"] = false;
  EXPECT_EQ(counts(), (std::map<std::string, int>{{"accepted", 39}, {"wrong answer", 1}}));
}

TEST_F(Native, ABatchsVerdictIsTheFirstFailedTestsThoughALaterOneFailedSooner) {
  const json::object done =
      answer(client().post("/v1/batches?wait=1",
                           json::serialize(json::object{
                               {"job", script("read code; [ $code = 0 ] || sleep 0.3; exit $code")},
                               {"tests", json::array{{{"stdin", "7"}, {"expected", ""}},
                                                     {{"stdin", "0"}, {"expected", "more"}}}}})),
             200);
  EXPECT_EQ(text_at(done, "verdict"), "nonzero exit");
}

TEST_F(Native, ABatchsCheckerDecides) {
  const char* check =
      "read a <output; read b <expected; [ -s input ] || exit 9; [ $a -ge $b ] && echo at least || "
      "exit 1";
  json::object batch{{"job", script("cat")},
                     {"checker", script(check)},
                     {"stop_at_first", false},
                     {"tests", json::array{json::object{{"stdin", "7\n"}, {"expected", "5\n"}},
                                           json::object{{"stdin", "4\n"}, {"expected", "5\n"}},
                                           json::object{{"stdin", ""}, {"expected", "5\n"}}}}};
  const json::array results =
      answer(client().post("/v1/batches?wait=1", json::serialize(batch)), 200)
          .at("results")
          .get_array();
  EXPECT_EQ(text_at(results[0].get_object(), "verdict"), "accepted");
  EXPECT_EQ(text_at(results[0].get_object(), "message"), "at least\n");
  EXPECT_EQ(text_at(results[1].get_object(), "verdict"), "wrong answer");
  EXPECT_EQ(text_at(results[2].get_object(), "verdict"), "judge error");
}

TEST_F(Native, ToleranceAndOutcomesAreVerdicts) {
  json::object batch{
      {"job", script("cat; read x <&0; [ -e /w/never ] || true")},
      {"validator_flags", {"float_tolerance 1e-3"}},
      {"stop_at_first", false},
      {"tests",
       json::array{json::object{{"stdin", "3.1415"}, {"expected", "3.1416"}},
                   json::object{{"stdin", "3.1"}, {"expected", "3.2"}},
                   json::object{{"args", {"/bin/sh", "-c", "exit 4"}}, {"expected", ""}}}}};
  const json::array results =
      answer(client().post("/v1/batches?wait=1", json::serialize(batch)), 200)
          .at("results")
          .get_array();
  EXPECT_EQ(text_at(results[0].get_object(), "verdict"), "accepted");
  EXPECT_EQ(text_at(results[1].get_object(), "verdict"), "wrong answer");
  EXPECT_EQ(text_at(results[2].get_object(), "verdict"), "nonzero exit");
}

TEST_F(Native, ACancelledBatchEnds) {
  json::array tests;
  for (int i = 0; i < 20; ++i) tests.push_back(json::object{{"stdin", ""}});
  const json::object batch{{"job", script("sleep 1000", {{"limits", {{"wall_time", "1h"}}}})},
                           {"tests", tests}};
  const std::string id =
      text_at(answer(client().post("/v1/batches", json::serialize(batch)), 202), "id");
  answer(client().request("DELETE", "/v1/batches/" + id), 202);
  const json::object done = answer(client().get("/v1/batches/" + id + "?wait=1"), 200);
  EXPECT_EQ(text_at(done, "verdict"), "cancelled");
  for (const json::value& result : done.at("results").get_array())
    EXPECT_EQ(text_at(result.get_object(), "verdict"), "not run");
}

// ---- files

TEST_F(Native, AFilesIdIsItsHashAndTheSameContentIsStoredOnce) {
  const std::string hello = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
  EXPECT_EQ(client().request("HEAD", "/v1/files/" + hello).status, 404);
  for (int i = 0; i < 2; ++i) {
    const json::object stored = answer(client().request("POST", "/v1/files", "hello"), 201);
    EXPECT_EQ(text_at(stored, "id"), hello);
    EXPECT_EQ(number_at(stored, "size"), 5U);
  }
  EXPECT_EQ(client().request("HEAD", "/v1/files/" + hello).status, 200);
  EXPECT_EQ(client().get("/v1/files/" + hello).body, "hello");
  const json::object files = answer(client().get("/v1/files"), 200);
  EXPECT_EQ(files.at("files").get_array().size(), 1U);
  EXPECT_EQ(number_at(files, "bytes"), 5U);
  const json::object done =
      job({{"args", {"cat", "f"}},
           {"files_in", json::array{json::object{{"path", "f"}, {"stored", hello}}}}});
  EXPECT_EQ(output_text(done, "stdout"), "hello");
  EXPECT_EQ(client().request("DELETE", "/v1/files/" + hello).status, 204);
  EXPECT_EQ(client().request("DELETE", "/v1/files/" + hello).status, 404);
  EXPECT_EQ(text_at(answer(client().request("POST", "/v1/files", ""), 201), "id"),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST_F(Native, FilesInADirectorySurviveARestart) {
  arguments = {"--dir", scratch_ / "files"};
  const std::string named = upload("of go-judge", "name.txt");
  const std::string hash =
      text_at(answer(client().request("POST", "/v1/files", "hello"), 201), "id");
  const json::object made =
      job(script("printf made >m",
                 {{"files_out", json::array{json::object{{"path", "m"}, {"store", true}}}}}));
  std::string stored;
  for (const json::value& output : made.at("report").get_object().at("outputs").get_array())
    if (output.get_object().contains("stored")) stored = text_at(output.get_object(), "stored");
  // A second server may not have the same directory.
  const ProcessResult second = run_process(
      {HATCHERY_BINARY, "serve", "--http-addr", "127.0.0.1:0", "--dir", scratch_ / "files"});
  EXPECT_NE(second.status, 0);
  EXPECT_THAT(second.err, HasSubstr("EBUSY"));
  restart(SIGKILL);
  EXPECT_EQ(client().get("/file/" + named).body, "of go-judge");
  EXPECT_THAT(client().get("/file").body, HasSubstr("name.txt"));
  EXPECT_EQ(client().get("/v1/files/" + hash).body, "hello");
  EXPECT_EQ(client().get("/v1/files/" + stored).body, "made");
  const json::object done =
      job({{"args", {"cat", "f"}},
           {"files_in", json::array{json::object{{"path", "f"}, {"stored", hash}}}}});
  EXPECT_EQ(output_text(done, "stdout"), "hello");
  EXPECT_EQ(client().request("DELETE", "/file/" + named).status, 200);
  restart(SIGTERM);
  EXPECT_EQ(client().get("/file/" + named).status, 404);
}

TEST_F(Native, ALargeFileIsStoredAndReadBackWithoutBeingHeld) {
  arguments = {"--dir", scratch_ / "files"};
  const std::uint64_t mebibytes = slowness() == 1 ? 96 : 48;
  const std::uint64_t size = mebibytes << 20;
  client().write_raw("POST /v1/files HTTP/1.1\r\nHost: localhost\r\nContent-Length: " +
                     std::to_string(size) + "\r\n\r\n");
  const std::string part(1 << 20, 'x');
  for (std::uint64_t i = 0; i < mebibytes; ++i) ASSERT_TRUE(client().write_raw(part));
  const json::object stored = answer(client().read_answer(), 201);
  EXPECT_EQ(number_at(stored, "size"), size);
  EXPECT_LT(server().peak_resident_kib(), mebibytes * 2 / 3 << 10);
  EXPECT_EQ(client().get("/v1/files/" + text_at(stored, "id")).body.size(), size);
  EXPECT_LT(server().peak_resident_kib(), mebibytes * 2 / 3 << 10);
}

// ---- refusals

TEST_F(Native, WhatIsWrongIsNamedWithItsRemedy) {
  const struct {
    const char* target;
    const char* body;
    const char* says;
  } cases[] = {
      {"/v1/jobs", "{", "JSON"},
      {"/v1/jobs", "{}", "args"},
      {"/v1/jobs", R"({"args":["ls"],"nope":1})", "nope"},
      {"/v1/jobs", R"({"args":["ls"],"limits":{"memory":1}})", "limits.memory"},
      {"/v1/jobs", R"({"args":["ls"],"stdin":{"host_file":"/etc/passwd"}})",
       "path of the server's host"},
      {"/v1/jobs", R"({"args":["ls"],"stdout":{"host_file":"/tmp/x","write":true}})",
       "path of the server's host"},
      {"/v1/jobs", R"({"args":["ls"],"files_in":[{"path":"a","host_directory":"/etc"}]})",
       "path of the server's host"},
      {"/v1/jobs",
       R"({"args":["ls"],"files_in":[{"path":"a","stored":"00000000000000000000000000000000"}]})",
       "not stored"},
      {"/v1/batches", "[]", "object"},
      {"/v1/batches", "{}", "tests"},
      {"/v1/batches", R"({"job":{"args":["ls"]},"tests":[{"nope":1}]})", "nope"},
      {"/v1/batches", R"({"job":{"args":["ls"]},"tests":[{"expected":7}]})", "expected"},
      {"/v1/batches", R"({"job":{},"tests":[{}]})", "args"},
  };
  for (const auto& one : cases)
    EXPECT_THAT(error(client().post(one.target, one.body), 400), HasSubstr(one.says)) << one.body;
  for (const char* path :
       {"/v1/jobs/none", "/v1/batches/none", "/v1/files/none", "/v1/none", "/v1/jobs/none/log"})
    error(client().get(path), 404);
  error(client().request("PUT", "/v1/jobs"), 405);
  error(client().request("POST", "/v1/stats"), 405);
}

TEST_F(Native, HostFilesAreReadWhereTheOperatorAllowsThem) {
  const std::string path = write("data/file", "allowed");
  arguments = {"--src-prefix", scratch_ / "data"};
  const json::object done = job({{"args", {"cat"}}, {"stdin", {{"host_file", path}}}});
  EXPECT_EQ(output_text(done, "stdout"), "allowed");
}

// ---- clients

constexpr const char* kClients = R"(
[server]
src_prefixes = []
[[server.client]]
name = "one"
token = "first"
in_flight_max = 1
profile = "small"
[[server.client]]
name = "two"
token = "second"
rate = 0.001
[[profile]]
name = "default"
slots_max = 4
[[profile]]
name = "small"
slots_max = 2
[profile.maximums]
memory = "64MiB"
[profile.defaults]
memory = "64MiB"
)";

TEST_F(Native, EachClientHasItsTokenItsJobsAndItsLimits) {
  arguments = {"--config", write("server.toml", kClients)};
  const HttpHeaders one = {{"Authorization", "Bearer first"}};
  const HttpHeaders two = {{"Authorization", "Bearer second"}};
  EXPECT_EQ(client().get("/v1/jobs").status, 401);
  HttpClient asks(address());
  const json::object sleeping = script("sleep 1000", {{"limits", {{"wall_time", "1h"}}}});
  const std::string id =
      text_at(answer(asks.request("POST", "/v1/jobs", json::serialize(sleeping), one), 202), "id");
  // In flight: on either interface.
  HttpAnswer busy = asks.request("POST", "/v1/jobs", json::serialize(script("exit 0")), one);
  EXPECT_THAT(error(busy, 429), HasSubstr("more at once"));
  EXPECT_EQ(busy.headers["retry-after"], "1");
  json::object cmd = shell("echo ran");
  cmd["memoryLimit"] = 32 << 20;
  const std::string cmd_body = json::serialize(json::object{{"cmd", json::array{cmd}}});
  busy = asks.request("POST", "/run", cmd_body, one);
  EXPECT_EQ(busy.status, 429) << busy.body;
  // Whose job it is.
  EXPECT_EQ(asks.request("GET", "/v1/jobs/" + id, "", two).status, 404);
  EXPECT_EQ(asks.request("DELETE", "/v1/jobs/" + id, "", two).status, 404);
  EXPECT_EQ(asks.request("DELETE", "/v1/jobs/" + id, "", one).status, 202);
  answer(asks.request("GET", "/v1/jobs/" + id + "?wait=1", "", one), 200);
  // What its profile allows.
  const json::object large = script("exit 0", {{"limits", {{"memory", "65MiB"}}}});
  EXPECT_THAT(error(asks.request("POST", "/v1/jobs", json::serialize(large), one), 400),
              HasSubstr("above the maximum of profile \"small\""));
  // Whoever hears of a job's end has room for the next one.
  const std::string small = json::serialize(script("exit 0"));
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(asks.request("POST", "/v1/jobs?wait=1", small, one).status, 200);
    EXPECT_EQ(asks.request("POST", "/run", cmd_body, one).status, 200);
  }
  // Its rate: one at once, and no second one.
  EXPECT_EQ(asks.request("POST", "/v1/jobs?wait=1", json::serialize(large), two).status, 200);
  EXPECT_EQ(asks.request("POST", "/v1/jobs?wait=1", json::serialize(large), two).status, 429);
}

TEST_F(Native, ConfigCheckSaysWhatServeWould) {
  const auto check = [this](const std::string& text) {
    return run_process({HATCHERY_BINARY, "config", "check", write("checked.toml", text)});
  };
  const ProcessResult good = check(kClients);
  EXPECT_EQ(good.status, 0) << good.err;
  EXPECT_THAT(good.out, HasSubstr("clients: 2"));
  const struct {
    const char* text;
    const char* says;
  } cases[] = {
      {"[server]\nlisten = 7\n", ":2:10: server.listen"},
      {"[server]\nlitsen = []\n", "did you mean \"listen\""},
      {"[server]\nfile_timeout = \"soon\"\n", "server.file_timeout"},
      {"[server]\nsrc_prefixes = [\"/no/such\"]\n", "/no/such"},
      {"[[server.client]]\nname = \"a\"\n", "token"},
      {"[[server.client]]\ntoken = \"a\"\n", "name"},
      {"[[server.client]]\nname = \"a\"\ntoken_file = \"/no/such\"\n", "/no/such"},
      {"[[server.client]]\nname = \"a\"\ntoken = \"x\"\nrate = -1\n", "rate"},
      {"queue_max = 0\n", "queue_max"},
      {"server = 1\n", "[server]"},
  };
  for (const auto& one : cases) {
    const ProcessResult bad = check(one.text);
    EXPECT_EQ(bad.status, 248) << one.text << bad.out;
    EXPECT_THAT(bad.err, HasSubstr(one.says)) << one.text;
  }
}

// ---- the page

TEST_F(Native, ThePageWorksInABrowser) {
  for (const char* feature : {"python3", "selenium", "chromium", "gxx"})
    HATCHERY_REQUIRE_FEATURE(feature);
  const ProcessResult result = run_process(
      {"/usr/bin/python3", HATCHERY_SOURCE_DIR "/tests/server_page.py", "http://" + address()});
  EXPECT_EQ(result.status, 0) << result.out << result.err;
}

TEST_F(Native, ThePageIsOpenAndItsDataIsNot) {
  arguments = {"--auth-token", "secret"};
  for (const char* path : {"/", "/page.js", "/page.css", "/chart.min.js"}) {
    const HttpAnswer page = client().get(path);
    EXPECT_EQ(page.status, 200) << path;
    EXPECT_THAT(page.headers.at("content-security-policy"), HasSubstr("default-src 'self'"));
  }
  for (const char* path : {"/v1/stats", "/v1/events", "/v1/openapi.json"}) {
    HttpClient fresh(address());
    EXPECT_EQ(fresh.get(path).status, 401) << path;
  }
}

// ---- its description

/// The members that a schema of the document requires are there.
void expect_matches(const json::object& document, const json::value& schema, const json::value& got,
                    const std::string& where) {
  const json::object* object = schema.if_object();
  if (object == nullptr) return;
  if (const std::string name = text_at(*object, "$ref"); !name.empty())
    return expect_matches(
        document, document.at("components").at("schemas").at(name.substr(name.rfind('/') + 1)), got,
        where);
  if (got.is_null()) {
    EXPECT_TRUE(object->contains("nullable")) << where;
    return;
  }
  if (const json::value* all = object->if_contains("allOf"))
    for (const json::value& one : all->get_array()) expect_matches(document, one, got, where);
  if (const json::value* required = object->if_contains("required")) {
    for (const json::value& name : required->get_array())
      EXPECT_TRUE(got.get_object().contains(name.get_string()))
          << where << "." << name.get_string().c_str();
  }
  if (const json::value* properties = object->if_contains("properties"))
    for (const json::key_value_pair& property : properties->get_object())
      if (const json::value* member = got.get_object().if_contains(property.key()))
        expect_matches(document, property.value(), *member,
                       where + "." + std::string(property.key()));
  if (const json::value* items = object->if_contains("items"))
    for (const json::value& item : got.get_array())
      expect_matches(document, *items, item, where + "[]");
}

TEST_F(Native, TheServerAnswersAsItsDescriptionSays) {
  const json::object document = answer(client().get("/v1/openapi.json"), 200);
  EXPECT_EQ(text_at(document, "openapi").substr(0, 2), "3.");
  const std::string job_id = text_at(job(script("echo hi")), "id");
  const std::string log_id = text_at(
      answer(client().post("/v1/jobs?log=1&wait=1", json::serialize(script("echo hi"))), 200),
      "id");
  const std::string file_id =
      text_at(answer(client().request("POST", "/v1/files", "x"), 201), "id");
  const std::string batch = R"({"job":{"args":["cat"]},"tests":[{"stdin":"a","expected":"a"}]})";
  const std::string batch_id =
      text_at(answer(client().post("/v1/batches?wait=1", batch), 200), "id");
  for (const json::key_value_pair& path : document.at("paths").get_object()) {
    for (const json::key_value_pair& operation : path.value().get_object()) {
      std::string target(path.key());
      std::string method(operation.key());
      for (char& letter : method) letter = static_cast<char>(std::toupper(letter));
      const bool is_log = target.ends_with("/log");
      if (target == "/v1/events") continue;  // It never ends: below.
      std::string body;
      if (method == "POST")
        body = target == "/v1/jobs"      ? R"({"args":["true"]})"
               : target == "/v1/batches" ? batch
                                         : "y";
      if (const std::size_t id = target.find("{id}"); id != std::string::npos)
        target.replace(id, 4,
                       is_log                              ? log_id
                       : target.starts_with("/v1/files")   ? file_id
                       : target.starts_with("/v1/batches") ? batch_id
                                                           : job_id);
      if (const std::size_t name = target.find("{name}"); name != std::string::npos)
        target.replace(name, 6, "stdout");
      HttpClient fresh(address());
      const HttpAnswer got = fresh.request(method, target, body);
      const std::string where = method + " " + target;
      const json::value* described =
          operation.value().at("responses").get_object().if_contains(std::to_string(got.status));
      ASSERT_NE(described, nullptr) << where << " answered " << got.status;
      EXPECT_LT(got.status, 300) << where;
      const json::value* content = described->get_object().if_contains("content");
      if (content == nullptr) {
        EXPECT_EQ(got.body, "") << where;
        continue;
      }
      const std::string type = got.headers.at("content-type");
      const json::value* media = content->get_object().if_contains(type);
      ASSERT_NE(media, nullptr) << where << " has the type " << type;
      if (type == "application/json")
        expect_matches(document, media->at("schema"), parsed(got.body), where);
    }
  }
  HttpClient follower(address());
  follower.write_raw("GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
}

}  // namespace
}  // namespace hatchery::testing
