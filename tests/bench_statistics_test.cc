// What the benchmark makes of its samples: quantiles, intervals, comparisons, targets. Pure.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "bench/floors.h"
#include "bench/results.h"
#include "bench/statistics.h"
#include "bench/targets.h"

namespace hatchery::bench {
namespace {

std::vector<double> up_to(int count) {
  std::vector<double> samples;
  for (int i = count; i >= 1; --i) samples.push_back(i);
  return samples;
}

TEST(BenchStatistics, QuantilesAreOfTheSortedSamples) {
  std::vector<double> samples = up_to(1001);
  EXPECT_EQ(quantile_of(0.5)(samples), 501);
  EXPECT_EQ(quantile_of(0.99)(samples), 991);
}

TEST(BenchStatistics, AQuantileBeyondTheSamplesIsAbsent) {
  std::vector<double> few = up_to(99);
  std::vector<double> enough = up_to(100);
  std::vector<double> none;
  EXPECT_EQ(quantile_of(0.99)(few), std::nullopt);
  EXPECT_NE(quantile_of(0.99)(enough), std::nullopt);
  EXPECT_EQ(quantile_of(0.999)(enough), std::nullopt);
  EXPECT_EQ(quantile_of(0.5)(none), std::nullopt);
}

TEST(BenchStatistics, ARateIsTheSumOfAmountsByThatOfDivisors) {
  std::vector<double> samples = {10, 1, 20, 4};
  EXPECT_EQ(ratio_of_sums()(samples), 6);
  std::vector<double> none;
  EXPECT_EQ(ratio_of_sums()(none), std::nullopt);
}

/// Rounds that differ much, as on a machine that others use, and samples that differ little.
Rounds noisy_rounds(double factor, unsigned seed) {
  std::mt19937 of_rounds(7);
  std::mt19937 of_samples(seed);
  std::uniform_real_distribution<double> round(100, 1000);
  std::uniform_real_distribution<double> sample(0.95, 1.05);
  Rounds rounds(40);
  for (std::vector<double>& samples : rounds) {
    const double level = round(of_rounds) * factor;
    for (int i = 0; i < 20; ++i) samples.push_back(level * sample(of_samples));
  }
  return rounds;
}

TEST(BenchStatistics, AnIntervalHoldsItsFigure) {
  const std::optional<Estimate> p50 = estimate(noisy_rounds(1, 1), quantile_of(0.5));
  ASSERT_TRUE(p50.has_value());
  EXPECT_LT(p50->low, p50->value);
  EXPECT_GT(p50->high, p50->value);
}

TEST(BenchStatistics, ARatioOfTheSameRoundsKnowsNothingOfTheirNoise) {
  const std::optional<Estimate> p50 = estimate(noisy_rounds(1, 1), quantile_of(0.5));
  const std::optional<Estimate> ratio =
      compare(noisy_rounds(1.5, 2), noisy_rounds(1, 1), quantile_of(0.5), Comparison::kRatio);
  ASSERT_TRUE(p50.has_value());
  ASSERT_TRUE(ratio.has_value());
  EXPECT_NEAR(ratio->value, 1.5, 0.1);
  EXPECT_LT((ratio->high - ratio->low) / ratio->value, (p50->high - p50->low) / p50->value / 3);
}

TEST(BenchStatistics, ADifferenceIsOfTheFigures) {
  const Rounds more = {{30, 30}, {30, 30}};
  const Rounds less = {{10, 10}, {10, 10}};
  const std::optional<Estimate> difference =
      compare(more, less, quantile_of(0.5), Comparison::kDifference);
  ASSERT_TRUE(difference.has_value());
  EXPECT_EQ(difference->value, 20);
  EXPECT_EQ(difference->low, 20);
  EXPECT_EQ(difference->high, 20);
}

TEST(BenchStatistics, TheSameSamplesGiveTheSameInterval) {
  const std::optional<Estimate> one = estimate(noisy_rounds(1, 1), quantile_of(0.95));
  const std::optional<Estimate> two = estimate(noisy_rounds(1, 1), quantile_of(0.95));
  ASSERT_TRUE(one.has_value());
  ASSERT_TRUE(two.has_value());
  EXPECT_EQ(one->low, two->low);
  EXPECT_EQ(one->high, two->high);
}

Row latency_row(double ratio) {
  Row row{.measure = "latency", .program = "dynamic_true", .way = "pool"};
  row.add("p50_us", Estimate{600, 590, 610}, Estimate{ratio, ratio - 0.01, ratio + 0.01});
  return row;
}

TEST(BenchTargets, AreMetOrMissedByWhatWasMeasured) {
  for (const auto& [ratio, met] : {std::pair(0.99, true), std::pair(1.01, false)}) {
    Results results;
    results.add(latency_row(ratio));
    const std::vector<Target> targets = targets_of(results, 2);
    ASSERT_TRUE(targets[0].measured.has_value());
    EXPECT_EQ(targets[0].met(), met) << ratio;
  }
}

TEST(BenchTargets, TellWhatAnAccountedForkServerTakes) {
  Results results;
  results.add(latency_row(1.4));
  Row floor = latency_row(1.1);
  floor.way = "accounted_server";
  results.add(std::move(floor));
  const Target p50 = targets_of(results, 2).front();
  ASSERT_TRUE(p50.floor.has_value());
  EXPECT_EQ(p50.floor->value, 1.1);
  EXPECT_THAT(targets_text({p50}), ::testing::HasSubstr("the accounted fork server 1.1"));
}

TEST(BenchTargets, WithoutAFigureAreNeitherMetNorMissed) {
  const Results nothing;
  for (const Target& target : targets_of(nothing, 2)) EXPECT_FALSE(target.measured.has_value());
  const boost::json::object json = nothing.json({}, {}, targets_of(nothing, 2));
  for (const boost::json::value& target : json.at("targets").as_array())
    EXPECT_TRUE(target.at("met").is_null());
}

TEST(BenchTargets, AllCoresAreBusyWithAsManyJobsAsCpus) {
  Results results;
  for (const double in_flight : {1.0, 2.0, 4.0, 8.0, 32.0}) {
    Row row{.measure = "throughput",
            .program = "dynamic_true",
            .way = "pool",
            .parameters = {{"in_flight", in_flight}}};
    row.add("jobs_per_s", Estimate{1, 1, 1}, Estimate{in_flight, in_flight, in_flight});
    results.add(std::move(row));
  }
  for (const auto& [cpus, in_flight] :
       {std::pair(1U, 1.0), std::pair(2U, 2.0), std::pair(3U, 4.0), std::pair(64U, 32.0)})
    EXPECT_EQ(targets_of(results, cpus)[3].measured->value, in_flight) << cpus;
}

TEST(BenchResults, AWayThatCantRunIsThereWithItsReason) {
  Way way{.name = "nsjail", .kind = WayKind::kPeer, .what = "a peer"};
  way.refusal = "not found";
  const Results nothing;
  const boost::json::object json = nothing.json({}, {way}, {});
  EXPECT_EQ(json.at("ways").as_array().at(0).at("refusal").as_string(), "not found");
  EXPECT_THAT(ways_text({way}), ::testing::HasSubstr("NOT HERE: not found"));
}

}  // namespace
}  // namespace hatchery::bench
