// Jobs from JSON. Types and ranges are checked here; what needs the profile or the host is checked
// by submit().
#include "pool/job_json.h"

#include <array>
#include <boost/json/array.hpp>
#include <charconv>

#include "pool/json_reader.h"
#include "pool/json_text.h"
#include "pool/limits.h"
#include "pool/nearest_name.h"

namespace hatchery {
namespace {

namespace json = boost::json;

constexpr std::size_t kFdsMax = 64;
constexpr int kFdEnd = 1024;
constexpr std::uint64_t kModeMax = 0777;

/// Which way a stream goes, as far as its place says.
enum class Direction : std::uint8_t { kInput, kOutput, kEither };

std::string bytes_of(const json::string& text) { return {text.data(), text.size()}; }

/// "text" is taken as it is, NUL included; "base64" decoded.
std::optional<std::string> read_contents(JsonReading& reading, const json::value& value,
                                         const std::string& field, bool is_base64) {
  const json::string* text = value.if_string();
  if (text == nullptr) {
    reading.wrong_type(value, field, "a string");
    return std::nullopt;
  }
  if (!is_base64) return bytes_of(*text);
  Result<std::string> bytes = base64_decode({text->data(), text->size()});
  if (bytes) return *std::move(bytes);
  reading.fail(field, bytes.error().detail, bytes.error().remedy);
  return std::nullopt;
}

bool is_file_id(std::string_view id) {
  // 64: a server's file, by the hash of its content.
  return (id.size() == 32 || id.size() == 64) &&
         id.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

FileId read_file_id(JsonReading& reading, const json::value& value, const std::string& field) {
  const std::optional<std::string> id = read_text(reading, value, field);
  if (id.has_value() && !is_file_id(*id)) {
    reading.fail(field, quote(*id) + " is not an id of a stored file",
                 "give the 32 hexadecimal digits of \"stored\" in a report");
  }
  return id.value_or("");
}

std::optional<int> read_fd(JsonReading& reading, const json::value& value,
                           const std::string& field) {
  const std::optional<std::uint64_t> number =
      read_unsigned(reading, value, field, "a descriptor's number, 0 to 1023");
  if (!number.has_value()) return std::nullopt;
  if (*number < kFdEnd) return static_cast<int>(*number);
  reading.fail(field, std::to_string(*number) + " is out of range", "give 0 to 1023");
  return std::nullopt;
}

/// An input at an output's place would leave the job's writes failing, and the other way round.
void check_direction(JsonReading& reading, const Stream& stream, Direction direction,
                     const std::string& field) {
  const auto* file = std::get_if<HostFileStream>(&stream);
  const bool is_input = std::holds_alternative<BytesStream>(stream) ||
                        std::holds_alternative<StoredFileStream>(stream) ||
                        (file != nullptr && !file->write);
  const bool is_output = std::holds_alternative<CollectorStream>(stream) ||
                         std::holds_alternative<FileCollectorStream>(stream) ||
                         (file != nullptr && file->write);
  if (direction == Direction::kOutput && is_input) {
    reading.fail(field, "is an output, and can't be read from",
                 file != nullptr ? "add \"write\": true" : "give collect, host_file or null");
  }
  if (direction == Direction::kInput && is_output) {
    reading.fail(field, "is an input, and can't be written to",
                 "give text, base64, host_file, stored or null");
  }
}

Stream read_stream_object(JsonReading& reading, const json::object& object,
                          const std::string& field) {
  ObjectReader reader(reading, object, field + ".");
  Stream stream;
  const char* kind = reader.find_one(
      {"text", "base64", "host_file", "stored", "collect", "collect_file", "same_as"}, field);
  if (kind == nullptr) return stream;
  const std::string_view chosen = kind;
  const json::value& value = *reader.find(kind);
  const std::string name = reader.name(kind);
  if (chosen == "text" || chosen == "base64") {
    stream = BytesStream{read_contents(reading, value, name, chosen == "base64").value_or("")};
  } else if (chosen == "host_file") {
    HostFileStream file = {read_text(reading, value, name).value_or("")};
    reader.boolean("write", file.write);
    stream = file;
  } else if (chosen == "stored") {
    stream = StoredFileStream{read_file_id(reading, value, name)};
  } else if (chosen == "collect") {
    CollectorStream collector = {read_text(reading, value, name).value_or("")};
    if (const json::value* max = reader.find("max")) {
      collector.bytes_max = read_bytes(reading, *max, reader.name("max"));
    }
    reader.boolean("discard_rest", collector.discard_rest);
    stream = collector;
  } else if (chosen == "collect_file") {
    FileCollectorStream file = {read_text(reading, value, name).value_or("")};
    if (const json::value* max = reader.find("max")) {
      file.bytes_max = read_bytes(reading, *max, reader.name("max"));
    }
    stream = file;
  } else {
    stream = SameAsStream{read_fd(reading, value, name).value_or(0)};
  }
  reader.finish();
  return stream;
}

Stream read_stream(JsonReading& reading, const json::value& value, const std::string& field,
                   Direction direction) {
  if (value.is_null()) return NullStream{};
  if (const json::object* object = value.if_object()) {
    Stream stream = read_stream_object(reading, *object, field);
    check_direction(reading, stream, direction, field);
    return stream;
  }
  const json::string* text = value.if_string();
  if (text == nullptr) {
    reading.wrong_type(value, field, "an object, or null for /dev/null");
  } else if (direction != Direction::kInput) {
    if (*text == "null") return NullStream{};
    reading.fail(field, quote(bytes_of(*text)) + " is not a stream",
                 "give an object, or null for /dev/null");
  } else if (*text == "null") {
    reading.fail(field, "\"null\" could be /dev/null or four bytes",
                 "give null without quotes, or {\"text\": \"null\"}");
  } else {
    return BytesStream{bytes_of(*text)};
  }
  return NullStream{};
}

std::optional<int> parse_fd(std::string_view key) {
  int fd = -1;
  const auto parsed = std::from_chars(key.data(), key.data() + key.size(), fd);
  if (parsed.ec != std::errc() || fd < 0 || fd >= kFdEnd || std::to_string(fd) != key) {
    return std::nullopt;
  }
  return fd;
}

void read_fds(JsonReading& reading, const json::value& value, std::map<int, Stream>& fds) {
  const json::object* object = value.if_object();
  if (object == nullptr) {
    return reading.wrong_type(value, "fds", "an object like {\"3\": {\"collect\": \"log\"}}");
  }
  for (const json::key_value_pair& pair : *object) {
    const std::string_view key(pair.key().data(), pair.key().size());
    const std::optional<int> fd = parse_fd(key);
    if (!fd.has_value()) {
      return reading.fail("fds", quote(key) + " is not a descriptor's number", "give 0 to 1023");
    }
    const std::string field = "fds." + std::string(key);
    const Direction direction = *fd == 0   ? Direction::kInput
                                : *fd <= 2 ? Direction::kOutput
                                           : Direction::kEither;
    fds[*fd] = read_stream(reading, pair.value(), field, direction);
  }
}

void check_same_as(JsonReading& reading, const std::map<int, Stream>& fds) {
  for (const auto& [fd, stream] : fds) {
    const auto* same = std::get_if<SameAsStream>(&stream);
    if (same == nullptr) continue;
    const auto target = fds.find(same->fd);
    if (target != fds.end() && !std::holds_alternative<SameAsStream>(target->second)) continue;
    reading.fail("fds." + std::to_string(fd) + ".same_as",
                 std::to_string(same->fd) +
                     " is not a descriptor of this job with a stream of "
                     "its own",
                 "name one that is given and isn't same_as itself");
  }
}

void read_streams(JsonReading& reading, ObjectReader& reader, std::map<int, Stream>& fds) {
  constexpr std::array kNames = {"stdin", "stdout", "stderr"};
  if (const json::value* value = reader.find("fds")) read_fds(reading, *value, fds);
  for (int fd = 0; fd <= 2; ++fd) {
    const char* name = kNames[static_cast<std::size_t>(fd)];
    const Direction direction = fd == 0 ? Direction::kInput : Direction::kOutput;
    if (const json::value* value = reader.find(name)) {
      if (fds.contains(fd)) {
        reading.fail(name, "is given as fds." + std::to_string(fd) + " too", "remove one of them");
      }
      fds[fd] = read_stream(reading, *value, name, direction);
    } else if (direction == Direction::kOutput && !fds.contains(fd)) {
      fds[fd] = CollectorStream{name};
    }
  }
  if (fds.size() > kFdsMax) {
    reading.fail("fds", std::to_string(fds.size()) + " descriptors are too many",
                 "give at most 64, with stdin, stdout and stderr");
  }
  check_same_as(reading, fds);
}

/// Octal text, as chmod(1) takes it: a JSON number would be read as decimal.
std::optional<std::uint32_t> read_mode(JsonReading& reading, const json::value& value,
                                       const std::string& field) {
  const std::optional<std::string> text = read_text(reading, value, field);
  if (!text.has_value()) return std::nullopt;
  std::uint32_t mode = 0;
  const char* end = text->data() + text->size();
  const auto parsed = std::from_chars(text->data(), end, mode, 8);
  if (parsed.ec == std::errc() && parsed.ptr == end && mode <= kModeMax) return mode;
  reading.fail(field, quote(*text) + " is not a mode", "give octal digits, \"0000\" to \"0777\"");
  return std::nullopt;
}

/// After finish(): a misspelt "path" is reported as what it is.
void check_path(JsonReading& reading, const std::string& path, const std::string& field) {
  if (!path.empty()) return;
  reading.fail(field + ".path", "is missing or empty", "give a path below /w or /tmp");
}

FileIn read_file_in(JsonReading& reading, const json::object& object, const std::string& field) {
  ObjectReader reader(reading, object, field + ".");
  FileIn file;
  reader.text("path", file.path);
  if (const json::value* mode = reader.find("mode")) {
    file.mode = read_mode(reading, *mode, reader.name("mode"));
  }
  const char* kind = reader.find_one(
      {"text", "base64", "host_file", "host_directory", "stored", "symlink", "directory"}, field);
  if (kind == nullptr) return file;
  const std::string_view chosen = kind;
  const json::value& value = *reader.find(kind);
  const std::string name = reader.name(kind);
  if (chosen == "text" || chosen == "base64") {
    file.source =
        FileIn::Bytes{read_contents(reading, value, name, chosen == "base64").value_or("")};
  } else if (chosen == "host_file") {
    file.source = FileIn::HostFile{read_text(reading, value, name).value_or("")};
  } else if (chosen == "host_directory") {
    file.source = FileIn::HostDirectory{read_text(reading, value, name).value_or("")};
  } else if (chosen == "stored") {
    file.source = FileIn::Stored{read_file_id(reading, value, name)};
  } else if (chosen == "symlink") {
    file.source = FileIn::Symlink{read_text(reading, value, name).value_or("")};
  } else if (value != json::value(true)) {
    reading.fail(name, "is not true", "give true for an empty directory, or leave it out");
  }
  reader.finish();
  check_path(reading, file.path, field);
  return file;
}

FileOut read_file_out(JsonReading& reading, const json::object& object, const std::string& field) {
  ObjectReader reader(reading, object, field + ".");
  FileOut file;
  reader.text("path", file.path);
  if (const json::value* max = reader.find("max")) {
    file.bytes_max = read_bytes(reading, *max, reader.name("max")).value_or(0);
  }
  reader.boolean("optional", file.optional);
  reader.boolean("store", file.store);
  reader.boolean("truncate", file.truncate);
  reader.finish();
  check_path(reading, file.path, field);
  return file;
}

template <typename File, typename ReadFile>
void read_files(JsonReading& reading, ObjectReader& reader, const char* field,
                std::vector<File>& files, ReadFile read_file) {
  const json::value* value = reader.find(field);
  if (value == nullptr) return;
  const json::array* array = value->if_array();
  if (array == nullptr) return reading.wrong_type(*value, field, "an array of objects");
  for (const json::value& element : *array) {
    const std::string name = field + ("[" + std::to_string(files.size()) + "]");
    const json::object* object = element.if_object();
    if (object == nullptr) return reading.wrong_type(element, name, "an object with a path");
    files.push_back(read_file(reading, *object, name));
  }
}

void read_limit(JsonReading& reading, const json::value& value, const LimitField& field,
                Limits& limits) {
  const std::string name = std::string("limits.") + field.key;
  if (field.kind == LimitKind::kCpuRate) {
    if (!value.is_number()) return reading.wrong_type(value, name, limit_range_text(field));
    limits.cpu_rate = value.to_number<double>();
  } else if (field.kind == LimitKind::kCpuSet) {
    limits.cpu_set = read_text(reading, value, name);
  } else {
    std::optional<std::uint64_t> number;
    if (field.kind == LimitKind::kBytes) number = read_bytes(reading, value, name);
    if (field.kind == LimitKind::kCount) {
      number = read_unsigned(reading, value, name, "an integer");
    }
    if (field.kind == LimitKind::kDuration) {
      const std::optional<Nanoseconds> duration = read_duration(reading, value, name);
      if (duration.has_value()) number = static_cast<std::uint64_t>(duration->count());
    }
    if (!number.has_value()) return;
    const Result<void> set = set_limit_number(limits, field, *number);
    if (!set) reading.fail(name, set.error());
  }
}

void read_limits(JsonReading& reading, ObjectReader& reader, Limits& limits) {
  const json::value* value = reader.find("limits");
  if (value == nullptr) return;
  const json::object* object = value->if_object();
  if (object == nullptr) return reading.wrong_type(*value, "limits", "an object");
  ObjectReader limit_reader(reading, *object, "limits.");
  for (const LimitField& field : limit_fields()) {
    const json::value* limit = limit_reader.find(field.key);
    if (limit != nullptr) read_limit(reading, *limit, field, limits);
  }
  limit_reader.finish();
  const Result<void> checked = check_limits(limits, Step::kValidateJob, "limits.");
  if (!checked)
    reading.fail(checked.error().object, checked.error().detail, checked.error().remedy);
}

void read_command(JsonReading& reading, ObjectReader& reader, JobSpec& spec) {
  if (const json::value* args = reader.find("args")) {
    spec.args = read_texts(reading, *args, "args").value_or(std::vector<std::string>());
  }
  const json::value* env = reader.find("env");
  if (env == nullptr) return;
  spec.env = read_texts(reading, *env, "env");
  if (!spec.env.has_value()) return;
  for (std::size_t index = 0; index < spec.env->size(); ++index) {
    const std::string& entry = (*spec.env)[index];
    const std::size_t equals = entry.find('=');
    if (equals != 0 && equals != std::string::npos) continue;
    reading.fail("env[" + std::to_string(index) + "]", quote(entry) + " is not a variable",
                 "write NAME=value");
  }
}

JobSpec read_job(JsonReading& reading, const json::object& object) {
  JobSpec spec;
  ObjectReader reader(reading, object, "");
  reader.text("id", spec.id);
  reader.text("client", spec.client);
  reader.text("profile", spec.profile);
  read_command(reading, reader, spec);
  reader.text("cwd", spec.working_directory);
  reader.boolean("search_cwd", spec.search_working_directory);
  read_streams(reading, reader, spec.fds);
  read_files(reading, reader, "files_in", spec.files_in, read_file_in);
  read_files(reading, reader, "files_out", spec.files_out, read_file_out);
  read_limits(reading, reader, spec.limits);
  reader.finish();
  if (spec.args.empty() || spec.args.front().empty()) {
    reading.fail("args", "there is no command", "give [\"command\", \"argument\", …]");
  }
  return spec;
}

}  // namespace

Result<JobSpec> job_from_json(std::string_view json, const std::string& where) {
  Result<json::value> value = parse_json(json, where);
  if (!value) return std::move(value).error();
  JsonReading reading(where);
  const json::object* object = value->if_object();
  if (object == nullptr) {
    reading.wrong_type(*value, "", "a job: an object with \"args\"");
    return reading.take_error();
  }
  JobSpec spec = read_job(reading, *object);
  if (reading.failed()) return reading.take_error();
  return spec;
}

}  // namespace hatchery
