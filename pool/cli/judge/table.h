// Results of a judge for people: a table whose rows can be printed one by one, because the names
// that set the widths are known before. Nothing that a submission wrote reaches a terminal
// unescaped. Runs in: pool. Thread: any; values only.
#pragma once

#include <string>
#include <string_view>

#include "pool/cli/judge/language.h"
#include "pool/cli/judge/package.h"
#include "pool/cli/judge/result.h"

namespace hatchery::judge {

struct TableOptions {
  /// A row for each test too, and the compiler's messages.
  bool verbose = false;
  /// ANSI colours.
  bool colour = false;
};

class Table {
 public:
  Table(const Package& package, const LanguageList& languages, TableOptions options);

  /// The problem: name, limits, tests. Ends with a newline, as all do.
  std::string title() const;
  std::string header() const;
  /// The submission's row, and what --verbose adds.
  std::string row(const SubmissionResult& result) const;
  /// "31/32 verdicts as expected, 412 jobs in 7.3 s (56 jobs/s)".
  std::string footer(const Summary& summary) const;

 private:
  std::string columns(std::string_view name, std::string_view language, std::string_view expected,
                      std::string_view verdict, std::string_view mark, const Figures& figures,
                      std::string_view tests, const std::string& note) const;
  std::string note(const SubmissionResult& result) const;
  std::string test_rows(const SubmissionResult& result) const;

  const Package& package_;
  const TableOptions options_;
  std::size_t name_width_ = 0;
  std::size_t language_width_ = 0;
  std::size_t expected_width_ = 0;
};

/// Valid UTF-8 without control characters, at most `bytes_max` long.
std::string printable(std::string_view bytes, std::size_t bytes_max = 400);

}  // namespace hatchery::judge
