#include "pool/json_text.h"

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/value_stack.hpp>
#include <limits>
#include <set>
#include <vector>

#include "pool/nearest_name.h"

namespace hatchery {
namespace {

namespace json = boost::json;

/// Builds the value as boost::json::parser does, and keeps the keys of the objects that are open:
/// the library itself lets the last of two equal keys win in silence.
class Handler {
 public:
  // The text is bounded, so what is in it is. The names are Boost.JSON's.
  // NOLINTBEGIN(readability-identifier-naming)
  static constexpr std::size_t max_object_size = std::numeric_limits<std::size_t>::max();
  static constexpr std::size_t max_array_size = std::numeric_limits<std::size_t>::max();
  static constexpr std::size_t max_key_size = std::numeric_limits<std::size_t>::max();
  static constexpr std::size_t max_string_size = std::numeric_limits<std::size_t>::max();
  // NOLINTEND(readability-identifier-naming)

  Handler() { stack_.reset(); }
  json::value take() { return stack_.release(); }
  const std::string& duplicate_key() const { return duplicate_key_; }

  bool on_document_begin(json::error_code&) { return true; }
  bool on_document_end(json::error_code&) { return true; }
  bool on_object_begin(json::error_code&) {
    open_objects_.emplace_back();
    return true;
  }
  bool on_object_end(std::size_t count, json::error_code&) {
    open_objects_.pop_back();
    stack_.push_object(count);
    return true;
  }
  bool on_array_begin(json::error_code&) { return true; }
  bool on_array_end(std::size_t count, json::error_code&) {
    stack_.push_array(count);
    return true;
  }
  bool on_key_part(json::string_view part, std::size_t, json::error_code&) {
    key_.append(part.data(), part.size());
    stack_.push_chars(part);
    return true;
  }
  bool on_key(json::string_view part, std::size_t, json::error_code& error) {
    key_.append(part.data(), part.size());
    stack_.push_key(part);
    const bool is_new = open_objects_.back().insert(key_).second;
    if (!is_new) {
      duplicate_key_ = key_;
      error = json::error::exception;  // Ends the parse; replaced by parse_json().
    }
    key_.clear();
    return is_new;
  }
  bool on_string_part(json::string_view part, std::size_t, json::error_code&) {
    stack_.push_chars(part);
    return true;
  }
  bool on_string(json::string_view part, std::size_t, json::error_code&) {
    stack_.push_string(part);
    return true;
  }
  bool on_number_part(json::string_view, json::error_code&) { return true; }
  bool on_int64(std::int64_t value, json::string_view, json::error_code&) {
    stack_.push_int64(value);
    return true;
  }
  bool on_uint64(std::uint64_t value, json::string_view, json::error_code&) {
    stack_.push_uint64(value);
    return true;
  }
  bool on_double(double value, json::string_view, json::error_code&) {
    stack_.push_double(value);
    return true;
  }
  bool on_bool(bool value, json::error_code&) {
    stack_.push_bool(value);
    return true;
  }
  bool on_null(json::error_code&) {
    stack_.push_null();
    return true;
  }
  bool on_comment_part(json::string_view, json::error_code&) { return true; }
  bool on_comment(json::string_view, json::error_code&) { return true; }

 private:
  json::value_stack stack_;
  std::vector<std::set<std::string>> open_objects_;
  std::string key_;
  std::string duplicate_key_;
};

Error wrong(const std::string& where, std::string detail, std::string remedy) {
  return Error{Step::kValidateJob, where, 0, std::move(detail), std::move(remedy)};
}

}  // namespace

Result<json::value> parse_json(std::string_view text, const std::string& where) {
  if (text.size() > kJsonBytesMax) {
    return wrong(where, "is larger than " + std::to_string(kJsonBytesMax) + " bytes",
                 "give large contents as host_file or stored");
  }
  json::parse_options options;
  options.max_depth = kJsonDepthMax;
  json::basic_parser<Handler> parser(options);
  json::error_code error;
  const std::size_t used = parser.write_some(false, text.data(), text.size(), error);
  if (!error && used < text.size()) error = json::error::extra_data;
  if (error == json::error::exception) {
    return wrong(where + ": " + quote(parser.handler().duplicate_key()),
                 "is given twice in one object", "remove one of them");
  }
  if (error) {
    return wrong(where, "is not JSON at byte " + std::to_string(used) + ": " + error.message(),
                 "give one JSON object, in UTF-8, at most " + std::to_string(kJsonDepthMax) +
                     " levels deep");
  }
  return parser.handler().take();
}

}  // namespace hatchery
