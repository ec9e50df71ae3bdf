// Way: one way to run a program, be it a floor, the pool or a peer; Runner: that way, made ready
// for one program. All measures know ways by these two alone.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bench/program.h"
#include "core/result.h"

namespace hatchery::bench {

class Runner {
 public:
  virtual ~Runner() = default;
  /// Runs `count` jobs, with as many in flight as the runner was made for, and returns when the
  /// last has ended. With one in flight adds each job's latency in µs, as its caller saw it.
  /// An error when a job did not end well: a benchmark of nothing would look like a fast one.
  virtual Result<void> run(unsigned count, std::vector<double>& latency_us) = 0;
};

/// A runner of class T, as Way::make returns it.
template <typename T, typename... Args>
Result<std::unique_ptr<Runner>> made(Args&&... args) {
  return std::unique_ptr<Runner>(std::make_unique<T>(std::forward<Args>(args)...));
}

enum class WayKind : unsigned char {
  kFloor,  ///< Without any sandbox, or with less than one.
  kPool,   ///< Hatchery.
  kPeer,   ///< Another sandbox.
};

struct Way {
  std::string name;
  WayKind kind = WayKind::kFloor;
  std::string what;          ///< One line for people: command, or what it protects with.
  std::string version = {};  ///< As the program says itself; "" where it has none.
  /// Why it can't run here, with what to do about it; "": it can.
  std::string refusal = {};
  /// A command that starts once for all jobs of a turn: it has no latency of a job, and needs
  /// longer turns.
  bool whole_command = false;
  /// Ends without exec: for the smallest program only, of which it is the floor.
  bool without_exec = false;
  std::function<Result<std::unique_ptr<Runner>>(const Program&, unsigned in_flight)> make = {};
};

const char* kind_name(WayKind kind) noexcept;

/// An error of the benchmark itself: what, and with which object.
Error failure(const std::string& object, const std::string& detail, const std::string& remedy = {});
/// One line of it; one of our own has no step.
std::string error_text(const Error& error);

}  // namespace hatchery::bench
