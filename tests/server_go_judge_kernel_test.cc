// go-judge's interface, field by field and error by error, over a real connection to a real server.
#include <gmock/gmock.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <chrono>
#include <thread>

#include "tests/server_fixture.h"
#include "tests/slowness.h"

namespace hatchery::testing {
namespace {

using ::testing::AnyOf;
using ::testing::Ge;
using ::testing::HasSubstr;
using ::testing::Le;
using ::testing::StartsWith;

class GoJudge : public ServerTest {};

json::array files(std::initializer_list<json::value> list) {
  json::array array;
  for (const json::value& one : list) array.push_back(one);
  return array;
}
json::object collector(const char* name, std::int64_t max, bool pipe = false) {
  return {{"name", name}, {"max", max}, {"pipe", pipe}};
}
json::object content(const std::string& text) { return {{"content", text}}; }

// ---- /run: statuses and figures

TEST_F(GoJudge, AnAcceptedCommandHasItsOutputsAndFigures) {
  const json::object result = run_cmd(
      shell("cat; echo err >&2",
            {{"files", files({content("in"), collector("stdout", 99), collector("stderr", 99)})}}));
  EXPECT_EQ(text_at(result, "status"), "Accepted") << json::serialize(result);
  EXPECT_EQ(number_at(result, "exitStatus"), 0U);
  EXPECT_EQ(file_of(result, "stdout"), "in");
  EXPECT_EQ(file_of(result, "stderr"), "err\n");
  EXPECT_GT(number_at(result, "time"), 0U);
  EXPECT_GT(number_at(result, "memory"), 0U);
  EXPECT_GT(number_at(result, "runTime"), 0U);
  EXPECT_FALSE(result.contains("fileError"));
  EXPECT_FALSE(result.contains("error"));
}

TEST_F(GoJudge, EveryStatusHasItsWord) {
  arguments = {"--output-limit", "64k"};
  const char* burn = "while :; do :; done";
  const struct {
    const char* status;
    std::uint64_t exit_status;
    json::object cmd;
  } cases[] = {
      {"Nonzero Exit Status", 3, shell("exit 3")},
      {"Signalled", 11, shell("kill -SEGV $$")},
      {"Signalled", 9, shell("kill -KILL $$")},
      {"Time Limit Exceeded", 9, shell(burn, {{"cpuLimit", 100'000'000}})},
      {"Time Limit Exceeded", 9, shell("sleep 100", {{"clockLimit", 100'000'000}})},
      {"Time Limit Exceeded", 9, shell("sleep 100", {{"realCpuLimit", 100'000'000}})},
      {"Output Limit Exceeded", 25,
       shell("trap - XFSZ; head -c 100000 /dev/zero >x; kill -XFSZ $$")},
      {"Output Limit Exceeded", 0,
       shell("echo 12345", {{"files", files({content(""), collector("stdout", 4)})}})},
      {"Dangerous Syscall", 31, shell("kill -SYS $$")},
  };
  for (const auto& one : cases) {
    const json::object result = run_cmd(one.cmd);
    EXPECT_EQ(text_at(result, "status"), one.status) << json::serialize(result);
    EXPECT_EQ(number_at(result, "exitStatus"), one.exit_status) << json::serialize(result);
  }
}

TEST_F(GoJudge, MemoryBeyondTheLimitIsMemoryLimitExceededWhateverElse) {
  const char* hoard = "x=$(head -c 60000000 /dev/zero | tr '\\0' a); echo ${#x}";
  const json::object over = run_cmd(shell(hoard, {{"memoryLimit", 16 << 20}}));
  EXPECT_EQ(text_at(over, "status"), "Memory Limit Exceeded") << json::serialize(over);
  const json::object within = run_cmd(shell(hoard));
  EXPECT_EQ(text_at(within, "status"), "Accepted") << json::serialize(within);
  EXPECT_GT(number_at(within, "memory"), 60'000'000U);
}

TEST_F(GoJudge, ZeroAndHugeLimitsHaveADefinedAnswer) {
  EXPECT_EQ(text_at(run_cmd(shell("exit 0", {{"cpuLimit", 0}})), "status"), "Time Limit Exceeded");
  EXPECT_EQ(text_at(run_cmd(shell("exit 0", {{"memoryLimit", 0}})), "status"),
            "Memory Limit Exceeded");
  EXPECT_EQ(text_at(run_cmd(shell("exit 0", {{"memoryLimit", 4096}})), "status"),
            "Memory Limit Exceeded");
  EXPECT_EQ(text_at(run_cmd(shell("sleep 9", {{"clockLimit", 1}})), "status"),
            "Time Limit Exceeded");
  const json::object none = run_cmd(shell("exit 0", {{"procLimit", 0}}));
  EXPECT_EQ(text_at(none, "status"), "Internal Error");
  EXPECT_THAT(text_at(none, "error"), HasSubstr("procLimit"));
  const std::uint64_t most = ~std::uint64_t{0};
  const json::object huge = run_cmd(shell("echo", {{"cpuLimit", most},
                                                   {"clockLimit", most},
                                                   {"memoryLimit", most},
                                                   {"procLimit", most},
                                                   {"stackLimit", most}}));
  EXPECT_EQ(text_at(huge, "status"), "Accepted") << json::serialize(huge);
}

TEST_F(GoJudge, AProcessLimitHolds) {
  const json::object result =
      run_cmd(shell("(sleep 0.1 & sleep 0.1 & sleep 0.1 & wait) 2>&1", {{"procLimit", 2}}));
  EXPECT_THAT(file_of(result, "stdout"), HasSubstr("fork"));
}

TEST_F(GoJudge, AStackLimitIsClippedToTheMemory) {
  const json::object cmd =
      shell("ulimit -s", {{"stackLimit", 1ULL << 40}, {"memoryLimit", 64 << 20}});
  EXPECT_EQ(file_of(run_cmd(cmd), "stdout"), std::to_string((64 << 10) + 16) + "\n");
}

TEST_F(GoJudge, DataAndAddressSpaceLimitsFollowTheMemoryLimit) {
  const std::string limit = std::to_string((64 << 10) + 16) + "\n";
  for (const char* field : {"dataSegmentLimit", "strictMemoryLimit"})
    EXPECT_EQ(
        file_of(run_cmd(shell("ulimit -d", {{field, true}, {"memoryLimit", 64 << 20}})), "stdout"),
        limit);
  EXPECT_EQ(
      file_of(run_cmd(shell("ulimit -v", {{"addressSpaceLimit", true}, {"memoryLimit", 64 << 20}})),
              "stdout"),
      limit);
  EXPECT_EQ(file_of(run_cmd(shell("ulimit -d; ulimit -v")), "stdout"), "unlimited\nunlimited\n");
}

TEST_F(GoJudge, ACpuRateSlowsOnlyWhereItIsEnabled) {
  const json::object cmd = shell(
      "i=0; while [ $i -lt " + std::to_string(100'000 / slowness()) + " ]; do i=$((i+1)); done",
      {{"cpuRateLimit", 100}});
  const auto ratio = [](const json::object& result) {
    return static_cast<double>(number_at(result, "runTime")) /
           static_cast<double>(number_at(result, "time"));
  };
  arguments = {"--enable-cpu-rate"};
  EXPECT_GT(ratio(run_cmd(cmd)), 4);
}

TEST_F(GoJudge, CommandsAreFoundInTheWorkingDirectoryThenInPath) {
  const json::object script{{"content", "#!/bin/sh\necho mine\n"}};
  EXPECT_EQ(file_of(run_cmd(cmd({"ls"}, {{"copyIn", {{"ls", script}}}})), "stdout"), "mine\n");
  EXPECT_EQ(file_of(run_cmd(cmd({"ls", "-d", "/w"})), "stdout"), "/w\n");
  const json::object missing = run_cmd(cmd({"no-such-command"}));
  EXPECT_EQ(text_at(missing, "status"), "Internal Error");
  EXPECT_EQ(text_at(missing, "error"), "executable file not found in $PATH");
}

TEST_F(GoJudge, TheEnvironmentIsWhatTheRequestSays) {
  const json::object result = run_cmd(cmd({"/usr/bin/env"}, {{"env", {"A=1", "B=two words"}}}));
  EXPECT_EQ(file_of(result, "stdout"), "A=1\nB=two words\n");
  EXPECT_EQ(file_of(run_cmd(cmd({"/usr/bin/env"}, {{"env", nullptr}})), "stdout"), "");
}

// ---- files

TEST_F(GoJudge, ACollectedFileCanBeSoughtAndReopenedByItsDescriptor) {
  const json::object result = run_cmd(shell(
      "echo abcdef; echo more >>/proc/self/fd/1; printf X | dd of=/proc/self/fd/1 conv=notrunc "
      "2>/dev/null; ls /w >&2"));
  EXPECT_EQ(file_of(result, "stdout"), "Xbcdef\nmore\n") << json::serialize(result);
  EXPECT_EQ(file_of(result, "stderr"), "");
}

TEST_F(GoJudge, ANamedCollectorCanBeReopenedAndRemoved) {
  arguments = {"--named-collectors"};
  const json::object result =
      run_cmd(shell("echo abcdef; printf X | dd of=stdout conv=notrunc 2>/dev/null; echo more "
                    ">>/w/stdout; rm stdout"));
  EXPECT_EQ(file_of(result, "stdout"), "Xbcdef\nmore\n") << json::serialize(result);
}

TEST_F(GoJudge, TwoDescriptorsOfOneCollectorShareItInOrder) {
  for (const bool pipe : {false, true}) {
    const json::object both = collector("both", 100, pipe);
    const json::object result =
        run_cmd(shell("echo 1; echo 2 >&2; echo 3", {{"files", files({content(""), both, both})}}));
    EXPECT_EQ(file_of(result, "both"), "1\n2\n3\n");
  }
}

TEST_F(GoJudge, ACollectorThatIsFullKeepsOneByteMoreAndLetsTheCommandEnd) {
  for (const bool pipe : {false, true}) {
    const json::object result = run_cmd(
        shell("head -c 1000000 /dev/zero | tr '\\0' x; echo end >&2",
              {{"files", files({content(""), collector("o", 1000, pipe), collector("e", 9)})}}));
    EXPECT_EQ(text_at(result, "status"), "Output Limit Exceeded") << pipe;
    EXPECT_EQ(number_at(result, "exitStatus"), 0U);
    EXPECT_EQ(file_of(result, "o"), std::string(1001, 'x'));
    EXPECT_EQ(file_of(result, "e"), "end\n");
    EXPECT_THAT(json::serialize(result.at("fileError")), HasSubstr("CollectSizeExceeded"));
    const json::object exact =
        run_cmd(shell("head -c 1000 /dev/zero | tr '\\0' x",
                      {{"files", files({content(""), collector("o", 1000, pipe)})}}));
    EXPECT_EQ(text_at(exact, "status"), "Accepted");
  }
}

TEST_F(GoJudge, BytesThatAreNoUtf8BecomeReplacementCharacters) {
  const json::object result = run_cmd(shell("printf 'a\\377b'"));
  EXPECT_EQ(file_of(result, "stdout"),
            "a\xEF\xBF\xBD"
            "b");
}

TEST_F(GoJudge, FilesComeFromTheHostTheRequestOrTheStore) {
  const std::string host = write("host.txt", "from the host");
  const std::string id = upload("from the store");
  const struct {
    json::object file;
    const char* text;
  } cases[] = {{{{"src", host}}, "from the host"},
               {content("from the request"), "from the request"},
               {{{"fileId", id}}, "from the store"}};
  for (const auto& one : cases) {
    const json::object as_stdin =
        run_cmd(cmd({"cat"}, {{"files", files({one.file, collector("stdout", 99)})}}));
    EXPECT_EQ(file_of(as_stdin, "stdout"), one.text);
    const json::object copied =
        run_cmd(shell("cat in/file; stat -c %a in/file", {{"copyIn", {{"in/file", one.file}}}}));
    EXPECT_EQ(file_of(copied, "stdout"), std::string(one.text) + "777\n");
  }
  const json::object link =
      run_cmd(shell("readlink here", {{"copyIn", {{"here", {{"symlink", "/usr/bin/env"}}}}}}));
  EXPECT_EQ(file_of(link, "stdout"), "/usr/bin/env\n");
}

TEST_F(GoJudge, SrcIsConfinedToItsPrefixes) {
  const std::string inside = write("in/file", "allowed");
  const std::string outside = write("out", "not allowed");
  std::filesystem::create_symlink(outside, scratch_.path() + "/in/link");
  arguments = {"--src-prefix", scratch_.path() + "/in"};
  EXPECT_EQ(file_of(run_cmd(shell("cat f", {{"copyIn", {{"f", {{"src", inside}}}}}})), "stdout"),
            "allowed");
  for (const std::string& path : {outside, scratch_.path() + "/in/link",
                                  scratch_.path() + "/in/none", scratch_.path() + "/in/../out"}) {
    const json::object request{
        {"cmd", json::array{shell("cat f", {{"copyIn", {{"f", {{"src", path}}}}}})}}};
    const HttpAnswer answer = post_run(json::serialize(request));
    EXPECT_EQ(answer.status, 400) << path;
    EXPECT_THAT(answer.body, HasSubstr("does not under"));
  }
}

TEST_F(GoJudge, ACopyInThatCannotBeIsAFileErrorAndNothingRuns) {
  const struct {
    json::object copy_in;
    const char* name;
    const char* type;
  } cases[] = {
      {{{"f", {{"src", "/no/such"}}}}, "f", "CopyInOpenFile"},
      {{{"f", {{"src", "/etc"}}}}, "f", "CopyInOpenFile"},
      {{{"f", collector("x", 1)}}, "f", "CopyInOpenFile"},
      {{{"/etc/f", content("")}}, "/etc/f", "CopyInCreateFile"},
      {{{"../f", content("")}}, "../f", "CopyInCreateFile"},
      {{{"/etc/l", {{"symlink", "x"}}}}, "/etc/l", "Symlink"},
      {{{"f", content("")}, {"f/g", {{"symlink", "x"}}}}, "f/g", "Symlink"},
  };
  for (const auto& one : cases) {
    const json::object result = run_cmd(shell("echo ran", {{"copyIn", one.copy_in}}));
    EXPECT_EQ(text_at(result, "status"), "File Error") << json::serialize(result);
    ASSERT_TRUE(result.contains("fileError")) << json::serialize(result);
    const json::object error = result.at("fileError").get_array()[0].get_object();
    EXPECT_EQ(text_at(error, "name"), one.name) << json::serialize(result);
    EXPECT_EQ(text_at(error, "type"), one.type) << json::serialize(result);
    EXPECT_FALSE(result.contains("files"));
  }
}

TEST_F(GoJudge, CopyOutBringsFilesAndSaysWhatItCannot) {
  const json::object result = run_cmd(
      shell("echo 1 >a; mkdir -p d; ln -s a l; mkfifo p; head -c 100 /dev/zero >big",
            {{"copyOut", {"a", "none", "none?", "d", "l", "p", "big", "/etc/passwd", "stdout"}},
             {"copyOutMax", 50}}));
  EXPECT_EQ(text_at(result, "status"), "File Error");
  EXPECT_EQ(file_of(result, "a"), "1\n");
  std::map<std::string, std::string> errors;
  for (const json::value& error : result.at("fileError").get_array())
    errors[text_at(error.get_object(), "name")] = text_at(error.get_object(), "type");
  const std::map<std::string, std::string> wanted = {
      {"none", "CopyOutOpen"},        {"d", "CopyOutNotRegularFile"},
      {"l", "CopyOutNotRegularFile"}, {"p", "CopyOutNotRegularFile"},
      {"big", "CopyOutSizeExceeded"}, {"/etc/passwd", "CopyOutOpen"}};
  EXPECT_EQ(errors, wanted) << json::serialize(result);
  EXPECT_TRUE(result.at("files").get_object().contains("stdout"));
  EXPECT_FALSE(result.at("files").get_object().contains("big"));
}

TEST_F(GoJudge, CopyOutTruncatesWhereItIsAsked) {
  const json::object result = run_cmd(shell(
      "printf 123456 >big", {{"copyOut", {"big"}}, {"copyOutMax", 3}, {"copyOutTruncate", true}}));
  EXPECT_EQ(text_at(result, "status"), "File Error");
  EXPECT_EQ(file_of(result, "big"), "123");
}

TEST_F(GoJudge, CachedFilesAndCollectorsGoToTheStore) {
  const json::object result =
      run_cmd(shell("echo out; printf '#!/bin/sh\\necho again' >a; chmod 755 a",
                    {{"copyOutCached", {"a", "stdout", "none?"}}}));
  EXPECT_EQ(text_at(result, "status"), "Accepted") << json::serialize(result);
  const json::object ids = result.at("fileIds").get_object();
  EXPECT_EQ(ids.size(), 2U);
  EXPECT_EQ(client().get("/file/" + text_at(ids, "stdout")).body, "out\n");
  const json::object again =
      run_cmd(cmd({"a"}, {{"copyIn", {{"a", {{"fileId", text_at(ids, "a")}}}}}}));
  EXPECT_EQ(file_of(again, "stdout"), "again\n") << json::serialize(again);
}

// ---- pipes and terminals

json::object pipe_map(int in_index, int in_fd, int out_index, int out_fd,
                      const json::object& more = {}) {
  json::object map{{"in", {{"index", in_index}, {"fd", in_fd}}},
                   {"out", {{"index", out_index}, {"fd", out_fd}}}};
  for (const json::key_value_pair& pair : more) map[pair.key()] = pair.value();
  return map;
}

TEST_F(GoJudge, CommandsTalkThroughPipes) {
  for (const bool proxy : {false, true}) {
    const json::object first = shell("echo question; read answer; echo got $answer >&2",
                                     {{"files", files({nullptr, nullptr, collector("err", 99)})}});
    const json::object second = shell("read question; echo $question-answered",
                                      {{"files", files({nullptr, nullptr, collector("err", 99)})}});
    const json::array results = run(json::object{
        {"cmd", json::array{first, second}},
        {"pipeMapping",
         json::array{pipe_map(0, 1, 1, 0, {{"proxy", proxy}, {"name", "asked"}, {"max", 4}}),
                     pipe_map(1, 1, 0, 0, {{"proxy", proxy}})}}});
    ASSERT_EQ(results.size(), 2U);
    EXPECT_EQ(text_at(results[0].get_object(), "status"), "Accepted") << json::serialize(results);
    EXPECT_EQ(text_at(results[1].get_object(), "status"), "Accepted") << json::serialize(results);
    EXPECT_EQ(file_of(results[0].get_object(), "err"), "got question-answered\n");
    EXPECT_EQ(file_of(results[0].get_object(), "asked"), proxy ? "ques" : "");
  }
}

TEST_F(GoJudge, AProxyReadsOnWhenTheConsumerIsGone) {
  const json::object producer =
      shell("trap 'exit 9' PIPE; i=0; while [ $i -lt 30000 ]; do echo 0123456789; i=$((i+1)); done",
            {{"files", files({content(""), nullptr, collector("e", 99)})}});
  const json::object consumer =
      shell("exit 0", {{"files", files({nullptr, collector("o", 99), collector("e", 99)})}});
  const auto status = [&](bool proxy) {
    const json::array results =
        run(json::object{{"cmd", json::array{producer, consumer}},
                         {"pipeMapping", json::array{pipe_map(0, 1, 1, 0, {{"proxy", proxy}})}}});
    return text_at(results[0].get_object(), "status");
  };
  EXPECT_EQ(status(true), "Accepted");
  EXPECT_NE(status(false), "Accepted");
}

TEST_F(GoJudge, WrongPipesRefuseTheRequest) {
  const json::object reads = shell("cat", {{"files", files({nullptr, collector("o", 9)})}});
  const json::object writes = shell("echo", {{"files", files({content(""), nullptr})}});
  const struct {
    json::array maps;
    const char* says;
  } cases[] = {
      {{pipe_map(0, 1, 7, 0)}, "index 7"},
      {{pipe_map(0, 0, 1, 0)}, "occupied"},
      {{pipe_map(0, 1, 1, 0), pipe_map(0, 1, 1, 3)}, "occupied"},
      {{}, "null file for index/fd: 0/1"},
  };
  for (const auto& one : cases) {
    const HttpAnswer answer = post_run(json::serialize(
        json::object{{"cmd", json::array{writes, reads}}, {"pipeMapping", one.maps}}));
    EXPECT_EQ(answer.status, 500) << answer.body;
    EXPECT_THAT(answer.body, HasSubstr(one.says));
  }
  const HttpAnswer negative = post_run(json::serialize(json::object{
      {"cmd", json::array{writes, reads}}, {"pipeMapping", json::array{pipe_map(0, -1, 1, 0)}}}));
  EXPECT_EQ(negative.status, 400) << negative.body;
}

TEST_F(GoJudge, ATerminalIsTheCommandsOwn) {
  const json::object result = run_cmd(
      shell("tty >/dev/null 2>&1; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo terminal; read line; "
            "echo \"<$line>\"",
            {{"tty", true},
             {"files",
              files({content("typed\n"), collector("stdout", 999), collector("stderr", 999)})}}));
  EXPECT_EQ(text_at(result, "status"), "Accepted") << json::serialize(result);
  EXPECT_THAT(file_of(result, "stdout"), HasSubstr("terminal"));
  EXPECT_THAT(file_of(result, "stdout"), HasSubstr("<typed>"));
}

// ---- errors of requests

TEST_F(GoJudge, ARequestThatIsNoneIsRefusedWithAReason) {
  const struct {
    int status;
    std::string body;
    const char* says;
  } cases[] = {
      {400, "", "JSON"},
      {400, "{", "JSON"},
      {400, "[]", "object"},
      {400, "{}", "no cmd provided"},
      {400, R"({"cmd":[]})", "no cmd provided"},
      {400, R"({"cmd":7})", "cmd"},
      {400, R"({"cmd":[7]})", "cmd[0]"},
      {400, R"({"cmd":[{"args":"ls"}]})", "args"},
      {400, R"({"cmd":[{"args":[7]}]})", "args[0]"},
      {400, R"({"cmd":[{"args":["ls"],"files":[{}]}]})", "file type is not valid for cmd"},
      {400, R"({"cmd":[{"args":["ls"],"files":[{"name":"a"}]}]})",
       "file type is not valid for cmd"},
      {400, R"({"cmd":[{"args":["ls"],"files":[{"streamIn":true}]}]})",
       "file type is not valid for cmd"},
      {400, R"({"cmd":[{"args":["ls"],"cpuLimit":-1}]})", "cpuLimit"},
      {400, R"({"cmd":[{"args":["ls"],"cpuLimit":1.5}]})", "cpuLimit"},
      {400, R"({"cmd":[{"args":["ls"],"cpuLimit":1e300}]})", "cpuLimit"},
      {400, R"({"cmd":[{"args":["ls"],"cpuLimit":"1"}]})", "cpuLimit"},
      {400, "{\"cmd\":[{\"args\":[\"l\\u0000s\"],\"procLimit\":1}]}", "NUL"},
      {400, R"({"cmd":[{"args":[],"procLimit":1}]})", "args"},
      {400, R"({"cmd":[{"args":["ls"],"procLimit":1,"env":["novalue"]}]})", "env"},
      {400, std::string(100'000, '['), "levels deep"},
      {500, R"({"cmd":[{"args":["ls"],"files":[{"fileId":"NOPE"}]}]})",
       "file does not exists with id"},
      {500, R"({"cmd":[{"args":["ls"],"copyIn":{"a":{"fileId":"../x"}}}]})",
       "file does not exists with id"},
  };
  for (const auto& one : cases) {
    const HttpAnswer answer = post_run(one.body);
    EXPECT_EQ(answer.status, one.status) << one.body.substr(0, 99) << answer.body;
    EXPECT_THAT(answer.body, HasSubstr(one.says)) << one.body.substr(0, 99);
    json::error_code error;
    EXPECT_TRUE(json::parse(answer.body, error).is_string()) << answer.body;
  }
}

TEST_F(GoJudge, UnknownFieldsAndNullsAreIgnored) {
  json::object cmd = shell("echo ok", {{"copyOutDir", "x"}, {"unknown", 1}, {"copyOut", nullptr}});
  cmd["files"] = files({nullptr, collector("stdout", 99)});
  const HttpAnswer answer =
      post_run(json::serialize(json::object{{"cmd", json::array{cmd}}, {"requestId", "x"}}));
  EXPECT_EQ(answer.status, 500) << "a null file without a pipe: " << answer.body;
  cmd["files"] = files({content(""), collector("stdout", 99)});
  EXPECT_EQ(file_of(run_cmd(cmd), "stdout"), "ok\n");
}

TEST_F(GoJudge, AFullQueueIsToldSo) {
  write("pool.toml", "queue_max = 1\n[[profile]]\nslots_max = 1\n");
  arguments = {"--profile", scratch_ / "pool.toml"};
  const json::object sleeping = shell("sleep 1000", {{"clockLimit", 2'000'000'000'000}});
  WebSocketClient socket(address(), "/ws");
  for (const char* count : {"go_judge_worker_running_count 1", "go_judge_worker_queue_count 1"}) {
    socket.send(
        json::serialize(json::object{{"requestId", count}, {"cmd", json::array{sleeping}}}));
    await_metric(count);
  }
  HttpAnswer answer = post_run(json::serialize(json::object{{"cmd", json::array{shell("echo")}}}));
  EXPECT_EQ(answer.status, 503);
  EXPECT_EQ(answer.headers["retry-after"], "1");
  EXPECT_EQ(answer.body, "\"worker queue is full\"\n");
}

TEST_F(GoJudge, AClientThatGoesEndsItsCommandAndFreesTheSlot) {
  arguments = {"--parallelism", "1"};
  const std::string sleeping = json::serialize(
      json::object{{"cmd", json::array{shell("sleep 1000", {{"clockLimit", 2'000'000'000'000}})}}});
  for (const bool half_closed : {false, true}) {
    auto goes = std::make_unique<HttpClient>(address());
    goes->write_raw("POST /run HTTP/1.1\r\nHost: localhost\r\nContent-Length: " +
                    std::to_string(sleeping.size()) + "\r\n\r\n" + sleeping);
    if (half_closed)
      goes->shut_down_writing();
    else
      goes.reset();
    // Runs only when the slot is free: one request at a time.
    EXPECT_EQ(file_of(run_cmd(shell("echo free")), "stdout"), "free\n");
  }
}

// ---- /file

TEST_F(GoJudge, FilesAreStoredListedReadAndDeleted) {
  const std::string bytes = std::string("\0\r\n--hatchery-tes\xff", 18) + std::string(300'000, 'z');
  const std::string id = upload(bytes, "prog.cpp");
  EXPECT_EQ(client().get("/file").body, "{\"" + id + "\":\"prog.cpp\"}\n");
  HttpAnswer answer = client().get("/file/" + id);
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, bytes);
  EXPECT_THAT(answer.headers["content-type"], HasSubstr("c++"));
  EXPECT_EQ(answer.headers["content-disposition"], "attachment; filename=\"prog.cpp\"");
  EXPECT_EQ(client().request("DELETE", "/file/" + id).status, 200);
  EXPECT_EQ(client().request("DELETE", "/file/" + id).status, 404);
  answer = client().get("/file/" + id);
  EXPECT_EQ(answer.status, 404);
  EXPECT_EQ(answer.body, "");
  EXPECT_EQ(client().get("/file").body, "{}\n");
}

TEST_F(GoJudge, IdsThatAreNoneAreAbsent) {
  for (const char* id : {"", ".", "..", "../../etc/passwd", "%2e%2e", "x/y"})
    EXPECT_EQ(client().get(std::string("/file/") + id).status, 404) << id;
}

TEST_F(GoJudge, AnUploadWithoutAFileIsRefused) {
  EXPECT_EQ(client().post("/file", "{}").status, 400);
  const HttpAnswer other = client().request("POST", "/file",
                                            "--hatchery-test\r\nContent-Disposition: form-data; "
                                            "name=\"other\"\r\n\r\nx\r\n--hatchery-test--\r\n",
                                            {{"Content-Type", kFormType}});
  EXPECT_EQ(other.status, 400);
  const HttpAnswer cut = client().request(
      "POST", "/file", "--hatchery-test\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nx",
      {{"Content-Type", kFormType}});
  EXPECT_EQ(cut.status, 400);
}

TEST_F(GoJudge, AFullStoreRefusesThatUploadAlone) {
  write("pool.toml", "store_bytes_max = \"1MiB\"\n[[profile]]\nslots_max = 1\n");
  arguments = {"--profile", scratch_.path() + "/pool.toml"};
  HttpClient uploads(address());
  const HttpAnswer answer = uploads.request(
      "POST", "/file", form_of(std::string(1'500'000, 'x'), "big"), {{"Content-Type", kFormType}});
  EXPECT_EQ(answer.status, 507);
  EXPECT_THAT(answer.body, HasSubstr("store"));
  EXPECT_EQ(upload("small").size(), 32U);
  const json::object result =
      run_cmd(shell("head -c 2000000 /dev/zero >big", {{"copyOutCached", {"big"}}}));
  EXPECT_EQ(text_at(result, "status"), "File Error");
  EXPECT_EQ(file_of(run_cmd(shell("echo fine")), "stdout"), "fine\n");
}

// ---- what the server says of itself

TEST_F(GoJudge, VersionAndConfigPassWhatJudgesCheck) {
  json::error_code error;
  const json::object version = json::parse(client().get("/version").body, error).get_object();
  EXPECT_EQ(text_at(version, "buildVersion"), "v1.12.2");
  const json::object config = json::parse(client().get("/config").body, error).get_object();
  for (const char* feature :
       {"copyOutOptional", "pipeProxy", "symlink", "addressSpaceLimit", "stream", "procPeak",
        "copyOutTruncate", "pipeProxyZeroCopy", "fixSymlinkEscape"}) {
    EXPECT_EQ(version.at(feature), json::value(true));
    EXPECT_EQ(config.at(feature), json::value(true));
  }
  const json::object runner = config.at("runnerConfig").get_object();
  EXPECT_THAT(number_at(runner, "cgroupType"), AnyOf(1U, 2U));
  EXPECT_THAT(json::serialize(runner.at("cgroupControllers")), HasSubstr("memory"));
  EXPECT_EQ(text_at(runner, "workDir"), "/w");
}

TEST_F(GoJudge, ConfigSaysThatThereAreNoCgroupsAndCommandsRun) {
  arguments = {"--config", write("none.toml", "cgroup = \"none\"\n")};
  json::error_code error;
  const json::object config = json::parse(client().get("/config").body, error).get_object();
  EXPECT_THAT(text_at(config, "hatcheryHost"), StartsWith("no cgroup"));
  const json::object runner = config.at("runnerConfig").get_object();
  EXPECT_EQ(number_at(runner, "cgroupType"), 0U);
  EXPECT_EQ(json::serialize(runner.at("cgroupControllers")), "[]");
  const json::object result = run_cmd(shell("echo fine"));
  EXPECT_EQ(text_at(result, "status"), "Accepted");
  EXPECT_EQ(file_of(result, "stdout"), "fine\n");
}

TEST_F(GoJudge, MetricsHaveGoJudgesNames) {
  arguments = {"--enable-metrics", "--monitor-addr", "127.0.0.1:0"};
  run_cmd(shell("exit 0"));
  upload("x");
  const std::string text = client().get("/metrics").body;
  for (const char* line : {"go_judge_exec_time_seconds_count{status=\"Accepted\"} 1",
                           "go_judge_exec_memory_bytes_bucket{status=\"Accepted\",le=\"4096\"}",
                           "go_judge_file_current_bytes_count 1", "go_judge_worker_queue_count 0",
                           "hatchery_jobs_total{outcome=\"accepted\"} 1",
                           "hatchery_job_step_seconds_count{step=\"queued\"} 1"})
    EXPECT_THAT(text, HasSubstr(line));
}

TEST_F(GoJudge, GoJudgesOwnStartLineWorks) {
  arguments = {"-parallelism",
               "1",
               "-pre-fork=1",
               "-tmp-fs-param",
               "size=16m,nr_inodes=4k",
               "-file-timeout",
               "30m",
               "-release",
               "-cpu-cfs-period=100ms",
               "-dir",
               scratch_ / "files",
               "-extra-memory-limit=32k",
               "-no-fallback",
               "-open-file-limit=64"};
  EXPECT_EQ(
      file_of(run_cmd(shell("ulimit -n; df -k --output=size /w | tail -1 | tr -d ' '")), "stdout"),
      "64\n16384\n");
}

// ---- who may speak

TEST_F(GoJudge, ATokenIsNeededWhereItIsSet) {
  arguments = {"--auth-token", "secret"};
  for (const char* open : {"/version", "/config", "/healthz"})
    EXPECT_EQ(client().get(open).status, 200) << open;
  for (const char* path : {"/file", "/metrics", "/file/x", "/nothing"}) {
    HttpClient fresh(address());
    const HttpAnswer answer = fresh.get(path);
    EXPECT_EQ(answer.status, 401) << path;
    EXPECT_EQ(answer.body, "");
  }
  for (const char* wrong : {"Bearer secre", "Bearer secret2", "bearer secret", "secret", ""}) {
    HttpClient fresh(address());
    EXPECT_EQ(fresh.request("GET", "/file", "", {{"Authorization", wrong}}).status, 401) << wrong;
  }
  EXPECT_EQ(client().request("GET", "/file", "", {{"Authorization", "Bearer secret"}}).status, 200);
  EXPECT_EQ(WebSocketClient(address(), "/ws").status(), 401);
  EXPECT_EQ(WebSocketClient(address(), "/ws", {{"Authorization", "Bearer secret"}}).status(), 101);
}

TEST_F(GoJudge, PagesOfOtherOriginsAreRefused) {
  arguments = {"--origin", "https://judge.example"};
  const auto get = [&](const HttpHeaders& headers) {
    HttpClient fresh(address());
    return fresh.request("GET", "/file", "", headers).status;
  };
  EXPECT_EQ(get({}), 200);
  EXPECT_EQ(get({{"Origin", "http://localhost"}}), 200);
  EXPECT_EQ(get({{"Origin", "https://judge.example"}}), 200);
  EXPECT_EQ(get({{"Origin", "http://evil.example"}}), 403);
  EXPECT_EQ(get({{"Origin", "null"}}), 403);
  // A name of the attacker's that leads here: DNS rebinding.
  EXPECT_EQ(get({{"Host", "evil.example:5050"}, {"Origin", "http://evil.example:5050"}}), 403);
  EXPECT_EQ(get({{"Host", "evil.example:5050"}}), 403);
  EXPECT_EQ(get({{"Host", "127.0.0.1:5050"}}), 200);
  EXPECT_EQ(get({{"Host", "[::1]:5050"}}), 200);
  for (const char* path : {"/ws", "/stream"}) {
    EXPECT_EQ(WebSocketClient(address(), path, {{"Origin", "http://evil.example"}}).status(), 403);
    EXPECT_EQ(WebSocketClient(address(), path, {{"Origin", "https://judge.example"}}).status(),
              101);
  }
}

// ---- /ws

json::object ws_request(const std::string& id, const json::object& cmd) {
  return {{"requestId", id}, {"cmd", json::array{cmd}}};
}

class GoJudgeWs : public GoJudge {
 protected:
  json::object receive(WebSocketClient& socket) {
    const std::optional<std::string> text = socket.receive();
    EXPECT_TRUE(text.has_value()) << "the server has closed";
    json::error_code error;
    const json::value value = json::parse(text.value_or("{}"), error);
    EXPECT_TRUE(value.is_object()) << text.value_or("");
    return value.is_object() ? value.get_object() : json::object{};
  }
};

TEST_F(GoJudgeWs, ManyRequestsShareOneConnection) {
  WebSocketClient socket(address(), "/ws");
  ASSERT_EQ(socket.status(), 101);
  constexpr int kRequests = 50;
  for (int i = 0; i < kRequests; ++i)
    socket.send(json::serialize(ws_request(std::to_string(i), shell("echo " + std::to_string(i)))));
  std::map<std::string, std::string> outputs;
  for (int i = 0; i < kRequests; ++i) {
    const json::object answer = receive(socket);
    ASSERT_TRUE(answer.at("results").is_array()) << json::serialize(answer);
    outputs[text_at(answer, "requestId")] =
        file_of(answer.at("results").get_array()[0].get_object(), "stdout");
  }
  ASSERT_EQ(outputs.size(), std::size_t{kRequests});
  for (const auto& [id, output] : outputs) EXPECT_EQ(output, id + "\n");
}

TEST_F(GoJudgeWs, EmptyAndRepeatedIdsAreErrors) {
  WebSocketClient socket(address(), "/ws");
  socket.send(json::serialize(ws_request("", shell("echo"))));
  EXPECT_EQ(text_at(receive(socket), "error"), "empty request id");
  socket.send(json::serialize(ws_request("a", shell("sleep 100"))));
  socket.send(json::serialize(ws_request("a", shell("echo"))));
  const json::object duplicate = receive(socket);
  EXPECT_EQ(text_at(duplicate, "error"), "duplicated request id: \"a\"");
  EXPECT_TRUE(duplicate.at("results").is_null());
}

TEST_F(GoJudgeWs, ACancelledRequestIsSignalled) {
  WebSocketClient socket(address(), "/ws");
  const json::object sleeping = shell("sleep 1000", {{"clockLimit", 2'000'000'000'000}});
  socket.send(json::serialize(ws_request("a", sleeping)));
  socket.send(R"({"cancelRequestId":"a"})");
  const json::object answer = receive(socket);
  EXPECT_EQ(text_at(answer, "requestId"), "a");
  const json::object result = answer.at("results").get_array()[0].get_object();
  EXPECT_EQ(text_at(result, "status"), "Signalled");
  EXPECT_EQ(number_at(result, "exitStatus"), 9U);
}

TEST_F(GoJudgeWs, AMalformedMessageClosesTheConnection) {
  for (const char* message :
       {"{", "[]", R"({"requestId":"a","cmd":[{"args":["ls"],"files":[{}]}]})"}) {
    WebSocketClient socket(address(), "/ws");
    socket.send(message);
    EXPECT_FALSE(socket.receive().has_value()) << message;
  }
}

TEST_F(GoJudgeWs, AConnectionThatIsLostCancelsItsRequests) {
  arguments = {"--parallelism", "1"};
  auto socket = std::make_unique<WebSocketClient>(address(), "/ws");
  socket->send(
      json::serialize(ws_request("a", shell("sleep 1000", {{"clockLimit", 2'000'000'000'000}}))));
  socket->send(
      json::serialize(ws_request("b", shell("sleep 1000", {{"clockLimit", 2'000'000'000'000}}))));
  socket->cut();
  EXPECT_EQ(file_of(run_cmd(shell("echo free")), "stdout"), "free\n");
}

// ---- /stream

class GoJudgeStream : public GoJudge {
 protected:
  static json::object streamed(const std::string& script, const json::object& more = {}) {
    json::object cmd = shell(script, more);
    cmd["files"] = files({json::object{{"streamIn", true}}, json::object{{"streamOut", true}},
                          collector("stderr", 999)});
    return cmd;
  }
  static std::string first(const json::object& cmd) {
    return "\x01" + json::serialize(json::object{{"cmd", json::array{cmd}}});
  }
  /// Output until `text` is in it, or the end.
  std::string output_until(WebSocketClient& socket, const std::string& text) {
    std::string output;
    while (output.find(text) == std::string::npos) {
      const std::optional<std::string> frame = socket.receive();
      if (!frame || frame->empty() || (*frame)[0] != 2) {
        last_ = frame.value_or("");
        return output;
      }
      EXPECT_EQ((*frame)[1], 1);
      output += frame->substr(2);
    }
    return output;
  }
  /// The results at the end, after all output.
  json::object result(WebSocketClient& socket) {
    if (last_.empty()) output_until(socket, "\x7f never");
    EXPECT_EQ(last_.substr(0, 1), "\x01");
    json::error_code error;
    const json::value value =
        json::parse(last_.substr(std::min<std::size_t>(1, last_.size())), error);
    EXPECT_TRUE(value.is_object()) << last_;
    if (!value.is_object() || !value.get_object().at("results").is_array()) return {};
    return value.get_object().at("results").get_array()[0].get_object();
  }
  std::string last_;
};

TEST_F(GoJudgeStream, InputAndOutputFlowWhileTheCommandRuns) {
  WebSocketClient socket(address(), "/stream");
  ASSERT_EQ(socket.status(), 101);
  socket.send(first(streamed("while read line; do echo got $line; done; echo end; echo err >&2")),
              true);
  socket.send(std::string("\x03\x00one\n", 6), true);
  EXPECT_THAT(output_until(socket, "got one\n"), HasSubstr("got one"));
  socket.send(std::string("\x03\x00two\n", 6), true);
  EXPECT_THAT(output_until(socket, "got two\n"), HasSubstr("got two"));
  socket.send(std::string("\x05\x00", 2), true);  // End of input.
  EXPECT_THAT(output_until(socket, "end\n"), HasSubstr("end"));
  const json::object ended = result(socket);
  EXPECT_EQ(text_at(ended, "status"), "Accepted") << json::serialize(ended);
  EXPECT_EQ(file_of(ended, "stderr"), "err\n");
  EXPECT_FALSE(socket.receive().has_value());
}

TEST_F(GoJudgeStream, ATerminalKnowsItsSizeAndEndsByControlD) {
  WebSocketClient socket(address(), "/stream");
  socket.send(first(streamed("stty size; read line; stty size; cat", {{"tty", true}})), true);
  EXPECT_THAT(output_until(socket, "0 0"), HasSubstr("0 0"));
  socket.send(std::string("\x02") + R"({"index":0,"fd":0,"rows":24,"cols":80,"x":0,"y":0})", true);
  socket.send(std::string("\x03\x00go\n", 5), true);
  EXPECT_THAT(output_until(socket, "24 80"), HasSubstr("24 80"));
  socket.send(std::string("\x03\x00\x04", 3), true);
  EXPECT_EQ(text_at(result(socket), "status"), "Accepted");
}

TEST_F(GoJudgeStream, ControlCInterruptsWhatHasTheTerminal) {
  WebSocketClient socket(address(), "/stream");
  socket.send(
      first(streamed("trap 'echo caught; exit 7' INT; echo ready; while :; do sleep 0.1; done",
                     {{"tty", true}})),
      true);
  EXPECT_THAT(output_until(socket, "ready"), HasSubstr("ready"));
  socket.send(std::string("\x03\x00\x03", 3), true);
  EXPECT_THAT(output_until(socket, "caught"), HasSubstr("caught"));
  EXPECT_EQ(number_at(result(socket), "exitStatus"), 7U);
}

TEST_F(GoJudgeStream, ACancelKillsAndIsReported) {
  WebSocketClient socket(address(), "/stream");
  socket.send(first(streamed("echo ready; sleep 1000", {{"clockLimit", 2'000'000'000'000}})), true);
  output_until(socket, "ready");
  socket.send("\x04", true);
  EXPECT_EQ(text_at(result(socket), "status"), "Signalled");
}

TEST_F(GoJudgeStream, WrongFramesEndTheConnection) {
  const std::string good = first(streamed("sleep 1000", {{"clockLimit", 2'000'000'000'000}}));
  const std::vector<std::vector<std::string>> cases = {
      {""},
      {"\x03\x30x"},
      {"\x01{"},
      {good, "\x09"},
      {good, std::string("\x03\x05x", 3)},
      {good, ""},
      {good, "\x02{"},
      {good, std::string("\x02") + R"({"index":0,"fd":0,"rows":1,"cols":1})"}};
  for (const auto& frames : cases) {
    WebSocketClient socket(address(), "/stream");
    for (const std::string& frame : frames) socket.send(frame, true);
    while (socket.receive().has_value()) {
    }
  }
  // None of them is still running: each of them would have a slot.
  EXPECT_EQ(file_of(run_cmd(shell("echo free")), "stdout"), "free\n");
}

// ---- other clients

TEST_F(GoJudge, AJudgesSequenceWorksWithClientLibrariesThatAreNotOurs) {
  for (const char* feature : {"python3", "requests", "websockets", "gxx"})
    HATCHERY_REQUIRE_FEATURE(feature);
  const ProcessResult result = run_process(
      {"/usr/bin/python3", HATCHERY_SOURCE_DIR "/tests/server_client.py", "http://" + address()});
  EXPECT_EQ(result.status, 0) << result.out << result.err;
}

TEST_F(GoJudge, TheSessionInTheReadmeIsWhatHappens) {
  for (const char* feature : {"python3", "gxx"}) HATCHERY_REQUIRE_FEATURE(feature);
  const ProcessResult result = run_process(
      {"/bin/sh", "-c",
       "cd \"$1\" && exec /usr/bin/python3 \"$0/tests/readme_session.py\" \"$0/README.md\" \"$2\"",
       HATCHERY_SOURCE_DIR, scratch_.path(), address()});
  EXPECT_EQ(result.status, 0) << result.out << result.err;
}

}  // namespace
}  // namespace hatchery::testing
