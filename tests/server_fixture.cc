#include "tests/server_fixture.h"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "tests/await.h"
#include "tests/slowness.h"

namespace hatchery::testing {
namespace {

#if defined(HATCHERY_SANITIZED)
constexpr std::uint64_t kSanitizersShare = 10;
#else
constexpr std::uint64_t kSanitizersShare = 1;
#endif

}  // namespace

ServerProcess::ServerProcess(const std::vector<std::string>& extra) {
  std::vector<std::string> args = {HATCHERY_BINARY, "serve"};
  args.insert(args.end(), extra.begin(), extra.end());
  if (std::find(args.begin(), args.end(), "--http-addr") == args.end())
    args.insert(args.end(), {"--http-addr", "127.0.0.1:0"});
  process_ = std::make_unique<Process>(args, "", std::chrono::seconds(240));
  const std::string begin = "serving ";
  const std::string line = process_->wait_for_message(begin);
  EXPECT_NE(line, "") << "the server did not start: " << process_->messages();
  address_ = line.substr(0, line.find(' '));
  if (address_.starts_with("http://")) address_.erase(0, 7);
}

std::uint64_t ServerProcess::peak_resident_kib() const {
  std::ifstream status("/proc/" + std::to_string(process_->pid()) + "/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::stoull(line.substr(6)) / kSanitizersShare;
  return 0;
}

void ServerProcess::stop() {
  process_->kill(SIGTERM);
  const ProcessResult result = process_->wait();
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_FALSE(result.timed_out);
}

void ServerTest::TearDown() {
  client_.reset();
  if (server_) server_->stop();
}

ServerProcess& ServerTest::server() {
  if (!server_) server_ = std::make_unique<ServerProcess>(arguments);
  return *server_;
}

void ServerTest::restart(int signal_number) {
  client_.reset();
  server_->kill(signal_number);
  server_->wait();
  server_.reset();
}

HttpClient& ServerTest::client() {
  if (!client_) client_ = std::make_unique<HttpClient>(address());
  return *client_;
}

void ServerTest::await_metric(const std::string& line) {
  await([&] { return client().get("/metrics").body.find(line + '\n') != std::string::npos; });
}

json::array ServerTest::run(const json::value& request) {
  const HttpAnswer answer = post_run(json::serialize(request));
  EXPECT_EQ(answer.status, 200) << answer.body;
  json::error_code error;
  const json::value value = json::parse(answer.body, error);
  EXPECT_TRUE(value.is_array()) << answer.body;
  return value.is_array() ? value.get_array() : json::array{};
}

json::object ServerTest::run_cmd(const json::object& cmd) {
  const json::array results = run(json::object{{"cmd", json::array{cmd}}});
  EXPECT_EQ(results.size(), 1U);
  return results.empty() ? json::object{} : results[0].get_object();
}

json::object ServerTest::cmd(const std::vector<std::string>& args, const json::object& more) {
  json::array list;
  for (const std::string& arg : args) list.push_back(json::string(arg));
  json::object object{{"args", std::move(list)},
                      {"env", {"PATH=/usr/bin:/bin"}},
                      {"cpuLimit", 10'000'000'000 * slowness()},
                      {"clockLimit", 60'000'000'000 * slowness()},
                      {"memoryLimit", 256 << 20},
                      {"procLimit", 50},
                      {"files", json::array{json::object{{"content", ""}},
                                            json::object{{"name", "stdout"}, {"max", 1 << 20}},
                                            json::object{{"name", "stderr"}, {"max", 1 << 20}}}}};
  for (const json::key_value_pair& pair : more) object[pair.key()] = pair.value();
  return object;
}

std::string ServerTest::upload(const std::string& content, const std::string& name) {
  const HttpAnswer answer =
      client().request("POST", "/file", form_of(content, name), {{"Content-Type", kFormType}});
  EXPECT_EQ(answer.status, 200) << answer.body;
  json::error_code error;
  const json::value id = json::parse(answer.body, error);
  EXPECT_TRUE(id.is_string()) << answer.body;
  return id.is_string() ? std::string(id.get_string()) : "";
}

std::string ServerTest::write(const std::string& name, const std::string& text) {
  const std::filesystem::path path = std::filesystem::path(scratch_.path()) / name;
  std::filesystem::create_directories(path.parent_path());
  cli_testing::write_file(path, text);
  return path;
}

std::string text_at(const json::object& object, const std::string& field) {
  const json::value* value = object.if_contains(field);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : "";
}

std::uint64_t number_at(const json::object& object, const std::string& field) {
  const json::value* value = object.if_contains(field);
  return value != nullptr && value->is_number() ? value->to_number<std::uint64_t>() : 0;
}

std::string file_of(const json::object& result, const std::string& name) {
  const json::value* files = result.if_contains("files");
  return files != nullptr && files->is_object() ? text_at(files->get_object(), name) : "";
}

std::string form_of(const std::string& content, const std::string& name) {
  return "--hatchery-test\r\nContent-Disposition: form-data; name=\"file\"; filename=\"" + name +
         "\"\r\nContent-Type: application/octet-stream\r\n\r\n" + content +
         "\r\n--hatchery-test--\r\n";
}

}  // namespace hatchery::testing
