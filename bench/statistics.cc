#include "bench/statistics.h"

#include <algorithm>
#include <cmath>
#include <random>

namespace hatchery::bench {
namespace {

constexpr int kDraws = 300;
/// Beside samples that need long to sort: the interval is coarser, its ends are as honest.
constexpr int kDrawsOfMany = 100;
constexpr std::size_t kMany = 20'000;

std::vector<double> drawn(const Rounds& rounds, const std::vector<std::size_t>& indices) {
  std::vector<double> samples;
  for (const std::size_t index : indices)
    if (index < rounds.size())
      samples.insert(samples.end(), rounds[index].begin(), rounds[index].end());
  return samples;
}

std::vector<std::size_t> each_once(std::size_t count) {
  std::vector<std::size_t> indices(count);
  for (std::size_t index = 0; index < count; ++index) indices[index] = index;
  return indices;
}

std::size_t samples_of(const Rounds& rounds) {
  std::size_t count = 0;
  for (const std::vector<double>& round : rounds) count += round.size();
  return count;
}

using Evaluate = std::function<std::optional<double>(const std::vector<std::size_t>& indices)>;

/// The seed is fixed: the same samples give the same interval.
std::optional<Estimate> bootstrap(std::size_t rounds, std::size_t samples,
                                  const Evaluate& evaluate) {
  const std::optional<double> value = evaluate(each_once(rounds));
  if (!value) return {};
  std::mt19937 random(20'231'107);
  std::uniform_int_distribution<std::size_t> any(0, rounds - 1);
  std::vector<double> values;
  const int draws = samples > kMany ? kDrawsOfMany : kDraws;
  for (int draw = 0; draw < draws; ++draw) {
    std::vector<std::size_t> indices(rounds);
    for (std::size_t& index : indices) index = any(random);
    // A draw may have too few samples where not every round has some.
    if (const std::optional<double> again = evaluate(indices)) values.push_back(*again);
  }
  Estimate result{*value, *value, *value};
  if (values.empty()) return result;
  std::sort(values.begin(), values.end());
  const auto last = static_cast<double>(values.size() - 1);
  result.low = std::min(*value, values[static_cast<std::size_t>(std::floor(0.025 * last))]);
  result.high = std::max(*value, values[static_cast<std::size_t>(std::ceil(0.975 * last))]);
  return result;
}

}  // namespace

Statistic quantile_of(double at) {
  return [at](std::vector<double>& samples) -> std::optional<double> {
    const auto count = static_cast<double>(samples.size());
    // Half a sample of slack: 100 × (1 − 0.99) is a little less than 1.
    const bool too_few = at > 0.5 && count * (1 - at) < 0.999;
    if (samples.empty() || too_few) return {};
    const auto index = static_cast<std::ptrdiff_t>(at * (count - 1));
    std::nth_element(samples.begin(), samples.begin() + index, samples.end());
    return samples[static_cast<std::size_t>(index)];
  };
}

Statistic ratio_of_sums(double factor) {
  return [factor](std::vector<double>& samples) -> std::optional<double> {
    double amount = 0;
    double divisor = 0;
    for (std::size_t index = 0; index + 1 < samples.size(); index += 2) {
      amount += samples[index];
      divisor += samples[index + 1];
    }
    if (divisor <= 0) return {};
    return factor * amount / divisor;
  };
}

std::optional<Estimate> estimate(const Rounds& rounds, const Statistic& statistic) {
  if (rounds.empty()) return {};
  return bootstrap(rounds.size(), samples_of(rounds), [&](const std::vector<std::size_t>& indices) {
    std::vector<double> samples = drawn(rounds, indices);
    return statistic(samples);
  });
}

std::optional<Estimate> compare(const Rounds& rounds, const Rounds& baseline,
                                const Statistic& statistic, Comparison comparison) {
  const std::size_t count = std::max(rounds.size(), baseline.size());
  if (count == 0) return {};
  return bootstrap(count, samples_of(rounds) + samples_of(baseline),
                   [&](const std::vector<std::size_t>& indices) -> std::optional<double> {
                     std::vector<double> own_samples = drawn(rounds, indices);
                     std::vector<double> base_samples = drawn(baseline, indices);
                     const std::optional<double> own = statistic(own_samples);
                     const std::optional<double> base = statistic(base_samples);
                     if (!own || !base) return {};
                     if (comparison == Comparison::kDifference) return *own - *base;
                     if (*base == 0) return {};
                     return *own / *base;
                   });
}

}  // namespace hatchery::bench
