#include "pool/server/go_judge_request.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cmath>
#include <limits>

#include "pool/json_text.h"

namespace hatchery::server::go_judge {
namespace {

namespace json = boost::json;

/// More would be memory for nothing: a job has at most 64 descriptors.
constexpr std::size_t kCmdsMax = 64;
constexpr std::uint32_t kFdMax = 1023;

std::string bytes_of(const json::string& text) { return {text.data(), text.size()}; }

/// Reads one object. Fields that nobody asks for are ignored, and null is as if absent: what
/// clients send today goes on working. The first error stays.
class Reader {
 public:
  Reader(std::optional<Error>& error, const json::object& object, std::string prefix)
      : error_(error), object_(object), prefix_(std::move(prefix)) {}

  const json::value* find(std::string_view field) const {
    const json::value* value = object_.if_contains({field.data(), field.size()});
    return value == nullptr || value->is_null() ? nullptr : value;
  }
  bool has(std::string_view field) const { return find(field) != nullptr; }

  void fail(std::string_view field, const std::string& what) const {
    if (error_) return;
    error_ =
        Error{.step = Step::kParseRequest, .object = prefix_ + std::string(field), .detail = what};
  }

  std::string text(std::string_view field) const {
    const json::value* value = find(field);
    if (value == nullptr) return {};
    if (const json::string* text = value->if_string()) return bytes_of(*text);
    fail(field, "is no string");
    return {};
  }

  bool boolean(std::string_view field) const {
    const json::value* value = find(field);
    if (value == nullptr) return false;
    if (const bool* flag = value->if_bool()) return *flag;
    fail(field, "is neither true nor false");
    return false;
  }

  /// An integer, however it is written: 1e9 is one too.
  std::uint64_t number(std::string_view field,
                       std::uint64_t max = std::numeric_limits<std::uint64_t>::max()) const {
    const json::value* value = find(field);
    if (value == nullptr) return 0;
    std::uint64_t number = 0;
    if (const std::uint64_t* big = value->if_uint64()) {
      number = *big;
    } else if (const std::int64_t* integer = value->if_int64()) {
      if (*integer < 0) return fail(field, "is negative"), 0;
      number = static_cast<std::uint64_t>(*integer);
    } else if (const double* real = value->if_double();
               real != nullptr && *real == std::floor(*real) && *real >= 0 && *real < 0x1p63) {
      number = static_cast<std::uint64_t>(*real);
    } else {
      return fail(field, "is no integer of 0 to 2^64-1"), 0;
    }
    if (number > max) return fail(field, "is above " + std::to_string(max)), 0;
    return number;
  }

  std::vector<std::string> texts(std::string_view field) const {
    std::vector<std::string> result;
    each(field, [&](const json::value& value, const std::string& name) {
      if (const json::string* text = value.if_string())
        result.push_back(bytes_of(*text));
      else
        fail(name, "is no string");
    });
    return result;
  }

  template <typename Take>
  void each(std::string_view field, Take take) const {
    const json::value* value = find(field);
    if (value == nullptr) return;
    const json::array* array = value->if_array();
    if (array == nullptr) return fail(field, "is no array");
    for (std::size_t i = 0; i < array->size() && !error_; ++i)
      take((*array)[i], std::string(field) + "[" + std::to_string(i) + "]");
  }

  std::optional<Reader> object(const json::value& value, const std::string& name) const {
    if (const json::object* object = value.if_object())
      return Reader(error_, *object, prefix_ + name + ".");
    fail(name, "is no object");
    return std::nullopt;
  }

