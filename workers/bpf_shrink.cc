#include "workers/bpf_shrink.h"

#include <linux/filter.h>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "core/check.h"
#include "workers/bpf_interpreter.h"

namespace hatchery {
namespace {

constexpr std::size_t kJumpMax = 255;  // jt and jf are a byte each.

bool loads(const sock_filter& code, std::size_t offset) {
  return code.code == (BPF_LD | BPF_W | BPF_ABS) && code.k == offset;
}
bool loads_argument(const sock_filter& code) {
  return code.code == (BPF_LD | BPF_W | BPF_ABS) &&
         code.k >= offsetof(seccomp_data, instruction_pointer);
}
bool is_comparison(const sock_filter& code) {
  return code.code == (BPF_JMP | BPF_JEQ | BPF_K) || code.code == (BPF_JMP | BPF_JGE | BPF_K) ||
         code.code == (BPF_JMP | BPF_JGT | BPF_K);
}
bool is_jump_always(const sock_filter& code) { return code.code == (BPF_JMP | BPF_JA); }
bool is_return(const sock_filter& code) { return code.code == (BPF_RET | BPF_K); }
bool masks(const sock_filter& code) { return code.code == (BPF_ALU | BPF_AND | BPF_K); }

/// A run of call numbers that the filter treats alike, up to the next range's start.
struct Range {
  std::uint32_t start;
  FilterStop stop;
};

/// Two calls whose arguments matter are never alike: what follows may look at the number again.
bool alike(const FilterStop& a, const FilterStop& b) { return a.result && a.result == b.result; }

/// The calls that a filter decides; all others it allows.
struct Part {
  std::span<const std::uint32_t> numbers = {};
  bool all_but = true;  ///< All but the numbers, other architectures' calls among them.

  bool has(std::uint32_t number) const {
    return std::binary_search(numbers.begin(), numbers.end(), number) != all_but;
  }
};

class Shrinker {
 public:
  Shrinker(std::span<const std::uint64_t> filter, std::uint32_t native, Part part)
      : native_(native), part_(part) {
    for (const std::uint64_t word : filter) filter_.push_back(unpack_instruction(word));
    words_ = filter;
    for (const std::uint32_t number : part.numbers) starts_.insert({number, number + 1});
  }
  std::optional<std::vector<std::uint64_t>> run();

 private:
  bool has_known_shape();
  bool find_ranges();
  bool is_single_value(std::size_t low) const;
  void find_leaves();
  std::size_t push(const sock_filter& code);
  std::size_t near(std::size_t target);
  std::size_t push_branch(int code, std::uint32_t k, std::size_t then, std::size_t otherwise);
  std::size_t push_jump(std::size_t target);
  std::size_t push_tail(std::size_t at, std::uint32_t number);
  std::size_t push_return(std::uint32_t answer);
  std::size_t push_tree(std::size_t low, std::size_t high);
  std::size_t target(const FilterStop& stop, std::uint32_t number);

