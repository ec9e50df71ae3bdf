// Assertions for programmer errors. They hold in every build: a broken invariant in a sandbox must
// stop the process, never go on.
#pragma once

namespace hatchery {

/// Writes "file:line: CHECK failed: condition" to fd 2 with one write(2), then aborts.
/// Async-signal-safe.
[[noreturn]] void check_failed(const char* file, int line, const char* condition) noexcept;

}  // namespace hatchery

/// Aborts when `condition` is false: our own bug, never bad input (bad input is an Error).
#define HATCHERY_CHECK(condition)                               \
  do {                                                          \
    if (!(condition)) [[unlikely]]                              \
      ::hatchery::check_failed(__FILE__, __LINE__, #condition); \
  } while (false)

/// Marks a place that no state may reach.
#define HATCHERY_UNREACHABLE() ::hatchery::check_failed(__FILE__, __LINE__, "unreachable")
