// What a worker gets a copy of, when its zygote clones it. Each mapping, page table and page that
// the zygote has costs clone3 and exec some microseconds, and the fewest are of use to a worker.
// All for speed alone: what can't be done is left. Runs in: zygote. Thread: the only one.
#pragma once

#include <cstddef>

namespace hatchery {

/// From now on no clone copies any mapping of the caller's but those of the program itself, `size`
/// bytes from `begin` on (whole pages), and those that hold one of the `count` addresses of
/// `needed`. `proc_fd` is of /proc.
void copy_only(int proc_fd, const char* begin, std::size_t size, const void* const* needed,
               std::size_t count) noexcept;

/// Unregisters what the C library has registered for this thread: the kernel writes to it at each
/// switch of tasks, so that zygote and worker had a page to copy after each clone (rseq(2)).
void forget_restartable_sequences() noexcept;

/// Calls `function`, which never returns, with `argument` on a stack of `size` bytes.
[[noreturn]] void go_on_with_stack(char* stack, std::size_t size, void (*function)(void*),
                                   void* argument) noexcept;

}  // namespace hatchery
