// ObjectReader: reads the fields of a JSON object and refuses the rest. Only the JSON files of this
// folder include it.
#pragma once

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "pool/job.h"

namespace hatchery {

/// One document being read: where it stands, and the first error.
class JsonReading {
 public:
  explicit JsonReading(std::string where) : where_(std::move(where)) {}
  void fail(const std::string& field, std::string detail, std::string remedy);
  void wrong_type(const boost::json::value& value, const std::string& field,
                  const std::string& wanted);
  /// Fills step and object of an error about the value of `field`.
  void fail(const std::string& field, const Error& error);
  bool failed() const { return error_.has_value(); }
  Error take_error() { return *std::move(error_); }

 private:
  std::string where_;
  std::optional<Error> error_;
};

// One value each. The error is the reading's; then the result is absent.
/// Text without NUL: what becomes a C string.
std::optional<std::string> read_text(JsonReading& reading, const boost::json::value& value,
                                     const std::string& field);
std::optional<std::vector<std::string>> read_texts(JsonReading& reading,
                                                   const boost::json::value& value,
                                                   const std::string& field);
std::optional<std::uint64_t> read_unsigned(JsonReading& reading, const boost::json::value& value,
                                           const std::string& field, const char* wanted);
/// A number of bytes, or text for parse_bytes().
std::optional<std::uint64_t> read_bytes(JsonReading& reading, const boost::json::value& value,
                                        const std::string& field);
/// A number of seconds, or text for parse_duration().
std::optional<Nanoseconds> read_duration(JsonReading& reading, const boost::json::value& value,
                                         const std::string& field);

/// Borrows reading and object. Members leave their argument alone when the field is absent.
class ObjectReader {
 public:
  /// `prefix` comes before the field's name in errors: "" or "limits.".
  ObjectReader(JsonReading& reading, const boost::json::object& object, std::string prefix)
      : reading_(reading), object_(object), prefix_(std::move(prefix)) {}

  /// Null when absent. Every field that is asked for counts as known.
  const boost::json::value* find(const char* field);
  /// The only one of `fields` that is given, or null and an error when there is none or another.
  const char* find_one(const std::vector<const char*>& fields, const std::string& object_field);
  void text(const char* field, std::string& out);
  void boolean(const char* field, bool& out);
  std::string name(const char* field) const { return prefix_ + field; }
  /// Refuses fields that nobody asked for.
  void finish();

 private:
  JsonReading& reading_;
  const boost::json::object& object_;
  std::string prefix_;
  std::vector<std::string_view> known_;
};

}  // namespace hatchery
