// Jobs from JSON and reports to JSON: every field arrives, every wrong one is named, every byte
// survives.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "pool/job_json.h"
#include "pool/utf8.h"
#include "tests/values.h"

namespace hatchery {
namespace {

namespace json = boost::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

JobSpec good_job(std::string_view text) {
  Result<JobSpec> spec = job_from_json(text, "test");
  EXPECT_TRUE(spec) << spec.error().message();
  return spec ? *std::move(spec) : JobSpec();
}

TEST(JobFromJson, ACommandAloneCollectsBothOutputs) {
  const JobSpec spec = good_job(R"({"args":["true"]})");
  EXPECT_EQ(spec.args, std::vector<std::string>({"true"}));
  EXPECT_FALSE(spec.env.has_value());
  EXPECT_EQ(spec.working_directory, "/w");
  ASSERT_EQ(spec.fds.size(), 2U);
  EXPECT_EQ(std::get<CollectorStream>(spec.fds.at(1)).name, "stdout");
  EXPECT_EQ(std::get<CollectorStream>(spec.fds.at(2)).name, "stderr");
  EXPECT_FALSE(std::get<CollectorStream>(spec.fds.at(1)).bytes_max.has_value());
  EXPECT_EQ(spec.limits, Limits());
}

TEST(JobFromJson, ReadsCommandAndLimits) {
  const JobSpec spec = good_job(R"({
    "id": "1/ä", "client": "c", "profile": "p", "args": ["a", "", "ü\u00e4\ud83d\ude00"],
    "env": ["A=", "B=c=d"], "cwd": "/w/x",
    "limits": {"cpu_time": "1.5s", "wall_time": 2.5, "memory": "64MiB", "memory_soft": 33554432,
      "processes": 1, "output": 0, "file_size": "1K", "open_files": 4, "stack": "8M",
      "address_space": "1G", "cpu_rate": 0.5, "cpu_weight": 10000, "cpu_set": "0"}})");
  EXPECT_EQ(spec.id, "1/ä");
  EXPECT_EQ(spec.client, "c");
  EXPECT_EQ(spec.profile, "p");
  EXPECT_EQ(spec.args, std::vector<std::string>({"a", "", "üä😀"}));
  EXPECT_EQ(spec.env, std::vector<std::string>({"A=", "B=c=d"}));
  EXPECT_EQ(spec.working_directory, "/w/x");
  Limits limits;
  limits.cpu_time = milliseconds(1500);
  limits.wall_time = milliseconds(2500);
  limits.memory_bytes = 64U << 20U;
  limits.memory_soft_bytes = 32U << 20U;
  limits.processes = 1;
  limits.output_bytes = 0;
  limits.file_bytes = 1024;
  limits.open_files = 4;
  limits.stack_bytes = 8U << 20U;
  limits.address_space_bytes = 1U << 30U;
  limits.cpu_rate = 0.5;
  limits.cpu_weight = 10'000;
  limits.cpu_set = "0";
  EXPECT_EQ(spec.limits, limits);
}

TEST(JobFromJson, ReadsEveryKindOfStream) {
  const JobSpec spec = good_job(R"({"args":["x"], "stdin": {"host_file":"/in"}, "stdout": null,
    "stderr": {"same_as": 3}, "fds": {"3": {"collect":"log","max":"1K"}, "4": {"base64":"AP8="},
    "5": {"stored":"0123456789abcdef0123456789abcdef"}, "6": {"host_file":"/out","write":true},
    "7": "null", "1023": {"text":"a\u0000b"}}})");
  EXPECT_EQ(std::get<HostFileStream>(spec.fds.at(0)).path, "/in");
  EXPECT_FALSE(std::get<HostFileStream>(spec.fds.at(0)).write);
  EXPECT_TRUE(std::holds_alternative<NullStream>(spec.fds.at(1)));
  EXPECT_EQ(std::get<SameAsStream>(spec.fds.at(2)).fd, 3);
  EXPECT_EQ(std::get<CollectorStream>(spec.fds.at(3)).name, "log");
  EXPECT_EQ(std::get<CollectorStream>(spec.fds.at(3)).bytes_max, 1024U);
  EXPECT_EQ(std::get<BytesStream>(spec.fds.at(4)).bytes, std::string("\0\xff", 2));
  EXPECT_EQ(std::get<StoredFileStream>(spec.fds.at(5)).id, "0123456789abcdef0123456789abcdef");
  EXPECT_TRUE(std::get<HostFileStream>(spec.fds.at(6)).write);
  EXPECT_TRUE(std::holds_alternative<NullStream>(spec.fds.at(7)));
  EXPECT_EQ(std::get<BytesStream>(spec.fds.at(1023)).bytes, std::string("a\0b", 3));
  EXPECT_EQ(std::get<BytesStream>(good_job(R"({"args":["x"],"stdin":"hi\n"})").fds.at(0)).bytes,
            "hi\n");
  const JobSpec numbered = good_job(R"({"args":["x"],"fds":{"1":{"collect":"mine"}}})");
  EXPECT_EQ(std::get<CollectorStream>(numbered.fds.at(1)).name, "mine");
}

