// ServerTest: a real `hatchery serve` process on a free port, and JSON to and from it.
#pragma once

#include <gtest/gtest.h>

#include <boost/json/value.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/cli_fixture.h"
#include "tests/http_client.h"

namespace hatchery::testing {

namespace json = boost::json;

/// `hatchery serve` until the end of its life.
class ServerProcess {
 public:
  /// Waits until it listens; `extra` are further arguments. Fails the test when it does not start.
  explicit ServerProcess(const std::vector<std::string>& extra = {});

  /// "127.0.0.1:PORT", or what the arguments said.
  const std::string& address() const { return address_; }
  void kill(int signal_number) { process_->kill(signal_number); }
  ProcessResult wait() { return process_->wait(); }
  /// Most memory that it had (VmHWM); a tenth of it where a sanitizer takes the rest.
  std::uint64_t peak_resident_kib() const;
  /// SIGTERM and its end; the status must be 0.
  void stop();

 private:
  std::unique_ptr<Process> process_;  ///< Its destructor kills.
  std::string address_;
};

class ServerTest : public cli_testing::JobCommand {
 protected:
  void TearDown() override;

  /// Started by the first use, with `arguments`.
  ServerProcess& server();
  /// Ends it by that signal; another one, with the same arguments, comes at the next use.
  void restart(int signal_number);
  const std::string& address() { return server().address(); }
  HttpClient& client();
  /// Until GET /metrics has that line, "NAME VALUE".
  void await_metric(const std::string& line);
  /// POST /run on the test's connection.
  HttpAnswer post_run(const std::string& body) { return client().post("/run", body); }
  /// The results of a request that is answered with 200.
  json::array run(const json::value& request);
  /// The one result of one command.
  json::object run_cmd(const json::object& cmd);
  /// One command with ample limits, `files` as for most: no input, stdout and stderr collected.
  static json::object cmd(const std::vector<std::string>& args, const json::object& more = {});
  static json::object shell(const std::string& script, const json::object& more = {}) {
    return cmd({"/bin/sh", "-c", script}, more);
  }
  /// Uploads; the id.
  std::string upload(const std::string& content, const std::string& name = "file.txt");

  /// A file of the test's scratch directory; its path.
  std::string write(const std::string& name, const std::string& text);

  std::vector<std::string> arguments = {};

 private:
  std::unique_ptr<ServerProcess> server_;
  std::unique_ptr<HttpClient> client_;
};

/// The text of a field; "" when absent.
std::string text_at(const json::object& object, const std::string& field);
std::uint64_t number_at(const json::object& object, const std::string& field);
/// files.NAME of a result.
std::string file_of(const json::object& result, const std::string& name);
/// A form with one field "file".
std::string form_of(const std::string& content, const std::string& name);
inline constexpr const char* kFormType = "multipart/form-data; boundary=hatchery-test";

}  // namespace hatchery::testing
