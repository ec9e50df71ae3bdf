#include "pool/cli/judge/table.h"

#include <fmt/format.h>

#include <algorithm>

#include "pool/cli/report_text.h"
#include "pool/utf8.h"

namespace hatchery::judge {
namespace {

constexpr std::size_t kDiagnosticLinesMax = 20;
constexpr std::size_t kNameWidthMax = 60;
constexpr std::size_t kFigureWidth = 10;

/// Characters, which is columns for all that names and units are made of.
std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char byte) {
    return (static_cast<unsigned char>(byte) & 0xc0U) != 0x80U;
  }));
}

std::string left(std::string_view text, std::size_t width) {
  std::string padded(text);
  padded.append(width - std::min(width, width_of(text)), ' ');
  return padded;
}

std::string right(std::string_view text, std::size_t width) {
  return std::string(width - std::min(width, width_of(text)), ' ').append(text);
}

std::string time_text(const Figures& figures) {
  return figures.cpu_time.has_value() ? cli::readable_time(*figures.cpu_time) : "-";
}

std::string memory_text(const Figures& figures) {
  return figures.memory_peak_bytes.has_value() ? cli::readable_size(*figures.memory_peak_bytes)
                                               : "-";
}

std::string seconds_text(Nanoseconds time) {
  return fmt::format("{} s", std::chrono::duration<double>(time).count());
}

std::string diagnostic_lines(std::string_view text) {
  std::string lines;
  for (std::size_t count = 0; !text.empty() && count < kDiagnosticLinesMax; ++count) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    lines += "    | " + printable(text.substr(0, end)) + "\n";
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  if (!text.empty()) lines += "    | …\n";
  return lines;
}

std::string_view without_trailing_spaces(std::string_view line) {
  return line.substr(0, line.find_last_not_of(' ') + 1);
}

}  // namespace

std::string printable(std::string_view bytes, std::size_t bytes_max) {
  const std::string text = utf8_or_replaced(bytes.substr(0, bytes_max));
  std::string result;
  for (std::size_t index = 0; index < text.size(); ++index) {
    const auto byte = static_cast<unsigned char>(text[index]);
    // U+0080 to U+009F are control characters too: terminals obey some of them.
    const bool is_c1 = byte == 0xc2U && index + 1 < text.size() &&
                       static_cast<unsigned char>(text[index + 1]) < 0xa0U;
    if (is_c1) ++index;
    if (byte == '\t') {
      result += ' ';
    } else if (is_c1 || byte < 0x20U || byte == 0x7fU) {
      result += '?';
    } else {
      result += text[index];
    }
  }
  if (bytes.size() > bytes_max) result += "…";
  return result;
}

Table::Table(const Package& package, const LanguageList& languages, TableOptions options)
    : package_(package), options_(options) {
  name_width_ = width_of("submission");
  language_width_ = width_of("language");
  expected_width_ = width_of("expected");
  for (const Submission& submission : package.submissions) {
    name_width_ = std::max(name_width_, width_of(printable(submission.name)));
    expected_width_ = std::max(expected_width_, width_of(submission.expectation.text));
    const Language* language = languages.of_files(submission.files);
    if (language != nullptr) language_width_ = std::max(language_width_, width_of(language->name));
  }
  name_width_ = std::min(name_width_, kNameWidthMax);
}

std::string Table::title() const {
  const char* kind = "default validator";
  if (package_.validation == Validation::kCustom) kind = "custom validator";
  if (package_.validation == Validation::kInteractive) kind = "interactive";
  return fmt::format("{}: {} tests, {}, {} and {}\n", printable(package_.name),
                     package_.tests.size(), kind,
                     seconds_text(package_.limits.time.value_or(Nanoseconds(0))),
                     cli::readable_size(package_.limits.memory_bytes));
}

std::string Table::columns(std::string_view name, std::string_view language,
                           std::string_view expected, std::string_view verdict,
                           std::string_view mark, const Figures& figures, std::string_view tests,
                           const std::string& note) const {
  const std::string line =
      fmt::format("{}  {}  {}  {} {}  {}  {}  {}  {}", left(name, name_width_),
                  left(language, language_width_), left(expected, expected_width_),
                  left(verdict, 7), mark, right(time_text(figures), kFigureWidth),
                  right(memory_text(figures), kFigureWidth), right(tests, 7), note);
  return std::string(without_trailing_spaces(line));
}

std::string Table::header() const {
  return fmt::format("{}  {}  {}  {}    {}  {}  {}\n", left("submission", name_width_),
                     left("language", language_width_), left("expected", expected_width_),
                     left("verdict", 7), right("time", kFigureWidth), right("memory", kFigureWidth),
                     right("tests", 7));
}

std::string Table::note(const SubmissionResult& result) const {
  std::string text;
  if (result.deciding_test.has_value())
    text = printable(package_.tests[*result.deciding_test].name);
  if (!result.message.empty()) text += (text.empty() ? "" : ": ") + printable(result.message, 160);
  return text;
}

std::string Table::row(const SubmissionResult& result) const {
  const char* verdict = result.verdict.has_value() ? verdict_code(*result.verdict) : "?";
  const bool good = result.as_expected();
  const std::string tests = fmt::format("{}/{}", result.tests_run, package_.tests.size());
  std::string line = columns(printable(result.name), result.language, result.expectation.text,
                             verdict, good ? " " : "!", result.largest, tests, note(result));
  if (options_.colour && !good) line = "\x1b[31m" + line + "\x1b[0m";
  line += '\n';
  const bool broken = result.verdict == Verdict::kCompileError && !good;
  if (options_.verbose || broken) line += diagnostic_lines(result.diagnostics);
  if (options_.verbose) line += test_rows(result);
  return line;
}

std::string Table::test_rows(const SubmissionResult& result) const {
  std::string rows;
  for (std::size_t index = 0; index < result.tests.size(); ++index) {
    const TestResult& test = result.tests[index];
    if (!test.verdict.has_value()) continue;
    rows +=
        columns("  " + printable(package_.tests[index].name), "", "", verdict_code(*test.verdict),
                " ", test.figures, "", printable(test.message, 160));
    rows += '\n';
  }
  return rows;
}

std::string Table::footer(const Summary& summary) const {
  const double seconds = std::chrono::duration<double>(summary.elapsed).count();
  const double rate = seconds > 0 ? static_cast<double>(summary.jobs) / seconds : 0;
  return fmt::format("{}{}/{} verdicts as expected, {} jobs in {:.2f} s ({:.0f} jobs/s)\n",
                     summary.interrupted != 0 ? "interrupted: " : "", summary.as_expected,
                     summary.submissions.size(), summary.jobs, seconds, rate);
}

}  // namespace hatchery::judge