 private:
  std::optional<Error>& error_;
  const json::object& object_;
  std::string prefix_;
};

constexpr const char* kNoFile = "file type is not valid for cmd";

/// The first member that is there decides: src, content, fileId, name with max.
template <typename Kind>
bool read_plain_file(const Reader& reader, Kind& kind) {
  if (reader.has("src")) {
    kind = LocalFile{reader.text("src")};
  } else if (reader.has("content")) {
    kind = MemoryFile{reader.text("content")};
  } else if (reader.has("fileId")) {
    kind = CachedFile{reader.text("fileId")};
  } else if (reader.has("name") && reader.has("max")) {
    constexpr std::uint64_t kMax = std::numeric_limits<std::int64_t>::max() - 1;
    kind = Collector{reader.text("name"), reader.number("max", kMax), reader.boolean("pipe")};
  } else {
    return false;
  }
  return true;
}

File read_file(const Reader& reader, bool streams) {
  File file;
  if (streams && reader.boolean("streamIn")) return StreamIn{};
  if (streams && reader.boolean("streamOut")) return StreamOut{};
  if (!read_plain_file(reader, file)) reader.fail("", kNoFile);
  return file;
}

CopyIn read_copy_in(const Reader& reader) {
  CopyIn file;
  if (reader.has("symlink")) return Symlink{reader.text("symlink")};
  if (!read_plain_file(reader, file)) reader.fail("", kNoFile);
  return file;
}

std::vector<CopyOut> read_copy_out(const Reader& reader, std::string_view field) {
  std::vector<CopyOut> result;
  for (std::string& name : reader.texts(field)) {
    const bool optional = name.ends_with('?');
    if (optional) name.pop_back();
    result.push_back({std::move(name), optional});
  }
  return result;
}

Cmd read_cmd(const Reader& reader, bool streams) {
  Cmd cmd;
  cmd.args = reader.texts("args");
  cmd.env = reader.texts("env");
  reader.each("files", [&](const json::value& value, const std::string& name) {
    if (value.is_null())
      cmd.files.emplace_back();
    else if (const std::optional<Reader> file = reader.object(value, name))
      cmd.files.push_back(read_file(*file, streams));
  });
  cmd.tty = reader.boolean("tty");
  cmd.cpu_limit_ns = reader.number("cpuLimit");
  cmd.clock_limit_ns = reader.number("clockLimit");
  if (const std::uint64_t real = reader.number("realCpuLimit"); real > 0) cmd.clock_limit_ns = real;
  cmd.memory_limit = reader.number("memoryLimit");
  cmd.stack_limit = reader.number("stackLimit");
  cmd.proc_limit = reader.number("procLimit");
  cmd.cpu_rate_limit = reader.number("cpuRateLimit");
  cmd.cpu_set_limit = reader.text("cpuSetLimit");
  cmd.data_segment_limit =
      reader.boolean("dataSegmentLimit") || reader.boolean("strictMemoryLimit");
  cmd.address_space_limit = reader.boolean("addressSpaceLimit");
  if (const json::value* copy_in = reader.find("copyIn")) {
    if (const json::object* files = copy_in->if_object()) {
      for (const json::key_value_pair& pair : *files) {
        const std::string path(pair.key().data(), pair.key().size());
        if (const auto file = reader.object(pair.value(), "copyIn[\"" + path + "\"]"))
          cmd.copy_in.emplace_back(path, read_copy_in(*file));
      }
    } else {
      reader.fail("copyIn", "is no object");
    }
  }
  cmd.copy_out = read_copy_out(reader, "copyOut");
  cmd.copy_out_cached = read_copy_out(reader, "copyOutCached");
  cmd.copy_out_max = reader.number("copyOutMax");
  cmd.copy_out_truncate = reader.boolean("copyOutTruncate");
  return cmd;
}

PipeEnd read_pipe_end(const Reader& reader, std::string_view field) {
  const json::value* value = reader.find(field);
  if (value == nullptr) return {};
  const std::optional<Reader> end = reader.object(*value, std::string(field));
  if (!end) return {};
  return {static_cast<std::uint32_t>(end->number("index", kCmdsMax)),
          static_cast<std::uint32_t>(end->number("fd", kFdMax))};
}

Request read_request(const Reader& reader, bool streams) {
  Request request;
  request.request_id = reader.text("requestId");
  request.cancel_request_id = reader.text("cancelRequestId");
  reader.each("cmd", [&](const json::value& value, const std::string& name) {
    if (request.cmds.size() == kCmdsMax)
      return reader.fail("cmd", "has more than " + std::to_string(kCmdsMax) + " entries");
    if (const std::optional<Reader> cmd = reader.object(value, name))
      request.cmds.push_back(read_cmd(*cmd, streams));
  });
  reader.each("pipeMapping", [&](const json::value& value, const std::string& name) {
    const std::optional<Reader> pipe = reader.object(value, name);
    if (!pipe) return;
    request.pipes.push_back({.in = read_pipe_end(*pipe, "in"),
                             .out = read_pipe_end(*pipe, "out"),
                             .proxy = pipe->boolean("proxy"),
                             .name = pipe->text("name"),
                             .max = pipe->number("max")});
  });
  return request;
}

/// Parses `text`, one object, and has it read.
template <typename Value, typename Read>
Result<Value> read_document(std::string_view text, Read read) {
  Result<json::value> document = parse_json(text, "request");
  if (!document) {
    Error error = std::move(document).error();
    error.step = Step::kParseRequest;
    return error;
  }
  const json::object* object = document->if_object();
  if (object == nullptr)
    return Error{.step = Step::kParseRequest, .object = "request", .detail = "is no JSON object"};
  std::optional<Error> error;
  Value value = read(Reader(error, *object, ""));
  if (error) return *std::move(error);
  return value;
}

}  // namespace

Result<Request> request_from_json(std::string_view text, bool streams) {
  return read_document<Request>(
      text, [streams](const Reader& reader) { return read_request(reader, streams); });
}

Result<Resize> resize_from_json(std::string_view text) {
  return read_document<Resize>(text, [](const Reader& reader) {
    const auto size = [&](const char* field) {
      return static_cast<std::uint16_t>(reader.number(field, 65'535));
    };
    return Resize{.index = static_cast<std::uint32_t>(reader.number("index", kCmdsMax)),
                  .fd = static_cast<std::uint32_t>(reader.number("fd", kFdMax)),
                  .rows = size("rows"),
                  .cols = size("cols"),
                  .x = size("x"),
                  .y = size("y")};
  });
}

}  // namespace hatchery::server::go_judge
