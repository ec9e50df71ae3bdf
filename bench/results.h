// Results: what was measured, as rows of figures with confidence intervals; printed as it comes and
// written as JSON.
#pragma once

#include <boost/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bench/statistics.h"
#include "bench/way.h"

namespace hatchery::bench {

struct Figure {
  Estimate estimate;
  /// By that of kFloor (bench/floors.h), from the same rounds.
  std::optional<Estimate> ratio = {};
};

struct Row {
  std::string measure;
  std::string program;  ///< "" where it is not about one.
  std::string way;      ///< Name of a Way, or of a variant of the pool.
  std::vector<std::pair<std::string, double>> parameters = {};
  /// Names end in their unit: "p50_us".
  std::vector<std::pair<std::string, Figure>> figures = {};
  std::size_t jobs = 0;

  const Figure* figure(const std::string& name) const noexcept;
  std::optional<double> parameter(const std::string& name) const noexcept;
  /// Adds it where there is an estimate.
  void add(const std::string& name, const std::optional<Estimate>& estimate,
           const std::optional<Estimate>& ratio = {});
};

/// A way that could not do something, with why.
struct Trouble {
  std::string measure;
  std::string program;
  std::string way;
  std::string reason;
};

/// A target of the project with what was measured.
struct Target {
  std::string what;
  double allowed = 0;
  bool at_most = true;  ///< Else: at least.
  std::string unit;     ///< "×", "ms", "KiB"
  std::optional<Estimate> measured = {};
  /// The same for the floor that has the most of a sandbox (kAccountedServer in bench/floors.h).
  std::optional<Estimate> floor = {};
  bool met() const noexcept;
};

class Results {
 public:
  void add(Row row) { rows_.push_back(std::move(row)); }
  void add(Trouble trouble) { troubles_.push_back(std::move(trouble)); }
  const std::vector<Row>& rows() const noexcept { return rows_; }
  const std::vector<Trouble>& troubles() const noexcept { return troubles_; }
  /// The first with these, or null.
  const Row* find(const std::string& measure, const std::string& program, const std::string& way,
                  const std::vector<std::pair<std::string, double>>& parameters = {}) const;

  boost::json::object json(const boost::json::object& machine, const std::vector<Way>& ways,
                           const std::vector<Target>& targets) const;

 private:
  std::vector<Row> rows_;
  std::vector<Trouble> troubles_;
};

/// A table of rows [first, end): a line each, a column for each figure.
std::string table_text(const std::string& title, const std::vector<Row>& rows, std::size_t first);
std::string targets_text(const std::vector<Target>& targets);
std::string ways_text(const std::vector<Way>& ways);

}  // namespace hatchery::bench
