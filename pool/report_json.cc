// Reports as JSON lines.
#include <algorithm>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "pool/job_json.h"
#include "pool/utf8.h"

namespace hatchery {
namespace {

namespace json = boost::json;

json::value or_null(const std::optional<Nanoseconds>& value) {
  return value.has_value() ? json::value(value->count()) : json::value(nullptr);
}
template <typename T>
json::value or_null(const std::optional<T>& value) {
  return value.has_value() ? json::value(*value) : json::value(nullptr);
}

json::value text_value(std::string_view text) {
  return json::value(json::string_view(utf8_or_replaced(text)));
}

json::value error_value(const std::optional<Error>& error) {
  if (!error.has_value()) return nullptr;
  return json::object{
      {"step", step_name(error->step)},
      {"object", text_value(error->object)},
      {"errno", error->errnum == 0 ? json::value(nullptr) : json::value(error->errnum)},
      {"detail", text_value(error->detail)},
      {"remedy", text_value(error->remedy)},
      {"message", text_value(error->message())}};
}

json::value forbidden_value(const std::optional<Report::ForbiddenSyscall>& call) {
  if (!call.has_value()) return nullptr;
  return json::object{{"number", call->number},
                      {"name", text_value(call->name)},
                      {"architecture", text_value(call->architecture)}};
}

json::value steps_value(const StepTimes& steps) {
  return json::object{{"queued_ns", or_null(steps.queued)},
                      {"placed_ns", or_null(steps.placed)},
                      {"handed_over_ns", or_null(steps.handed_over)},
                      {"exec_done_ns", or_null(steps.exec_done)},
                      {"ended_ns", or_null(steps.ended)},
                      {"read_ns", or_null(steps.read)},
                      {"reset_ns", or_null(steps.reset)}};
}

/// All but the outputs.
json::object report_object(const Report& report) {
  return {{"id", text_value(report.id)},
          {"outcome", outcome_name(report.outcome)},
          {"exit_code", or_null(report.exit_code)},
          {"signal", or_null(report.signal)},
          {"cpu_time_ns", or_null(report.cpu_time)},
          {"cpu_user_ns", or_null(report.cpu_user)},
          {"cpu_system_ns", or_null(report.cpu_system)},
          {"wall_time_ns", or_null(report.wall_time)},
          {"memory_peak_bytes", or_null(report.memory_peak_bytes)},
          {"oom_kills", or_null(report.oom_kills)},
          {"process_peak", or_null(report.process_peak)},
          {"process_limit_hit", or_null(report.process_limit_hit)},
          {"minor_faults", or_null(report.minor_faults)},
          {"major_faults", or_null(report.major_faults)},
          {"voluntary_switches", or_null(report.voluntary_switches)},
          {"involuntary_switches", or_null(report.involuntary_switches)},
          {"io_read_bytes", or_null(report.io_read_bytes)},
          {"io_write_bytes", or_null(report.io_write_bytes)},
          {"throttled_time_ns", or_null(report.throttled_time)},
          {"cpu_pressure_ns", or_null(report.cpu_pressure)},
          {"memory_pressure_ns", or_null(report.memory_pressure)},
          {"io_pressure_ns", or_null(report.io_pressure)},
          {"forbidden_syscall", forbidden_value(report.forbidden_syscall)},
          {"steps", steps_value(report.steps)},
          {"error", error_value(report.error)},
          {"end_order", or_null(report.end_order)},
          {"slot", report.slot},
          {"host", text_value(report.host)}};
}

/// `object` as text, with room for further members: without its closing brace.
std::string open_text(const json::object& object) {
  std::string text = json::serialize(object);
  text.pop_back();
  return text;
}

/// Bytes that a byte of well-formed UTF-8 takes in a JSON string.
std::size_t escaped_size(char byte) {
  switch (byte) {
    case '"':
    case '\\':
    case '\b':
    case '\f':
    case '\n':
    case '\r':
    case '\t': return 2;
    default: return static_cast<unsigned char>(byte) < 0x20 ? 6 : 1;
  }
}

/// Size of the bytes in a JSON string; absent when they are better not written as text. A zero byte
/// is UTF-8 and takes six bytes as \u0000: text that would more than double is no text that anybody
/// reads, and base64 takes four bytes for three.
std::optional<std::size_t> size_as_text(std::string_view bytes) {
  std::size_t size = 0;
  for (const char byte : bytes) {
    size += escaped_size(byte);
    if (size > 2 * bytes.size()) return std::nullopt;
  }
  return is_utf8(bytes) ? std::optional(size) : std::nullopt;
}

void append_escaped(std::string_view bytes, std::string& text) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::size_t plain = 0;  // Bytes up to here are in `text`.
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    const char byte = bytes[at];
    if (escaped_size(byte) == 1) continue;
    text += bytes.substr(plain, at - plain);
    plain = at + 1;
    text += '\\';
    switch (byte) {
      case '"':
      case '\\': text += byte; break;
      case '\b': text += 'b'; break;
      case '\f': text += 'f'; break;
      case '\n': text += 'n'; break;
      case '\r': text += 'r'; break;
      case '\t': text += 't'; break;
      default:
        text += "u00";
        text += kDigits[static_cast<unsigned char>(byte) >> 4U];
        text += kDigits[static_cast<unsigned char>(byte) & 15U];
    }
  }
  text += bytes.substr(plain);
}

/// Room for the rest of an output, and for what follows the last.
constexpr std::size_t kAroundOutput = 4096;

/// In parts, so that there is never a second copy of the whole.
void append_base64(std::string_view bytes, std::string& text) {
  constexpr std::size_t kPart = std::size_t{3} << 16U;
  for (; !bytes.empty(); bytes.remove_prefix(std::min(bytes.size(), kPart)))
    text += base64_encode(bytes.substr(0, kPart));
}

/// Written by hand around the contents: these may be larger than a json::string holds, and are
/// copied once less.
void append_output(const Output& output, std::string& text) {
  const std::optional<std::size_t> text_size = size_as_text(output.bytes);
  // At once: growing by doubling would need up to thrice the memory.
  const std::size_t size = text_size.value_or((output.bytes.size() + 2) / 3 * 4);
  if (size > text.capacity() - text.size()) text.reserve(text.size() + size + kAroundOutput);
  text += open_text({{"name", text_value(output.name)},
                     {"size", output.size},
                     {"truncated", output.truncated},
                     {"error", error_value(output.error)}});
  if (!output.stored.empty()) {
    text += ",\"stored\":" + json::serialize(json::string_view(output.stored));
  } else if (text_size.has_value()) {
    text += ",\"text\":\"";
    append_escaped(output.bytes, text);
    text += '"';
  } else {
    text += ",\"base64\":\"";
    append_base64(output.bytes, text);
    text += '"';
  }
  text += '}';
}

}  // namespace

std::string report_to_json(const Report& report) {
  std::string text = open_text(report_object(report));
  text += ",\"outputs\":[";
  for (const Output& output : report.outputs) {
    if (&output != &report.outputs.front()) text += ',';
    append_output(output, text);
  }
  text += "]}";
  return text;
}

}  // namespace hatchery
