#include "bench/results.h"

#include <algorithm>

namespace hatchery::bench {
namespace {

namespace json = boost::json;

json::object json_of(const Estimate& estimate) {
  return {{"value", estimate.value}, {"low", estimate.low}, {"high", estimate.high}};
}

json::object json_of(const Figure& figure) {
  json::object object = json_of(figure.estimate);
  if (figure.ratio) object["ratio"] = json_of(*figure.ratio);
  return object;
}

json::object json_of(const Row& row) {
  json::object parameters;
  for (const auto& [name, value] : row.parameters) parameters[name] = value;
  json::object figures;
  for (const auto& [name, figure] : row.figures) figures[name] = json_of(figure);
  return {{"measure", row.measure},   {"program", row.program}, {"way", row.way},
          {"parameters", parameters}, {"jobs", row.jobs},       {"figures", figures}};
}

json::object json_of(const Way& way) {
  json::object object = {{"name", way.name},
                         {"kind", kind_name(way.kind)},
                         {"what", way.what},
                         {"version", way.version}};
  object["refusal"] = way.refusal.empty() ? json::value(nullptr) : json::value(way.refusal);
  return object;
}

json::object json_of(const Target& target) {
  json::object object = {{"what", target.what},
                         {"allowed", target.allowed},
                         {"at_most", target.at_most},
                         {"unit", target.unit}};
  object["measured"] =
      target.measured ? json::value(json_of(*target.measured)) : json::value(nullptr);
  object["accounted_floor"] =
      target.floor ? json::value(json_of(*target.floor)) : json::value(nullptr);
  object["met"] = target.measured ? json::value(target.met()) : json::value(nullptr);
  return object;
}

}  // namespace

const Figure* Row::figure(const std::string& name) const noexcept {
  for (const auto& [known, figure] : figures)
    if (known == name) return &figure;
  return nullptr;
}

std::optional<double> Row::parameter(const std::string& name) const noexcept {
  for (const auto& [known, value] : parameters)
    if (known == name) return value;
  return {};
}

void Row::add(const std::string& name, const std::optional<Estimate>& estimate,
              const std::optional<Estimate>& ratio) {
  if (estimate) figures.emplace_back(name, Figure{.estimate = *estimate, .ratio = ratio});
}

bool Target::met() const noexcept {
  if (!measured) return false;
  return at_most ? measured->value <= allowed : measured->value >= allowed;
}

const Row* Results::find(const std::string& measure, const std::string& program,
                         const std::string& way,
                         const std::vector<std::pair<std::string, double>>& parameters) const {
  for (const Row& row : rows_) {
    if (row.measure != measure || row.program != program || row.way != way) continue;
    const bool same =
        std::all_of(parameters.begin(), parameters.end(), [&row](const auto& parameter) {
          return row.parameter(parameter.first) == parameter.second;
        });
    if (same) return &row;
  }
  return nullptr;
}

json::object Results::json(const json::object& machine, const std::vector<Way>& ways,
                           const std::vector<Target>& targets) const {
  json::array way_list, row_list, trouble_list, target_list;
  for (const Way& way : ways) way_list.push_back(json_of(way));
  for (const Row& row : rows_) row_list.push_back(json_of(row));
  for (const Target& target : targets) target_list.push_back(json_of(target));
  for (const Trouble& trouble : troubles_)
    trouble_list.push_back(json::object{{"measure", trouble.measure},
                                        {"program", trouble.program},
                                        {"way", trouble.way},
                                        {"reason", trouble.reason}});
  json::array program_list;
  for (const Program& program : all_programs())
    program_list.push_back(json::object{{"name", program.name}, {"what", program.what}});
  return {{"format", "hatchery-bench 1"}, {"machine", machine},
          {"programs", program_list},     {"ways", way_list},
          {"targets", target_list},       {"rows", row_list},
          {"troubles", trouble_list}};
}

}  // namespace hatchery::bench
