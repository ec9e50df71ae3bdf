#include "pool/cli/judge/judge_json.h"

#include <boost/json.hpp>

#include "pool/utf8.h"

namespace hatchery::judge {
namespace {

namespace json = boost::json;

json::value seconds(const std::optional<Nanoseconds>& time) {
  if (!time.has_value()) return nullptr;
  return std::chrono::duration<double>(*time).count();
}

json::value text(const std::string& bytes) { return json::value(utf8_or_replaced(bytes)); }

json::value verdict(const std::optional<Verdict>& verdict) {
  if (!verdict.has_value()) return nullptr;
  return json::value(verdict_code(*verdict));
}

json::object figures(const Figures& figures) {
  json::object object;
  object["cpu_time"] = seconds(figures.cpu_time);
  object["wall_time"] = seconds(figures.wall_time);
  object["memory_peak_bytes"] = nullptr;
  if (figures.memory_peak_bytes.has_value()) {
    object["memory_peak_bytes"] = *figures.memory_peak_bytes;
  }
  return object;
}

json::array expected(const Expectation& expectation) {
  json::array verdicts;
  for (std::size_t index = 0; index < kVerdictCount; ++index) {
    const auto candidate = static_cast<Verdict>(index);
    if (expectation.verdicts.has(candidate)) verdicts.emplace_back(verdict_code(candidate));
  }
  return verdicts;
}

json::array tests(const Package& package, const SubmissionResult& result) {
  json::array array;
  for (std::size_t index = 0; index < result.tests.size(); ++index) {
    const TestResult& test = result.tests[index];
    if (!test.verdict.has_value()) continue;
    json::object object;
    object["name"] = text(package.tests[index].name);
    object["verdict"] = verdict(test.verdict);
    object["message"] = text(test.message);
    for (auto& [key, value] : figures(test.figures)) object[key] = value;
    array.emplace_back(std::move(object));
  }
  return array;
}

json::object submission(const Package& package, const SubmissionResult& result) {
  json::object object;
  object["name"] = text(result.name);
  object["language"] = text(result.language);
  object["expected"] = expected(result.expectation);
  object["verdict"] = verdict(result.verdict);
  object["as_expected"] = result.as_expected();
  object["message"] = text(result.message);
  object["deciding_test"] = nullptr;
  if (result.deciding_test.has_value()) {
    object["deciding_test"] = text(package.tests[*result.deciding_test].name);
  }
  object["compile"] = figures(result.compile);
  object["diagnostics"] = text(result.diagnostics);
  object["largest"] = figures(result.largest);
  object["tests_run"] = result.tests_run;
  object["tests"] = tests(package, result);
  return object;
}

}  // namespace

std::string summary_to_json(const Package& package, const Summary& summary) {
  json::object object;
  object["problem"] = text(package.name);
  object["package"] = text(package.directory);
  object["tests"] = package.tests.size();
  object["time_limit"] = seconds(package.limits.time);
  object["memory_limit_bytes"] = package.limits.memory_bytes;
  object["output_limit_bytes"] = package.limits.output_bytes;
  json::array submissions;
  for (const SubmissionResult& result : summary.submissions) {
    submissions.emplace_back(submission(package, result));
  }
  object["submissions"] = std::move(submissions);
  object["as_expected"] = summary.as_expected;
  object["jobs"] = summary.jobs;
  object["elapsed"] = seconds(summary.elapsed);
  object["interrupted"] = summary.interrupted != 0;
  return json::serialize(object) + "\n";
}

}  // namespace hatchery::judge