TEST(JobFromJson, ReadsEveryKindOfFile) {
  const JobSpec spec = good_job(R"({"args":["x"], "files_in": [
      {"path":"a","text":"A","mode":"0755"}, {"path":"b","base64":"/w=="},
      {"path":"c","host_file":"/h"}, {"path":"d","host_directory":"/d"},
      {"path":"e","stored":"0123456789abcdef0123456789abcdef"}, {"path":"f","directory":true}],
    "files_out": [{"path":"o"}, {"path":"p","max":"1M","optional":true,"store":true}]})");
  ASSERT_EQ(spec.files_in.size(), 6U);
  EXPECT_EQ(std::get<FileIn::Bytes>(spec.files_in[0].source).bytes, "A");
  EXPECT_EQ(spec.files_in[0].mode, 0755U);
  EXPECT_EQ(std::get<FileIn::Bytes>(spec.files_in[1].source).bytes, "\xff");
  EXPECT_FALSE(spec.files_in[1].mode.has_value());
  EXPECT_EQ(std::get<FileIn::HostFile>(spec.files_in[2].source).path, "/h");
  EXPECT_EQ(std::get<FileIn::HostDirectory>(spec.files_in[3].source).path, "/d");
  EXPECT_EQ(std::get<FileIn::Stored>(spec.files_in[4].source).id.size(), 32U);
  EXPECT_TRUE(std::holds_alternative<FileIn::Directory>(spec.files_in[5].source));
  ASSERT_EQ(spec.files_out.size(), 2U);
  EXPECT_EQ(spec.files_out[0].bytes_max, 64U << 20U);
  EXPECT_FALSE(spec.files_out[0].optional || spec.files_out[0].store);
  EXPECT_EQ(spec.files_out[1].bytes_max, 1U << 20U);
  EXPECT_TRUE(spec.files_out[1].optional && spec.files_out[1].store);
}

struct BadJob {
  std::string text;
  std::string object;   ///< Error::object, exactly, without "j:1".
  std::string message;  ///< In the message.
};

void PrintTo(const BadJob& bad, std::ostream* out) { *out << bad.text; }

/// A job of `true` with further `members`.
BadJob with(const std::string& members, const std::string& object, const std::string& message) {
  return {"{\"args\":[\"true\"]," + members + "}", object.empty() ? "" : ": " + object, message};
}

class RefusedJob : public testing::TestWithParam<BadJob> {};

TEST_P(RefusedJob, NamesFieldAndRemedy) {
  const Result<JobSpec> spec = job_from_json(GetParam().text, "j:1");
  ASSERT_FALSE(spec);
  EXPECT_EQ(spec.error().step, Step::kValidateJob);
  EXPECT_EQ(spec.error().object, "j:1" + GetParam().object);
  EXPECT_THAT(spec.error().message(), HasSubstr(GetParam().message));
  EXPECT_FALSE(spec.error().remedy.empty());
  EXPECT_LT(spec.error().message().size(), 1000U);
}