  std::uint32_t native_;
  Part part_;
  std::span<const std::uint64_t> words_;
  std::vector<sock_filter> filter_;
  /// Bounds at which an answer can change.
  std::set<std::uint32_t> starts_ = {0};
  std::uint32_t foreign_answer_ = 0;
  std::vector<Range> ranges_;
  /// First ranges of the tree's leaves: one range each, or three around a single value.
  std::vector<std::size_t> leaves_;
  // The new program, last instruction first: every jump goes to what is there already.
  std::vector<sock_filter> reversed_;
  std::map<std::pair<std::size_t, std::uint32_t>, std::size_t> tails_;
  std::map<std::uint32_t, std::size_t> returns_;
};

/// True when calls, architectures and (masked) arguments are compared with constants, and nothing
/// else is done. Then the answer to a call with given arguments is the same for all numbers between
/// two of the constants.
bool Shrinker::has_known_shape() {
  for (std::size_t at = 0; at < filter_.size(); ++at) {
    const sock_filter& code = filter_[at];
    const bool known = loads(code, offsetof(seccomp_data, nr)) ||
                       loads(code, offsetof(seccomp_data, arch)) || loads_argument(code) ||
                       is_comparison(code) || is_jump_always(code) || is_return(code) ||
                       (masks(code) && at > 0 && loads_argument(filter_[at - 1]));
    if (!known) return false;
    if (!is_comparison(code)) continue;
    starts_.insert(code.k);
    if (code.k != std::numeric_limits<std::uint32_t>::max()) starts_.insert(code.k + 1);
  }
  return !filter_.empty() && is_return(filter_.back());
}

/// False when other architectures get more than one answer, or their calls are looked at.
bool Shrinker::find_ranges() {
  std::optional<std::uint32_t> foreign;
  for (const std::uint32_t start : starts_) {
    const FilterStop stop = part_.has(start) ? run_filter_without_arguments(words_, native_, start)
                                             : FilterStop{.result = SECCOMP_RET_ALLOW};
    if (ranges_.empty() || !alike(ranges_.back().stop, stop)) ranges_.push_back({start, stop});
    // A bound may be an architecture's number as well as a call's.
    if (start == native_) continue;
    const std::optional<std::uint32_t> other = answer_to_architecture(words_, start);
    if (!other || (foreign && *foreign != *other)) return false;
    foreign = other;
  }
  foreign_answer_ = part_.all_but ? foreign.value_or(SECCOMP_RET_KILL_PROCESS) : SECCOMP_RET_ALLOW;
  return foreign.has_value();
}

/// One value among others of one answer: a comparison for equality decides.
bool Shrinker::is_single_value(std::size_t low) const {
  return low + 2 < ranges_.size() && alike(ranges_[low].stop, ranges_[low + 2].stop) &&
         ranges_[low + 1].start + 1 == ranges_[low + 2].start;
}

/// As many single values as can be, each of which saves a comparison: of intervals of one length,
/// taking each that comes is best.
void Shrinker::find_leaves() {
  for (std::size_t low = 0; low < ranges_.size(); low += is_single_value(low) ? 3U : 1U)
    leaves_.push_back(low);
}

std::size_t Shrinker::push(const sock_filter& code) {
  reversed_.push_back(code);
  return reversed_.size() - 1;
}

std::size_t Shrinker::push_jump(std::size_t target) {
  return push({BPF_JMP | BPF_JA, 0, 0, static_cast<std::uint32_t>(reversed_.size() - target - 1)});
}

/// `target`, or a jump to it, in reach of the two instructions that come next.
std::size_t Shrinker::near(std::size_t target) {
  return reversed_.size() - target < kJumpMax ? target : push_jump(target);
}

std::size_t Shrinker::push_branch(int code, std::uint32_t k, std::size_t then,
                                  std::size_t otherwise) {
  then = near(then);
  otherwise = near(otherwise);
  const std::size_t here = reversed_.size();
  return push({static_cast<std::uint16_t>(BPF_JMP | code | BPF_K),
               static_cast<std::uint8_t>(here - then - 1),
               static_cast<std::uint8_t>(here - otherwise - 1), k});
}

/// Copies what follows a look at an argument of call `number`. Where the filter looks at the number
/// again, its answer is known.
std::size_t Shrinker::push_tail(std::size_t at, std::uint32_t number) {
  const auto known = tails_.find({at, number});
  if (known != tails_.end()) return known->second;
  const sock_filter& code = filter_[at];
  std::size_t place = 0;
  if (is_return(code)) {
    place = push_return(code.k);
  } else if (is_jump_always(code)) {
    place = push_tail(at + 1 + code.k, number);
  } else if (is_comparison(code)) {
    const std::size_t then = push_tail(at + 1 + code.jt, number);
    const std::size_t otherwise = push_tail(at + 1 + code.jf, number);
    place = push_branch(BPF_OP(code.code), code.k, then, otherwise);
  } else if (loads_argument(code) || masks(code)) {
    const std::size_t follower = push_tail(at + 1, number);
    if (follower + 1 != reversed_.size()) push_jump(follower);
    place = push(code);
  } else {
    place = target(run_filter_without_arguments(words_, native_, number, at), number);
  }
  return tails_[{at, number}] = place;
}

std::size_t Shrinker::push_return(std::uint32_t answer) {
  const auto known = returns_.find(answer);
  if (known != returns_.end()) return known->second;
  return returns_[answer] = push({BPF_RET | BPF_K, 0, 0, answer});
}

std::size_t Shrinker::target(const FilterStop& stop, std::uint32_t number) {
  return stop.result ? push_return(*stop.result) : push_tail(stop.instruction, number);
}

/// A balanced tree over these leaves.
std::size_t Shrinker::push_tree(std::size_t low, std::size_t high) {
  const auto place = [&](std::size_t index) {
    return target(ranges_[index].stop, ranges_[index].start);
  };
  if (high - low == 1) {
    const std::size_t first = leaves_[low];
    if (!is_single_value(first)) return place(first);
    const std::size_t then = place(first + 1);
    return push_branch(BPF_JEQ, ranges_[first + 1].start, then, place(first));
  }
  const std::size_t middle = low + (high - low) / 2;
  const std::size_t right = push_tree(middle, high);
  const std::size_t left = push_tree(low, middle);
  return push_branch(BPF_JGE, ranges_[leaves_[middle]].start, right, left);
}

std::optional<std::vector<std::uint64_t>> Shrinker::run() {
  if (!has_known_shape() || !find_ranges()) return std::nullopt;
  // What is shared by many goes last, in reach of most.
  push_return(foreign_answer_);
  for (const Range& range : ranges_) target(range.stop, range.start);
  find_leaves();
  const std::size_t tree = push_tree(0, leaves_.size());
  if (tree + 1 != reversed_.size()) push_jump(tree);
  const std::size_t number = push({BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)});
  push_branch(BPF_JEQ, native_, number, returns_.at(foreign_answer_));
  push({BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, arch)});
  std::vector<std::uint64_t> program;
  for (auto code = reversed_.rbegin(); code != reversed_.rend(); ++code)
    program.push_back(pack_instruction(*code));
  return program;
}

}  // namespace

std::vector<std::uint64_t> shrink_filter(std::span<const std::uint64_t> filter,
                                         std::uint32_t native) {
  std::optional<std::vector<std::uint64_t>> smaller = Shrinker(filter, native, {}).run();
  if (smaller && smaller->size() < filter.size()) return *std::move(smaller);
  return {filter.begin(), filter.end()};
}

std::optional<SplitFilter> split_filter(std::span<const std::uint64_t> filter, std::uint32_t native,
                                        std::span<const std::uint32_t> chosen) {
  std::optional<std::vector<std::uint64_t>> rest =
      Shrinker(filter, native, {.numbers = chosen, .all_but = true}).run();
  std::optional<std::vector<std::uint64_t>> own =
      Shrinker(filter, native, {.numbers = chosen, .all_but = false}).run();
  if (!rest || !own) return std::nullopt;
  return SplitFilter{.rest = *std::move(rest), .chosen = *std::move(own)};
}

}  // namespace hatchery
