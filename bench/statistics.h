// Figures of many samples, with 95 % confidence intervals by bootstrap over rounds: what disturbs a
// machine disturbs all ways of a round, so that rounds, not samples, are drawn again, and the same
// ones for a way and its floor. Pure.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace hatchery::bench {

/// What one way brought in each round of turns: latencies, or [amount, divisor] for a rate.
using Rounds = std::vector<std::vector<double>>;

struct Estimate {
  double value = 0;
  double low = 0;
  double high = 0;
};

/// From all samples of the rounds drawn; may reorder them. Absent: too few.
using Statistic = std::function<std::optional<double>(std::vector<double>& samples)>;

/// Above the median, absent where fewer than one sample lies beyond it: p99.9 needs a thousand.
Statistic quantile_of(double at);
/// Samples are [amount, divisor] pairs: the sum of the ones by the sum of the others, times
/// `factor`.
Statistic ratio_of_sums(double factor = 1);

/// How a figure is compared with that of a baseline in the same rounds.
enum class Comparison : unsigned char { kRatio, kDifference };

std::optional<Estimate> estimate(const Rounds& rounds, const Statistic& statistic);
/// `rounds` by, or minus, `baseline`.
std::optional<Estimate> compare(const Rounds& rounds, const Rounds& baseline,
                                const Statistic& statistic, Comparison comparison);

}  // namespace hatchery::bench
