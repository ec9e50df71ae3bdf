// Histogram: percentiles of any number of durations in constant memory, within 3 % of the value.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "pool/job.h"

namespace hatchery::cli {

/// Each power of two has 32 buckets, so a bucket is at most 1/32 of its value wide. Thread: one at
/// a time.
class Histogram {
 public:
  void add(Nanoseconds duration) {
    const auto value = static_cast<std::uint64_t>(std::max<std::int64_t>(0, duration.count()));
    ++buckets_[bucket_of(value)];
    ++count_;
    max_ = std::max(max_, value);
  }
  std::uint64_t count() const noexcept { return count_; }
  Nanoseconds max() const noexcept { return Nanoseconds(static_cast<std::int64_t>(max_)); }

  /// The least duration that `percent` of all are no longer than; rounded up to the end of its
  /// bucket. Precondition: count() > 0, percent in (0, 100].
  Nanoseconds percentile(double percent) const {
    const double wanted = percent / 100 * static_cast<double>(count_);
    std::uint64_t seen = 0;
    for (std::size_t index = 0; index < buckets_.size(); ++index) {
      seen += buckets_[index];
      if (static_cast<double>(seen) >= wanted && seen > 0) {
        return Nanoseconds(static_cast<std::int64_t>(std::min(last_of(index), max_)));
      }
    }
    return max();
  }

 private:
  static constexpr unsigned kSubBits = 5;
  static constexpr std::uint64_t kSubBuckets = 1U << kSubBits;

  /// Below 64 a bucket is one value; above, the top six bits choose it.
  static std::size_t bucket_of(std::uint64_t value) noexcept {
    const auto width = static_cast<unsigned>(std::bit_width(value));
    const unsigned shift = width > kSubBits + 1 ? width - kSubBits - 1 : 0;
    return static_cast<std::size_t>(shift * kSubBuckets + (value >> shift));
  }
  /// The largest value of a bucket.
  static std::uint64_t last_of(std::size_t index) noexcept {
    if (index < 2 * kSubBuckets) return index;
    const std::uint64_t shift = index / kSubBuckets - 1;
    const std::uint64_t top = index - shift * kSubBuckets;
    return ((top + 1) << shift) - 1;
  }

  // Durations are 63 bits wide: shifts of 0 to 57.
  std::array<std::uint64_t, 60 * kSubBuckets> buckets_ = {};
  std::uint64_t count_ = 0;
  std::uint64_t max_ = 0;
};

}  // namespace hatchery::cli
