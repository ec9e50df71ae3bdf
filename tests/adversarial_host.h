// For attacks by way of host files: files of the test's own on the host, and what reports say of
// files in and out.
#pragma once

#include <string>

#include "tests/adversarial.h"

namespace hatchery::testing {

/// A directory of this test process, open to all, removed at its end.
const std::string& scratch();
/// Makes scratch()/name anew with these bytes, whatever was there; returns its path.
std::string host_file(const std::string& name, const std::string& bytes, unsigned mode = 0644);
std::string bytes_of(const std::string& path);

/// What became of the job; a refusal by submit() is a file error with the refusal as its error.
Report run_or_refusal(Pool& pool, JobSpec spec);
/// The report of a command (HATCHERY_BINARY, say) run as a user would: outputs "stdout" and
/// "stderr", accepted or nonzero exit.
Report run_command(const std::vector<std::string>& args, const std::string& input = {});
/// The same report with one output more.
Report with_output(Report report, const std::string& name, std::string bytes);

/// The output of that name, no error in it.
ReportMatcher Gives(const std::string& name, ::testing::Matcher<const std::string&> bytes);
/// The file out could not be had for this reason.
ReportMatcher GivesNot(const std::string& name, int errnum);
/// Ends with a file error (or a refusal) for this reason.
ReportMatcher FileError(int errnum);
/// Has an error whose message has this: the field, say, for which submit() refused it.
ReportMatcher Refused(const std::string& reason);
/// Ends so, with this signal.
ReportMatcher DiesOf(int signal);
/// The output of that name has just this many bytes.
ReportMatcher Keeps(const std::string& name, std::size_t size);

}  // namespace hatchery::testing
