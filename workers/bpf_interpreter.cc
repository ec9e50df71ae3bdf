#include "workers/bpf_interpreter.h"

#include <array>
#include <bit>
#include <cstring>

namespace hatchery {
namespace {

struct Machine {
  std::uint32_t a = 0;
  std::uint32_t x = 0;
  std::array<std::uint32_t, BPF_MEMWORDS> memory{};
};

/// False for what the kernel would not load: a division by a constant 0, a shift beyond the word.
bool calculate(Machine& machine, const sock_filter& code) noexcept {
  const std::uint32_t with = BPF_SRC(code.code) == BPF_X ? machine.x : code.k;
  switch (BPF_OP(code.code)) {
    case BPF_ADD: machine.a += with; return true;
    case BPF_SUB: machine.a -= with; return true;
    case BPF_MUL: machine.a *= with; return true;
    case BPF_AND: machine.a &= with; return true;
    case BPF_OR: machine.a |= with; return true;
    case BPF_XOR: machine.a ^= with; return true;
    case BPF_NEG: machine.a = 0U - machine.a; return true;
    case BPF_LSH: machine.a <<= with & 31U; return with < 32;
    case BPF_RSH: machine.a >>= with & 31U; return with < 32;
    case BPF_DIV:
      if (with != 0) machine.a /= with;
      return with != 0;
    default: return false;
  }
}

/// By how many instructions beyond the next; nullopt for an unknown comparison.
std::optional<std::size_t> jump(const Machine& machine, const sock_filter& code) noexcept {
  const std::uint32_t with = BPF_SRC(code.code) == BPF_X ? machine.x : code.k;
  switch (BPF_OP(code.code)) {
    case BPF_JA: return code.k;
    case BPF_JEQ: return machine.a == with ? code.jt : code.jf;
    case BPF_JGT: return machine.a > with ? code.jt : code.jf;
    case BPF_JGE: return machine.a >= with ? code.jt : code.jf;
    case BPF_JSET: return (machine.a & with) != 0 ? code.jt : code.jf;
    default: return std::nullopt;
  }
}

/// The loads and stores without system call data; false for any other instruction.
bool move(Machine& machine, const sock_filter& code) noexcept {
  const bool in_memory = code.k < BPF_MEMWORDS;
  switch (code.code) {
    case BPF_LD | BPF_IMM: machine.a = code.k; return true;
    case BPF_LDX | BPF_IMM: machine.x = code.k; return true;
    case BPF_LD | BPF_W | BPF_LEN: machine.a = sizeof(seccomp_data); return true;
    case BPF_LDX | BPF_W | BPF_LEN: machine.x = sizeof(seccomp_data); return true;
    case BPF_MISC | BPF_TAX: machine.x = machine.a; return true;
    case BPF_MISC | BPF_TXA: machine.a = machine.x; return true;
    case BPF_LD | BPF_MEM:
      if (in_memory) machine.a = machine.memory[code.k];
      return in_memory;
    case BPF_LDX | BPF_MEM:
      if (in_memory) machine.x = machine.memory[code.k];
      return in_memory;
    case BPF_ST:
      if (in_memory) machine.memory[code.k] = machine.a;
      return in_memory;
    case BPF_STX:
      if (in_memory) machine.memory[code.k] = machine.x;
      return in_memory;
    default: return false;
  }
}

/// The bytes of a call that are known; any other load stops the run.
struct Known {
  std::size_t begin;
  std::size_t end;
};

FilterStop run(std::span<const std::uint64_t> filter, const seccomp_data& call, Known known,
               std::size_t from) noexcept {
  Machine machine;
  for (std::size_t at = from; at < filter.size(); ++at) {
    const sock_filter code = unpack_instruction(filter[at]);
    switch (BPF_CLASS(code.code)) {
      case BPF_RET: return {BPF_RVAL(code.code) == BPF_A ? machine.a : code.k, at};
      case BPF_JMP: {
        const std::optional<std::size_t> skip = jump(machine, code);
        if (!skip) return {std::nullopt, at};
        at += *skip;
        break;
      }
      case BPF_ALU:
        if (!calculate(machine, code)) return {std::nullopt, at};
        break;
      default:
        if (code.code == (BPF_LD | BPF_W | BPF_ABS)) {
          if (code.k % 4 != 0 || code.k < known.begin || code.k >= known.end)
            return {std::nullopt, at};
          std::memcpy(&machine.a, reinterpret_cast<const char*>(&call) + code.k, sizeof machine.a);
        } else if (!move(machine, code)) {
          return {std::nullopt, at};
        }
    }
  }
  return {std::nullopt, filter.size()};
}

}  // namespace

sock_filter unpack_instruction(std::uint64_t word) noexcept {
  return std::bit_cast<sock_filter>(word);
}

std::uint64_t pack_instruction(sock_filter instruction) noexcept {
  return std::bit_cast<std::uint64_t>(instruction);
}

std::uint32_t run_filter(std::span<const std::uint64_t> filter, const seccomp_data& call) noexcept {
  return run(filter, call, {0, sizeof call}, 0).result.value_or(SECCOMP_RET_KILL_PROCESS);
}

FilterStop run_filter_without_arguments(std::span<const std::uint64_t> filter, std::uint32_t arch,
                                        std::uint32_t number, std::size_t from) noexcept {
  seccomp_data call{};
  call.nr = static_cast<int>(number);
  call.arch = arch;
  return run(filter, call, {0, offsetof(seccomp_data, instruction_pointer)}, from);
}

std::optional<std::uint32_t> answer_to_architecture(std::span<const std::uint64_t> filter,
                                                    std::uint32_t arch) noexcept {
  constexpr std::size_t kBegin = offsetof(seccomp_data, arch);
  seccomp_data call{};
  call.arch = arch;
  return run(filter, call, {kBegin, kBegin + sizeof call.arch}, 0).result;
}

}  // namespace hatchery
