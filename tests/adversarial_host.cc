#include "tests/adversarial_host.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "tests/process.h"

namespace hatchery::testing {
namespace {

namespace fs = std::filesystem;

struct Scratch {
  Scratch() : path(make_temporary_directory()) { fs::permissions(path, fs::perms::all); }
  ~Scratch() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  std::string path;
};

std::string told(const Report& report) {
  std::string text = describe(report);
  for (const Output& output : report.outputs)
    text += "\n  " + output.name + ": " +
            (output.error ? output.error->message() : output.bytes.substr(0, 200));
  return text;
}

MATCHER_P2(HasOutput, name, bytes,
           "has output " + name + " that " +
               ::testing::DescribeMatcher<const std::string&>(bytes)) {
  *result_listener << told(arg);
  const Output* output = arg.output(name);
  return output != nullptr && !output->error && ::testing::Matches(bytes)(output->bytes);
}

MATCHER_P2(HasFailedOutput, name, errnum,
           "has no output " + name + " for errno " + std::to_string(errnum)) {
  *result_listener << told(arg);
  const Output* output = arg.output(name);
  return output != nullptr && output->error && output->error->errnum == errnum &&
         output->bytes.empty() && output->stored.empty();
}

MATCHER_P(HasError, errnum, "has an error with errno " + std::to_string(errnum)) {
  *result_listener << told(arg);
  return arg.error && arg.error->errnum == errnum;
}

MATCHER_P(HasSignal, signal, "dies of signal " + std::to_string(signal)) {
  *result_listener << told(arg);
  return arg.signal == signal;
}

}  // namespace

const std::string& scratch() {
  static const Scratch kScratch;
  return kScratch.path;
}

std::string host_file(const std::string& name, const std::string& bytes, unsigned mode) {
  std::string path = scratch() + '/' + name;
  std::error_code ignored;
  fs::remove_all(path, ignored);
  std::ofstream(path, std::ios::binary) << bytes;
  EXPECT_EQ(::chmod(path.c_str(), mode), 0);
  return path;
}

std::string bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

Report run_or_refusal(Pool& pool, JobSpec spec) {
  Result<std::future<Report>> future = pool.submit(std::move(spec));
  if (future) return future->get();
  Report report;
  report.outcome = Outcome::kFileError;
  report.error = std::move(future).error();
  return report;
}

Report run_command(const std::vector<std::string>& args, const std::string& input) {
  const ProcessResult result = run_process(args, input);
  EXPECT_FALSE(result.timed_out);
  Report report;
  report.outcome = result.status == 0 ? Outcome::kAccepted : Outcome::kNonzeroExit;
  report.exit_code = result.status;
  report.outputs = {{.name = "stdout", .bytes = result.out},
                    {.name = "stderr", .bytes = result.err}};
  return report;
}

Report with_output(Report report, const std::string& name, std::string bytes) {
  report.outputs.push_back({.name = name, .bytes = std::move(bytes)});
  return report;
}

ReportMatcher Gives(const std::string& name, ::testing::Matcher<const std::string&> bytes) {
  return HasOutput(name, bytes);
}

ReportMatcher GivesNot(const std::string& name, int errnum) {
  return HasFailedOutput(name, errnum);
}

ReportMatcher FileError(int errnum) { return Both(Ends(Outcome::kFileError), HasError(errnum)); }

ReportMatcher Refused(const std::string& reason) {
  return ::testing::Field(&Report::error, ::testing::Optional(::testing::ResultOf(
                                              [](const Error& error) { return error.message(); },
                                              ::testing::HasSubstr(reason))));
}

ReportMatcher DiesOf(int signal) { return HasSignal(signal); }

ReportMatcher Keeps(const std::string& name, std::size_t size) {
  return HasOutput(name, ::testing::Matcher<const std::string&>(::testing::SizeIs(size)));
}

}  // namespace hatchery::testing
