#include "pool/json_reader.h"

#include <algorithm>

#include "pool/config.h"
#include "pool/nearest_name.h"
#include "pool/units.h"

namespace hatchery {
namespace {

namespace json = boost::json;

const char* kind_text(const json::value& value) {
  switch (value.kind()) {
    case json::kind::null: return "null";
    case json::kind::bool_: return "a boolean";
    case json::kind::int64:
    case json::kind::uint64: return "an integer";
    case json::kind::double_: return "a fraction, or a number too large";
    case json::kind::string: return "a string";
    case json::kind::array: return "an array";
    case json::kind::object: return "an object";
  }
  return "something else";
}

std::string_view view(const json::string& text) { return {text.data(), text.size()}; }

}  // namespace

void JsonReading::fail(const std::string& field, std::string detail, std::string remedy) {
  if (error_.has_value()) return;
  const std::string object = field.empty() ? where_ : where_ + ": " + field;
  error_ = Error{Step::kValidateJob, object, 0, std::move(detail), std::move(remedy)};
}

void JsonReading::fail(const std::string& field, const Error& error) {
  fail(field, error.object.empty() ? error.detail : error.object + " " + error.detail,
       error.remedy);
}

void JsonReading::wrong_type(const json::value& value, const std::string& field,
                             const std::string& wanted) {
  fail(field, std::string("is ") + kind_text(value), "give " + wanted);
}

std::optional<std::string> read_text(JsonReading& reading, const json::value& value,
                                     const std::string& field) {
  const json::string* text = value.if_string();
  if (text == nullptr) {
    reading.wrong_type(value, field, "a string");
  } else if (text->find('\0') != json::string::npos) {
    reading.fail(field, quote(view(*text)) + " has a NUL byte", "leave it out");
  } else {
    return std::string(view(*text));
  }
  return std::nullopt;
}

std::optional<std::vector<std::string>> read_texts(JsonReading& reading, const json::value& value,
                                                   const std::string& field) {
  const json::array* array = value.if_array();
  if (array == nullptr) {
    reading.wrong_type(value, field, "an array of strings");
    return std::nullopt;
  }
  std::vector<std::string> texts;
  for (const json::value& element : *array) {
    std::optional<std::string> text =
        read_text(reading, element, field + "[" + std::to_string(texts.size()) + "]");
    if (!text.has_value()) return std::nullopt;
    texts.push_back(*std::move(text));
  }
  return texts;
}

std::optional<std::uint64_t> read_unsigned(JsonReading& reading, const json::value& value,
                                           const std::string& field, const char* wanted) {
  if (value.is_uint64()) return value.get_uint64();
  if (!value.is_int64()) {
    reading.wrong_type(value, field, wanted);
  } else if (value.get_int64() < 0) {
    reading.fail(field, std::to_string(value.get_int64()) + " is negative", "give 0 or more");
  } else {
    return static_cast<std::uint64_t>(value.get_int64());
  }
  return std::nullopt;
}

std::optional<std::uint64_t> read_bytes(JsonReading& reading, const json::value& value,
                                        const std::string& field) {
  const json::string* text = value.if_string();
  if (text == nullptr) {
    return read_unsigned(reading, value, field, "a number of bytes or a size like \"64MiB\"");
  }
  const Result<std::uint64_t> bytes = parse_bytes(view(*text));
  if (bytes) return *bytes;
  reading.fail(field, bytes.error());
  return std::nullopt;
}

std::optional<Nanoseconds> read_duration(JsonReading& reading, const json::value& value,
                                         const std::string& field) {
  if (!value.is_string() && !value.is_number()) {
    reading.wrong_type(value, field, "a number of seconds or a duration like \"1.5s\"");
    return std::nullopt;
  }
  const Result<Nanoseconds> duration = value.is_string()
                                           ? parse_duration(view(value.get_string()))
                                           : duration_from_seconds(value.to_number<double>());
  if (duration) return *duration;
  reading.fail(field, duration.error());
  return std::nullopt;
}

const json::value* ObjectReader::find(const char* field) {
  if (std::find(known_.begin(), known_.end(), field) == known_.end()) known_.push_back(field);
  return object_.if_contains(field);
}

const char* ObjectReader::find_one(const std::vector<const char*>& fields,
                                   const std::string& object_field) {
  const char* found = nullptr;
  std::string choices;
  for (const char* field : fields) {
    choices += (choices.empty() ? "" : ", ") + std::string(field);
    if (find(field) == nullptr) continue;
    if (found != nullptr) {
      reading_.fail(object_field, std::string("has both ") + found + " and " + field,
                    "remove one of them");
      return nullptr;
    }
    found = field;
  }
  if (found != nullptr) return found;
  finish();  // A misspelt field is the better explanation.
  reading_.fail(object_field, "doesn't say what it is", "give one of " + choices);
  return nullptr;
}

void ObjectReader::text(const char* field, std::string& out) {
  const json::value* value = find(field);
  if (value == nullptr) return;
  std::optional<std::string> read = read_text(reading_, *value, name(field));
  if (read.has_value()) out = *std::move(read);
}

void ObjectReader::boolean(const char* field, bool& out) {
  const json::value* value = find(field);
  if (value == nullptr) return;
  if (value->is_bool()) {
    out = value->get_bool();
  } else {
    reading_.wrong_type(*value, name(field), "true or false");
  }
}

void ObjectReader::finish() {
  for (const json::key_value_pair& pair : object_) {
    const std::string_view key(pair.key().data(), pair.key().size());
    if (std::find(known_.begin(), known_.end(), key) != known_.end()) continue;
    const bool plain = key.find_first_not_of("abcdefghijklmnopqrstuvwxyz_") == key.npos;
    reading_.fail(prefix_ + (plain ? std::string(key) : quote(key)), "is an unknown field",
                  suggest_name(key, known_));
  }
}

}  // namespace hatchery
