#include "workers/zygote_memory.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/rseq.h>
#include <ucontext.h>

#include <charconv>

#include "workers/raw.h"

// ld(1)'s names for the end of all code, and of all that is initialised.
extern "C" const char etext[];   // NOLINT
extern "C" const char _edata[];  // NOLINT

namespace hatchery {

void copy_only(int proc_fd, const char* begin, std::size_t size, const void* const* needed,
               std::size_t count) noexcept {
  // Some twenty lines (proc_pid_maps(5)); what has no room is copied as before.
  char text[8192];
  std::size_t used = 0;
  const int fd = ::openat(proc_fd, "self/maps", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  for (ssize_t got = 0; (got = ::read(fd, text + used, sizeof text - 1 - used)) > 0;)
    used += static_cast<std::size_t>(got);
  ::close(fd);
  text[used] = '\0';

  const auto kept_from = reinterpret_cast<std::uintptr_t>(begin);
  const std::uintptr_t kept_to = kept_from + size;
  // Of the program all but its headers: a worker's constants, and the table through which what a
  // compiler makes of a copy calls memcpy, are where the compiler likes them.
  const std::uintptr_t program_from = reinterpret_cast<std::uintptr_t>(etext) - 1;
  const auto program_to = reinterpret_cast<std::uintptr_t>(_edata);
  const auto leave_out = [](std::uintptr_t from, std::uintptr_t to) noexcept {
    if (from < to) raw::call(SYS_madvise, from, to - from, MADV_DONTFORK);
  };
  for (const char* line = text; const char* end = std::strchr(line, '\n'); line = end + 1) {
    std::uintptr_t from = 0;
    std::uintptr_t to = 0;
    const char* const dash = std::from_chars(line, end, from, 16).ptr;
    std::from_chars(dash + 1, end, to, 16);
    bool whole = from < program_to && program_from < to;
    for (std::size_t i = 0; i < count; ++i) {
      const auto address = reinterpret_cast<std::uintptr_t>(needed[i]);
      whole |= from <= address && address < to;
    }
    if (whole) continue;
    leave_out(from, to < kept_from ? to : kept_from);
    leave_out(from > kept_to ? from : kept_to, to);
  }
}

void forget_restartable_sequences() noexcept {
#ifdef RSEQ_SIG
  auto* const area = static_cast<char*>(__builtin_thread_pointer()) + __rseq_offset;
  constexpr unsigned kSize = 32;  // Whatever of it is in use, __rseq_size (Linux 4.18).
  ::syscall(SYS_rseq, area, kSize, RSEQ_FLAG_UNREGISTER, RSEQ_SIG);
#endif
}

namespace {

struct Call {
  void (*function)(void*);
  void* argument;
};
Call next_call;

void make_next_call() { next_call.function(next_call.argument); }

}  // namespace

void go_on_with_stack(char* stack, std::size_t size, void (*function)(void*),
                      void* argument) noexcept {
  next_call = {function, argument};
  ucontext_t context;
  ::getcontext(&context);
  context.uc_stack.ss_sp = stack;
  context.uc_stack.ss_size = size;
  context.uc_link = nullptr;
  ::makecontext(&context, make_next_call, 0);
  ::setcontext(&context);
  ::abort();
}

}  // namespace hatchery