INSTANTIATE_TEST_SUITE_P(
    Text, RefusedJob,
    testing::Values(BadJob{"", "", "is not JSON at byte 0"}, BadJob{"   ", "", "is not JSON"},
                    BadJob{"{", "", "is not JSON"}, BadJob{"{\"args\":[\"x\"]}}", "", "byte 14"},
                    BadJob{"{\"args\":[\"x\"],}", "", "is not JSON"},
                    BadJob{"// c\n{}", "", "is not JSON"}, BadJob{"{'args':[]}", "", "is not JSON"},
                    BadJob{std::string("{\"args\":[\"x\"]}\0", 15), "", "is not JSON"},
                    BadJob{"null", "", "is null; give a job"}, BadJob{"[]", "", "is an array"},
                    BadJob{"1e999999999", "", "is "},
                    BadJob{"{\"args\":[\"\xff\"]}", "", "is not JSON"},
                    BadJob{"{\"args\":[\"\xc0\xaf\"]}", "", "is not JSON"},
                    BadJob{"{\"args\":[\"\\ud800\"]}", "", "is not JSON"},
                    BadJob{"{\"args\":[\"\\ud800\\u0041\"]}", "", "surrogate"},
                    BadJob{"{\"args\":[\"\\udc00\"]}", "", "surrogate"},
                    BadJob{"{\"args\":[\"a\nb\"]}", "", "is not JSON"},
                    BadJob{std::string(100'000, '['), "", "at most 16 levels"},
                    BadJob{"{\"args\":[\"x\"],\"args\":[\"y\"]}", ": \"args\"", "given twice"},
                    BadJob{"{\"args\":[\"x\"],\"\\u0061rgs\":[\"y\"]}", ": \"args\"",
                           "given twice"},
                    BadJob{"{\"limits\":{\"a\":1,\"a\":1}}", ": \"a\"", "given twice"}));

INSTANTIATE_TEST_SUITE_P(
    Fields, RefusedJob,
    testing::Values(BadJob{"{}", ": args", "there is no command"},
                    BadJob{"{\"args\":[]}", ": args", "there is no command"},
                    BadJob{"{\"args\":[\"\"]}", ": args", "there is no command"},
                    BadJob{"{\"args\":\"true\"}", ": args", "is a string; give an array"},
                    BadJob{"{\"args\":[\"a\",1]}", ": args[1]", "is an integer; give a string"},
                    BadJob{"{\"args\":[\"a\\u0000b\"]}", ": args[0]", "has a NUL byte"},
                    BadJob{"{\"arg\":[\"a\"]}", ": arg", "did you mean \"args\"?"},
                    with("\"\\u001b[2J\":1", "\"\\x1b[2J\"", "unknown field"),
                    with("\"id\":7", "id", "is an integer; give a string"),
                    with("\"env\":{}", "env", "is an object; give an array of strings"),
                    with("\"env\":[\"A=b\",\"C\"]", "env[1]", "write NAME=value"),
                    with("\"env\":[\"=b\"]", "env[0]", "write NAME=value"),
                    with("\"env\":[\"A=\\u0000\"]", "env[0]", "has a NUL byte"),
                    with("\"cwd\":null", "cwd", "is null; give a string")));

INSTANTIATE_TEST_SUITE_P(
    Streams, RefusedJob,
    testing::Values(
        with("\"stdin\":1", "stdin", "is an integer; give an object"),
        with("\"stdin\":\"null\"", "stdin", "could be /dev/null or four bytes"),
        with("\"stdin\":{\"collect\":\"x\"}", "stdin", "is an input"),
        with("\"stdin\":{\"host_file\":\"/x\",\"write\":true}", "stdin", "is an input"),
        with("\"stdin\":{\"text\":\"a\",\"base64\":\"\"}", "stdin", "has both text and base64"),
        with("\"stdin\":{}", "stdin", "give one of text, base64, host_file, stored"),
        with("\"stdin\":{\"txt\":\"a\"}", "stdin.txt", "did you mean \"text\"?"),
        with("\"stdin\":{\"text\":1}", "stdin.text", "give a string"),
        with("\"stdin\":{\"text\":\"\",\"write\":true}", "stdin.write", "unknown field"),
        with("\"stdin\":{\"base64\":\"A\"}", "stdin.base64", "multiple of 4"),
        with("\"stdin\":{\"stored\":\"../x\"}", "stdin.stored", "is not an id of a stored file"),
        with("\"stdin\":{\"host_file\":\"a\\u0000b\"}", "stdin.host_file", "NUL"),
        with("\"stdout\":\"out.txt\"", "stdout", "\"out.txt\" is not a stream"),
        with("\"stdout\":{\"text\":\"a\"}", "stdout", "is an output"),
        with("\"stdout\":{\"host_file\":\"/a\"}", "stdout", "add \"write\": true"),
        with("\"stdout\":{\"collect\":\"a\",\"max\":-1}", "stdout.max", "-1 is negative"),
        with("\"stdout\":{\"collect\":\"a\",\"max\":1.5}", "stdout.max", "is a fraction"),
        with("\"stdout\":{\"same_as\":1}", "fds.1.same_as", "stream of its own"),
        with("\"stderr\":{\"same_as\":9}", "fds.2.same_as", "stream of its own"),
        with("\"stderr\":{\"same_as\":4294967296}", "stderr.same_as", "give 0 to 1023"),
        with("\"stdin\":\"\",\"fds\":{\"0\":null}", "stdin", "is given as fds.0 too"),
        with("\"fds\":[]", "fds", "is an array; give an object like"),
        with("\"fds\":{\"1024\":null}", "fds", "\"1024\" is not a descriptor's number"),
        with("\"fds\":{\"-1\":null}", "fds", "give 0 to 1023"),
        with("\"fds\":{\"03\":null}", "fds", "give 0 to 1023"),
        with("\"fds\":{\"3x\":null}", "fds", "give 0 to 1023"),
        with("\"fds\":{\"\":null}", "fds", "give 0 to 1023"),
        with("\"fds\":{\"99999999999\":null}", "fds", "give 0 to 1023")));

INSTANTIATE_TEST_SUITE_P(
    Files, RefusedJob,
    testing::Values(
        with("\"files_in\":{}", "files_in", "is an object; give an array"),
        with("\"files_in\":[\"a\"]", "files_in[0]", "give an object with a path"),
        with("\"files_in\":[{\"path\":\"a\"}]", "files_in[0]", "give one of text, base64"),
        with("\"files_in\":[{\"text\":\"a\"}]", "files_in[0].path", "is missing or empty"),
        with("\"files_in\":[{\"paht\":\"a\",\"text\":\"\"}]", "files_in[0].paht", "\"path\"?"),
        with("\"files_in\":[{\"path\":\"a\\u0000\",\"text\":\"\"}]", "files_in[0].path", "NUL"),
        with("\"files_in\":[{\"path\":\"a\",\"directory\":false}]", "files_in[0].directory",
             "is not true"),
        with("\"files_in\":[{\"path\":\"a\",\"text\":\"\",\"mode\":755}]", "files_in[0].mode",
             "give a string"),
        with("\"files_in\":[{\"path\":\"a\",\"text\":\"\",\"mode\":\"4755\"}]", "files_in[0].mode",
             "\"0000\" to \"0777\""),
        with("\"files_in\":[{\"path\":\"a\",\"text\":\"\",\"mode\":\"0o755\"}]", "files_in[0].mode",
             "is not a mode"),
        with("\"files_in\":[{\"path\":\"a\",\"text\":\"\",\"mode\":\"\"}]", "files_in[0].mode",
             "is not a mode"),
        with("\"files_out\":[{}]", "files_out[0].path", "is missing or empty"),
        with("\"files_out\":[{\"path\":\"a\",\"max\":\"1P\"}]", "files_out[0].max", "unknown unit"),
        with("\"files_out\":[{\"path\":\"a\",\"optional\":1}]", "files_out[0].optional",
             "give true or false"),
        with("\"files_out\":[{\"path\":\"a\",\"limit\":1}]", "files_out[0].limit", "known: path")));

INSTANTIATE_TEST_SUITE_P(
    LimitsOf, RefusedJob,
    testing::Values(
        with("\"limits\":[]", "limits", "is an array; give an object"),
        with("\"limits\":{\"memmory\":1}", "limits.memmory", "did you mean \"memory\"?"),
        with("\"limits\":{\"memory\":null}", "limits.memory", "is null"),
        with("\"limits\":{\"memory\":1}", "limits.memory", "1B is out of range; give 1MiB"),
        with("\"limits\":{\"memory\":-1}", "limits.memory", "-1 is negative"),
        with("\"limits\":{\"memory\":1e9}", "limits.memory", "is a fraction"),
        with("\"limits\":{\"memory\":18446744073709551615}", "limits.memory", "out of range"),
        with("\"limits\":{\"memory\":18446744073709551616}", "limits.memory", "too large"),
        with("\"limits\":{\"memory\":\"lots\"}", "limits.memory", "\"lots\" is not a size"),
        with("\"limits\":{\"cpu_time\":true}", "limits.cpu_time", "is a boolean"),
        with("\"limits\":{\"cpu_time\":0}", "limits.cpu_time", "give 1ms to 87600h"),
        with("\"limits\":{\"cpu_time\":1e308}", "limits.cpu_time", "too large"),
        with("\"limits\":{\"cpu_time\":-0.5}", "limits.cpu_time", "is negative"),
        with("\"limits\":{\"cpu_time\":\"1 s\"}", "limits.cpu_time", "unknown unit"),
        with("\"limits\":{\"processes\":4194305}", "limits.processes", "1 to 4194304"),
        with("\"limits\":{\"processes\":\"8\"}", "limits.processes", "is a string"),
        with("\"limits\":{\"open_files\":4294967299}", "limits.open_files", "4 to 1048576"),
        with("\"limits\":{\"cpu_rate\":\"1\"}", "limits.cpu_rate", "is a string; give 0.01"),
        with("\"limits\":{\"cpu_rate\":0}", "limits.cpu_rate", "out of range"),
        with("\"limits\":{\"cpu_set\":\"a\"}", "limits.cpu_set", "is not a list of CPUs"),
        with("\"limits\":{\"cpu_set\":0}", "limits.cpu_set", "give a string")));

TEST(JobFromJson, RefusesMoreThan64Descriptors) {
  std::string fds;
  for (int fd = 3; fd < 66; ++fd) fds += (fd > 3 ? ",\"" : "\"") + std::to_string(fd) + "\":null";
  const Result<JobSpec> spec = job_from_json("{\"args\":[\"x\"],\"fds\":{" + fds + "}}", "j");
  ASSERT_FALSE(spec);
  EXPECT_THAT(spec.error().message(), HasSubstr("65 descriptors are too many"));
}

TEST(JobFromJson, EveryByteArrivesInBase64AndEveryCharacterInText) {
  const JobSpec spec =
      good_job("{\"args\":[\"x\"],\"stdin\":{\"base64\":\"" + base64_encode(all_bytes()) + "\"}}");
  EXPECT_EQ(std::get<BytesStream>(spec.fds.at(0)).bytes, all_bytes());
  std::string text;
  for (int value = 0; value < 0x80; ++value) text += static_cast<char>(value);
  text += "\xC2\x80\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBF\xF0\x90\x80\x80\xF4\x8F\xBF\xBF";
  const JobSpec same =
      good_job("{\"args\":[\"x\"],\"stdin\":" + json::serialize(json::string_view(text)) + "}");
  EXPECT_EQ(std::get<BytesStream>(same.fds.at(0)).bytes, text);
}

TEST(Base64, IsThatOfTheStandard) {
  const std::vector<std::pair<std::string, std::string>> cases = {{"", ""},
                                                                  {"f", "Zg=="},
                                                                  {"fo", "Zm8="},
                                                                  {"foo", "Zm9v"},
                                                                  {"foob", "Zm9vYg=="},
                                                                  {"fooba", "Zm9vYmE="},
                                                                  {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : cases) {
    EXPECT_EQ(base64_encode(bytes), text);
    EXPECT_EQ(*base64_decode(text), bytes);
  }
  for (std::size_t size = 0; size <= 256; ++size) {
    const std::string bytes = all_bytes().substr(256 - size);
    EXPECT_EQ(*base64_decode(base64_encode(bytes)), bytes);
  }
}

TEST(Base64, RefusesWhatIsNotCanonical) {
  for (const std::string& bad :
       {std::string("Z"), std::string("Zg"), std::string("Zg="), std::string("Zg==="),
        std::string("Z==="), std::string("===="), std::string("Zh=="), std::string("Zm9="),
        std::string("Zm9v\n"), std::string("Zm 9"), std::string("Zg==Zg=="), std::string("Zm-_"),
        std::string("Z\0==", 4), std::string("Zm\xff=")}) {
    EXPECT_FALSE(base64_decode(bad)) << bad;
  }
}

TEST(Utf8, KnowsEveryIllFormedSequence) {
  for (const std::string good : {"", "a", "ä", "€", "😀", "\xED\x9F\xBF", "\xEE\x80\x80",
                                 "\xF4\x8F\xBF\xBF", "12345678ä12345678"}) {
    EXPECT_TRUE(is_utf8(good)) << good;
    EXPECT_EQ(utf8_or_replaced(good), good);
  }
  for (const std::string bad :
       {"\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xC3", "\xC3(", "\xE0\x9F\xBF", "\xE2\x82",
        "\xED\xA0\x80", "\xED\xBF\xBF", "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80",
        "\xFF", "12345678\xFF", "1234567\xC3"}) {
    EXPECT_FALSE(is_utf8(bad)) << json::serialize(json::string_view(base64_encode(bad)));
    EXPECT_TRUE(is_utf8(utf8_or_replaced(bad)));
  }
  EXPECT_EQ(utf8_or_replaced("a\xFF"
                             "b"),
            "a\uFFFDb");
}

json::object parsed(const Report& report) {
  const std::string text = report_to_json(report);
  EXPECT_EQ(text.find('\n'), std::string::npos);
  json::error_code error;
  const json::value value = json::parse(text, error);
  EXPECT_FALSE(error) << error.message() << ": " << text;
  return value.is_object() ? value.get_object() : json::object();
}

TEST(ReportToJson, AnEmptyReportHasEveryFieldAndNullForAbsentFigures) {
  const json::object object = parsed(Report());
  EXPECT_EQ(object.at("outcome"), "internal error");
  for (const char* field : {"exit_code",          "signal",
                            "cpu_time_ns",        "cpu_user_ns",
                            "cpu_system_ns",      "wall_time_ns",
                            "memory_peak_bytes",  "oom_kills",
                            "process_peak",       "process_limit_hit",
                            "minor_faults",       "major_faults",
                            "voluntary_switches", "involuntary_switches",
                            "io_read_bytes",      "io_write_bytes",
                            "throttled_time_ns",  "cpu_pressure_ns",
                            "memory_pressure_ns", "io_pressure_ns",
                            "forbidden_syscall",  "error",
                            "end_order"}) {
    EXPECT_TRUE(object.at(field).is_null()) << field;
  }
  for (const char* step : {"queued_ns", "placed_ns", "handed_over_ns", "exec_done_ns", "ended_ns",
                           "read_ns", "reset_ns"}) {
    EXPECT_TRUE(object.at("steps").at(step).is_null()) << step;
  }
  EXPECT_TRUE(object.at("outputs").as_array().empty());
}

TEST(ReportToJson, GivesEveryFigure) {
  Report report;
  report.id = "x\"\\\n";
  report.outcome = Outcome::kForbiddenSyscall;
  report.exit_code = 3;
  report.signal = 9;
  report.cpu_time = seconds(400ULL * 24 * 3600);
  report.memory_peak_bytes = ~0ULL;
  report.process_limit_hit = false;
  report.forbidden_syscall = Report::ForbiddenSyscall{-1, "unknown", "x86"};
  report.steps.queued = Nanoseconds(7);
  report.error = Error{Step::kWorkerExec, "/bin/x", 2, "d", "r"};
  report.end_order = 1;
  report.slot = 5;
  report.host = "cgroup v2";
  const json::object object = parsed(report);
  EXPECT_EQ(object.at("id"), "x\"\\\n");
  EXPECT_EQ(object.at("outcome"), "forbidden syscall");
  EXPECT_EQ(object.at("exit_code"), 3);
  EXPECT_EQ(object.at("signal"), 9);
  EXPECT_EQ(object.at("cpu_time_ns"), 34'560'000'000'000'000);
  EXPECT_EQ(object.at("memory_peak_bytes"), ~0ULL);
  EXPECT_EQ(object.at("process_limit_hit"), false);
  EXPECT_EQ(object.at("forbidden_syscall").at("number"), -1);
  EXPECT_EQ(object.at("forbidden_syscall").at("architecture"), "x86");
  EXPECT_EQ(object.at("steps").at("queued_ns"), 7);
  EXPECT_EQ(object.at("error").at("object"), "/bin/x");
  EXPECT_EQ(object.at("error").at("errno"), 2);
  EXPECT_EQ(object.at("error").at("message"), json::string_view(report.error->message()));
  EXPECT_EQ(object.at("end_order"), 1);
  EXPECT_EQ(object.at("slot"), 5);
  EXPECT_EQ(object.at("host"), "cgroup v2");
}

TEST(ReportToJson, OutputsAreLosslessWhateverTheirBytes) {
  std::vector<std::string> contents = {"",
                                       "plain\n",
                                       "ä\0😀",
                                       all_bytes(),
                                       "\xED\xA0\x80",
                                       std::string("a\0b", 3),
                                       "\x1b[0m\x7f\u2028",
                                       "cut \xC3"};
  for (int value = 0; value < 256; ++value) contents.emplace_back(1, static_cast<char>(value));
  Report report;
  for (const std::string& bytes : contents) {
    report.outputs.push_back(Output{.name = "o", .bytes = bytes, .size = bytes.size()});
  }
  const json::object object = parsed(report);
  const json::array& outputs = object.at("outputs").as_array();
  ASSERT_EQ(outputs.size(), contents.size());
  for (std::size_t index = 0; index < contents.size(); ++index) {
    const json::object& output = outputs[index].as_object();
    EXPECT_LE(json::serialize(output).size(), 200 + 2 * contents[index].size());
    if (!is_utf8(contents[index])) {
      EXPECT_FALSE(output.contains("text"));
    }
    EXPECT_NE(output.contains("text"), output.contains("base64"));
    const std::string bytes = output.contains("text")
                                  ? std::string(output.at("text").as_string())
                                  : *base64_decode(output.at("base64").as_string());
    EXPECT_EQ(bytes, contents[index]) << index;
  }
}

TEST(ReportToJson, OutputIsTextUnlessEscapingMoreThanDoublesIt) {
  const std::vector<std::pair<std::string, bool>> cases = {
      {"", true},
      {"plain\n", true},
      {std::string(1000, '\n'), true},
      {std::string(1000, '"'), true},
      {"\x1b[31merror\x1b[0m: coloured\n", true},
      {std::string("a\0bcde", 6), true},
      {std::string("a\0b", 3), false},
      {std::string(1000, '\0'), false},
      {"\x01", false}};
  for (const auto& [bytes, is_text] : cases) {
    Report report;
    report.outputs.push_back(Output{.name = "o", .bytes = bytes, .size = bytes.size()});
    const json::object output = parsed(report).at("outputs").at(0).as_object();
    EXPECT_EQ(output.contains("text"), is_text) << bytes.size() << " " << bytes.substr(0, 10);
  }
}

TEST(ReportToJson, StoredAndFailedOutputsSaySo) {
  Report report;
  report.id = "\xff";
  report.outputs.push_back(Output{.name = "a\xff", .stored = "0123", .truncated = true, .size = 9});
  report.outputs.push_back(
      Output{.name = "b", .error = Error{.step = Step::kCopyOut, .object = "b", .errnum = 2}});
  const json::object object = parsed(report);
  EXPECT_EQ(object.at("id"), "\uFFFD");
  const json::object& stored = object.at("outputs").at(0).as_object();
  EXPECT_EQ(stored.at("name"), "a\uFFFD");
  EXPECT_EQ(stored.at("stored"), "0123");
  EXPECT_EQ(stored.at("size"), 9);
  EXPECT_EQ(stored.at("truncated"), true);
  EXPECT_FALSE(stored.contains("text"));
  EXPECT_EQ(object.at("outputs").at(1).at("error").at("errno"), 2);
}

TEST(Report, FindsAnOutputByName) {
  Report report;
  report.outputs.push_back(Output{.name = "stdout", .bytes = "x"});
  ASSERT_NE(report.output("stdout"), nullptr);
  EXPECT_EQ(report.output("stdout")->bytes, "x");
  EXPECT_EQ(report.output("stderr"), nullptr);
}

TEST(OutcomeName, IsThatOfTheDesign) {
  const std::vector<std::string> names = {"accepted",     "nonzero exit",      "signalled",
                                          "time limit",   "wall limit",        "memory limit",
                                          "output limit", "forbidden syscall", "file error",
                                          "cancelled",    "internal error"};
  for (std::size_t index = 0; index < names.size(); ++index) {
    EXPECT_EQ(outcome_name(static_cast<Outcome>(index)), names[index]);
  }
}

}  // namespace
}  // namespace hatchery
