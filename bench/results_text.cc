// The tables on the terminal.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "bench/results.h"

namespace hatchery::bench {
namespace {

constexpr std::size_t kNameWidth = 22;
constexpr std::size_t kCellWidth = 17;

/// Three digits that mean something.
std::string number(double value) {
  const double size = std::fabs(value);
  if (size >= 1e6) return fmt::format("{:.3g}", value);
  if (size >= 100 || size == 0) return fmt::format("{:.0f}", value);
  if (size >= 10) return fmt::format("{:.1f}", value);
  return fmt::format("{:.2f}", value);
}

std::string cell(const Figure* figure) {
  if (figure == nullptr) return "-";
  std::string text = number(figure->estimate.value);
  if (figure->ratio) text += fmt::format(" ({}x)", number(figure->ratio->value));
  return text;
}

std::string name_of(const Row& row) {
  std::string name = row.way;
  for (const auto& [parameter, value] : row.parameters)
    name += fmt::format(" {}={}", parameter, value);
  return name;
}

}  // namespace

std::string table_text(const std::string& title, const std::vector<Row>& rows, std::size_t first) {
  std::vector<std::string> columns;
  for (std::size_t i = first; i < rows.size(); ++i)
    for (const auto& [name, figure] : rows[i].figures)
      if (std::find(columns.begin(), columns.end(), name) == columns.end()) columns.push_back(name);
  std::size_t name_width = kNameWidth;
  for (std::size_t i = first; i < rows.size(); ++i)
    name_width = std::max(name_width, name_of(rows[i]).size() + 1);
  std::string text = fmt::format("{}\n  {:<{}}", title, "", name_width);
  for (const std::string& column : columns)
    text += fmt::format("{:>{}}", column, std::max(kCellWidth, column.size() + 2));
  text += '\n';
  for (std::size_t i = first; i < rows.size(); ++i) {
    text += fmt::format("  {:<{}}", name_of(rows[i]), name_width);
    for (const std::string& column : columns)
      text += fmt::format("{:>{}}", cell(rows[i].figure(column)),
                          std::max(kCellWidth, column.size() + 2));
    text += '\n';
  }
  return text;
}

std::string targets_text(const std::vector<Target>& targets) {
  std::string text = "targets\n";
  for (const Target& target : targets) {
    const std::string allowed =
        fmt::format("{} {} {}", target.at_most ? "<=" : ">=", number(target.allowed), target.unit);
    if (!target.measured) {
      text += fmt::format("  {:<8}{:<78}{:>14}\n", "-", target.what, allowed);
      continue;
    }
    text += fmt::format(
        "  {:<8}{:<78}{:>14}  {} ({} to {}){}\n", target.met() ? "met" : "MISSED", target.what,
        allowed, number(target.measured->value), number(target.measured->low),
        number(target.measured->high),
        target.floor ? ", the accounted fork server " + number(target.floor->value) : "");
  }
  return text;
}

std::string ways_text(const std::vector<Way>& ways) {
  std::string text = "ways\n";
  for (const Way& way : ways) {
    text += fmt::format("  {:<17}{:<6}{}\n", way.name, kind_name(way.kind), way.what);
    if (!way.version.empty()) text += fmt::format("  {:<23}{}\n", "", way.version);
    if (!way.refusal.empty()) text += fmt::format("  {:<23}NOT HERE: {}\n", "", way.refusal);
  }
  return text;
}

}  // namespace hatchery::bench
