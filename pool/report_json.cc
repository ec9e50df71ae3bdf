// Reports as JSON lines.
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

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

/// Written by hand around the contents: these may be larger than a json::string holds, and are
/// copied once less.
void append_output(const Output& output, std::string& text) {
  text += open_text({{"name", text_value(output.name)},
                     {"size", output.size},
                     {"truncated", output.truncated},
                     {"error", error_value(output.error)}});
  if (!output.stored.empty()) {
    text += ",\"stored\":" + json::serialize(json::string_view(output.stored));
  } else if (is_utf8(output.bytes)) {
    text += ",\"text\":" + json::serialize(json::string_view(output.bytes));
  } else {
    text += ",\"base64\":\"" + base64_encode(output.bytes) + '"';
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
  return text += "]}";
}

}  // namespace hatchery
