// A go-judge request as values, and its JSON. Field names are go-judge's, in this code's style;
// what they mean is in the README, "go-judge's interface". Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/result.h"

namespace hatchery::server::go_judge {

struct LocalFile {
  std::string path;
};
struct MemoryFile {
  std::string content;
};
struct CachedFile {
  std::string id;
};
/// Output: `pipe` or a file of the container. More than `max` bytes is Output Limit Exceeded.
struct Collector {
  std::string name;
  std::uint64_t max = 0;
  bool pipe = false;
};
struct Symlink {
  std::string target;
};
struct StreamIn {};
struct StreamOut {};

/// What `files` may hold; monostate is null, to be filled by a pipe.
using File =
    std::variant<std::monostate, LocalFile, MemoryFile, CachedFile, Collector, StreamIn, StreamOut>;
using CopyIn = std::variant<LocalFile, MemoryFile, CachedFile, Collector, Symlink>;

struct CopyOut {
  std::string name;  ///< Without the '?'.
  bool optional = false;
};

struct Cmd {
  std::vector<std::string> args = {};
  std::vector<std::string> env = {};
  std::vector<File> files = {};
  bool tty = false;
  std::uint64_t cpu_limit_ns = 0;
  std::uint64_t clock_limit_ns = 0;  ///< 0: as cpu_limit_ns.
  std::uint64_t memory_limit = 0;
  std::uint64_t stack_limit = 0;  ///< 0: as it is.
  std::uint64_t proc_limit = 0;
  std::uint64_t cpu_rate_limit = 0;  ///< Thousandths of a CPU; 0: none.
  std::string cpu_set_limit = {};
  bool data_segment_limit = false;
  bool address_space_limit = false;
  std::vector<std::pair<std::string, CopyIn>> copy_in = {};
  std::vector<CopyOut> copy_out = {};
  std::vector<CopyOut> copy_out_cached = {};
  std::uint64_t copy_out_max = 0;  ///< 0: the server's.
  bool copy_out_truncate = false;
};

struct PipeEnd {
  std::uint32_t index = 0;  ///< Of the command.
  std::uint32_t fd = 0;
};

struct PipeMap {
  PipeEnd in = {};   ///< Who writes.
  PipeEnd out = {};  ///< Who reads.
  bool proxy = false;
  std::string name = {};
  std::uint64_t max = 0;
};

struct Request {
  std::string request_id = {};
  std::string cancel_request_id = {};  ///< Of /ws only; then nothing else counts.
  std::vector<Cmd> cmds = {};
  std::vector<PipeMap> pipes = {};
};

/// `streams`: whether StreamIn and StreamOut are known, as on /stream. Errors: kParseRequest, one
/// sentence with the field.
Result<Request> request_from_json(std::string_view text, bool streams);

/// What a client of /stream sends to change a terminal's size.
struct Resize {
  std::uint32_t index = 0;
  std::uint32_t fd = 0;
  std::uint16_t rows = 0;
  std::uint16_t cols = 0;
  std::uint16_t x = 0;
  std::uint16_t y = 0;
};
Result<Resize> resize_from_json(std::string_view text);

}  // namespace hatchery::server::go_judge
