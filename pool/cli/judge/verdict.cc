#include "pool/cli/judge/verdict.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "core/check.h"
#include "pool/nearest_name.h"

namespace hatchery::judge {
namespace {

using enum Verdict;

constexpr VerdictSet kNotAccepted = {kWrongAnswer, kTimeLimit,   kRunTimeError,
                                     kMemoryLimit, kOutputLimit, kCompileError};
constexpr VerdictSet kRan = {kAccepted,     kWrongAnswer, kTimeLimit,
                             kRunTimeError, kMemoryLimit, kOutputLimit};

struct DirectoryName {
  std::string_view name;
  VerdictSet verdicts;
  const char* text;
};

constexpr std::array kDirectories = {
    DirectoryName{"accepted", {kAccepted}, "AC"},
    DirectoryName{"wrong_answer", {kWrongAnswer}, "WA"},
    DirectoryName{"time_limit_exceeded", {kTimeLimit}, "TLE"},
    DirectoryName{"run_time_error", {kRunTimeError, kMemoryLimit, kOutputLimit}, "RTE"},
    DirectoryName{"runtime_exception", {kRunTimeError, kMemoryLimit, kOutputLimit}, "RTE"},
    DirectoryName{"memory_limit_exceeded", {kMemoryLimit}, "MLE"},
    DirectoryName{"output_limit_exceeded", {kOutputLimit}, "OLE"},
    DirectoryName{"compile_error", {kCompileError}, "CE"},
    DirectoryName{"partially_accepted", kRan, "any"},
    DirectoryName{"rejected", kNotAccepted, "not AC"},
    DirectoryName{"multiple", {}, "-"},
    DirectoryName{"mixed", {}, "-"},
};

struct ResultWord {
  std::string_view word;
  Verdict verdict;
};

// DOMjudge's names and Kattis' ones, with '_' and ' ' written as '-'.
constexpr std::array kResultWords = {
    ResultWord{"CORRECT", kAccepted},
    ResultWord{"ACCEPTED", kAccepted},
    ResultWord{"WRONG-ANSWER", kWrongAnswer},
    // DOMjudge tells an empty output apart; here it is a wrong answer like any other.
    ResultWord{"NO-OUTPUT", kWrongAnswer},
    ResultWord{"TIMELIMIT", kTimeLimit},
    ResultWord{"TIME-LIMIT-EXCEEDED", kTimeLimit},
    ResultWord{"RUN-ERROR", kRunTimeError},
    ResultWord{"RUN-TIME-ERROR", kRunTimeError},
    ResultWord{"RUNTIME-ERROR", kRunTimeError},
    ResultWord{"MEMORY-LIMIT", kMemoryLimit},
    ResultWord{"MEMORY-LIMIT-EXCEEDED", kMemoryLimit},
    ResultWord{"OUTPUT-LIMIT", kOutputLimit},
    ResultWord{"OUTPUT-LIMIT-EXCEEDED", kOutputLimit},
    ResultWord{"COMPILER-ERROR", kCompileError},
    ResultWord{"COMPILE-ERROR", kCompileError},
};

std::string normalised(std::string_view word) {
  std::string upper;
  for (const char letter : word) {
    const bool dash = letter == '_' || letter == ' ';
    upper += dash ? '-' : static_cast<char>(std::toupper(static_cast<unsigned char>(letter)));
  }
  return upper;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r";
  const std::size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

Result<Expectation> expectation_of_words(std::string_view list, const std::string& where) {
  Expectation expectation;
  expectation.text.clear();
  while (!list.empty()) {
    const std::size_t comma = std::min(list.find(','), list.size());
    const std::string word = normalised(trimmed(list.substr(0, comma)));
    list.remove_prefix(std::min(comma + 1, list.size()));
    if (word.empty()) continue;
    const auto known = std::find_if(kResultWords.begin(), kResultWords.end(),
                                    [&](const ResultWord& entry) { return entry.word == word; });
    if (known == kResultWords.end()) {
      std::vector<std::string_view> words;
      words.reserve(kResultWords.size());
      for (const ResultWord& entry : kResultWords) words.push_back(entry.word);
      return Error{Step::kReadPackage, where, 0, quote(word) + " is no result",
                   suggest_name(word, words)};
    }
    if (expectation.verdicts.has(known->verdict)) continue;
    expectation.verdicts.add(known->verdict);
    if (!expectation.text.empty()) expectation.text += '|';
    expectation.text += verdict_code(known->verdict);
  }
  if (expectation.verdicts.empty()) {
    return Error{Step::kReadPackage, where, 0, "@EXPECTED_RESULTS@ names no result",
                 "give results, as in @EXPECTED_RESULTS@: CORRECT, TIMELIMIT"};
  }
  return expectation;
}

}  // namespace

const char* verdict_code(Verdict verdict) noexcept {
  switch (verdict) {
    case kAccepted: return "AC";
    case kWrongAnswer: return "WA";
    case kTimeLimit: return "TLE";
    case kRunTimeError: return "RTE";
    case kMemoryLimit: return "MLE";
    case kOutputLimit: return "OLE";
    case kCompileError: return "CE";
    case kJudgeError: return "JE";
  }
  HATCHERY_UNREACHABLE();
}

const char* verdict_name(Verdict verdict) noexcept {
  switch (verdict) {
    case kAccepted: return "accepted";
    case kWrongAnswer: return "wrong answer";
    case kTimeLimit: return "time limit exceeded";
    case kRunTimeError: return "run-time error";
    case kMemoryLimit: return "memory limit exceeded";
    case kOutputLimit: return "output limit exceeded";
    case kCompileError: return "compile error";
    case kJudgeError: return "judge error";
  }
  HATCHERY_UNREACHABLE();
}

std::optional<Expectation> expectation_of_directory(std::string_view name) {
  for (const DirectoryName& directory : kDirectories) {
    if (directory.name == name) return Expectation{directory.verdicts, directory.text};
  }
  return std::nullopt;
}

std::string expected_directory_names() {
  std::string names;
  for (const DirectoryName& directory : kDirectories) {
    if (!names.empty()) names += ", ";
    names += directory.name;
  }
  return names;
}

Result<std::optional<Expectation>> expectation_in_source(std::string_view source,
                                                         const std::string& where) {
  constexpr std::string_view kTag = "@EXPECTED_RESULTS@";
  const std::size_t tag = source.find(kTag);
  if (tag == std::string_view::npos) return std::optional<Expectation>();
  const auto line =
      1 + std::count(source.begin(), source.begin() + static_cast<std::ptrdiff_t>(tag), '\n');
  std::string_view rest = source.substr(tag + kTag.size());
  rest = trimmed(rest.substr(0, rest.find('\n')));
  if (!rest.empty() && rest.front() == ':') rest.remove_prefix(1);
  // The tag may stand in a one-line comment of C or HTML.
  for (const std::string_view closing : {"*/", "-->", "*)"}) {
    rest = rest.substr(0, rest.find(closing));
  }
  Result<Expectation> expectation = expectation_of_words(rest, where + ":" + std::to_string(line));
  if (!expectation) return std::move(expectation).error();
  return std::optional<Expectation>(*std::move(expectation));
}

}  // namespace hatchery::judge
