// Reading and TableReader: TOML tables read key by key, with the place of each in the file. Ranges
// are left to the validate() of what is read, whose errors are then given that place. Only this
// folder's configuration files include it.
#pragma once

#include <algorithm>
#include <chrono>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/result.h"
#include "pool/config.h"
#include "pool/limits.h"
#include "pool/nearest_name.h"
#include "pool/toml_parse.h"
#include "pool/units.h"

namespace hatchery {

inline std::string type_text(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table: return "a table";
    case toml::node_type::array: return "an array";
    case toml::node_type::string: return "a string";
    case toml::node_type::integer: return "an integer";
    case toml::node_type::floating_point: return "a float";
    case toml::node_type::boolean: return "a boolean";
    default: return "a date or time";
  }
}

/// One file being read: the first error, and the place of every key that was given.
class Reading {
 public:
  explicit Reading(std::string file) : file_(std::move(file)) {}

  void fail(const toml::source_position& at, const std::string& key, std::string detail,
            std::string remedy) {
    if (error_.has_value()) return;
    error_ =
        Error{Step::kParseConfig, place(at) + ": " + key, 0, std::move(detail), std::move(remedy)};
  }
  void wrong_type(const toml::node& node, const std::string& key, const std::string& wanted) {
    fail(node.source().begin, key, "is " + type_text(node), "give " + wanted);
  }
  /// `key` is the file's name for what validate() calls `path`.
  void remember(const std::string& path, const toml::source_position& at, const std::string& key) {
    places_[path] = place(at) + ": " + key;
  }
  bool failed() const { return error_.has_value(); }
  Error take_error() { return *std::move(error_); }

  /// Gives an error of validate() the place of its key, or of the nearest table around it.
  Error with_place(Error error) const {
    error.step = Step::kParseConfig;
    std::string path = place_of_limit(error.object);
    error.object = path;
    while (!places_.contains(path)) {
      const std::size_t end = path.find_last_of(".[");
      if (end == std::string::npos) {
        error.object = file_ + ": " + error.object;
        return error;
      }
      path.resize(end);
    }
    error.object = places_.at(path) + error.object.substr(path.size());
    return error;
  }
  /// A built-in default above a maximum of the file: the maximum is what the file has.
  std::string place_of_limit(const std::string& path) const {
    constexpr std::string_view kDefaults = ".defaults.";
    const std::size_t at = path.find(kDefaults);
    if (at == std::string::npos || places_.contains(path)) return path;
    std::string maximum = path;
    maximum.replace(at, kDefaults.size(), ".maximums.");
    return places_.contains(maximum) ? maximum : path;
  }
  std::string place(const toml::source_position& at) const {
    return file_ + ":" + std::to_string(at.line) + ":" + std::to_string(at.column);
  }

 private:
  std::string file_;
  std::optional<Error> error_;
  std::map<std::string, std::string> places_;
};

/// One table being read. Each reader below leaves its argument alone when the key is absent.
class TableReader {
 public:
  /// `path`: what validate() calls the table, `name`: what the file does; both end in '.' unless
  /// empty.
  TableReader(Reading& reading, const toml::table& table, std::string path, std::string name)
      : reading_(reading), table_(table), path_(std::move(path)), name_(std::move(name)) {}
  TableReader(Reading& reading, const toml::table& table, const std::string& path)
      : TableReader(reading, table, path, path) {}

  /// Null when absent. Every key that is asked for counts as known.
  const toml::node* find(const char* key) {
    known_.push_back(key);
    const toml::node* node = table_.get(key);
    if (node != nullptr) reading_.remember(path_ + key, node->source().begin, name_ + key);
    return node;
  }

  void string(const char* key, std::string& out) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    if (const auto* text = node->as_string()) {
      out = text->get();
    } else {
      reading_.wrong_type(*node, name_ + key, "a string");
    }
  }

  void boolean(const char* key, bool& out) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    if (const auto* value = node->as_boolean()) {
      out = value->get();
    } else {
      reading_.wrong_type(*node, name_ + key, "true or false");
    }
  }

  template <typename T>
  void integer(const char* key, T& out) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    const std::optional<std::uint64_t> value = unsigned_value(*node, key, "an integer");
    if (!value.has_value()) return;
    if (*value > std::numeric_limits<T>::max()) {
      reading_.fail(node->source().begin, name_ + key, std::to_string(*value) + " is out of range",
                    "give at most " + std::to_string(std::numeric_limits<T>::max()));
    } else {
      out = static_cast<T>(*value);
    }
  }

  void integer(const char* key, std::optional<std::uint64_t>& out) {
    if (const toml::node* node = find(key)) out = unsigned_value(*node, key, "an integer");
  }

  void signed_integer(const char* key, std::int32_t& out) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    const auto* value = node->as_integer();
    if (value == nullptr) return reading_.wrong_type(*node, name_ + key, "an integer");
    const std::int64_t most = std::numeric_limits<std::int32_t>::max();
    out = static_cast<std::int32_t>(std::clamp(value->get(), -most, most));
  }

  void real(const char* key, double& out) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    if (!node->is_number()) return reading_.wrong_type(*node, name_ + key, "a number");
    out = node->value<double>().value_or(out);
  }

  void bytes(const char* key, std::uint64_t& out) {
    if (const toml::node* node = find(key)) out = bytes_value(*node, key).value_or(out);
  }

  void bytes(const char* key, std::optional<std::uint64_t>& out) {
    if (const toml::node* node = find(key)) out = bytes_value(*node, key);
  }

  void milliseconds(const char* key, std::uint32_t& out) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    const std::optional<Nanoseconds> value = duration_value(*node, key);
    if (!value.has_value()) return;
    const auto count = std::chrono::floor<std::chrono::milliseconds>(*value);
    if (count != *value || count.count() > std::numeric_limits<std::uint32_t>::max()) {
      reading_.fail(node->source().begin, name_ + key, format_duration(*value) + " is out of range",
                    "give whole milliseconds, 0 to 49 days");
    } else {
      out = static_cast<std::uint32_t>(count.count());
    }
  }

  void strings(const char* key, std::vector<std::string>& out) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    const toml::array* array = node->as_array();
    if (array == nullptr) return reading_.wrong_type(*node, name_ + key, "an array of strings");
    out.clear();
    for (const toml::node& element : *array) {
      const std::string index = key + ("[" + std::to_string(out.size()) + "]");
      const auto* text = element.as_string();
      if (text == nullptr) return reading_.wrong_type(element, name_ + index, "a string");
      reading_.remember(path_ + index, element.source().begin, name_ + index);
      out.push_back(text->get());
    }
  }

  template <typename T>
  void choice(const char* key, T& out, const std::vector<std::pair<std::string_view, T>>& choices) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    const auto* text = node->as_string();
    std::string wanted;
    for (const auto& [word, value] : choices) {
      if (text != nullptr && text->get() == word) {
        out = value;
        return;
      }
      wanted += (wanted.empty() ? "" : " or ") + quote(word);
    }
    if (text == nullptr) return reading_.wrong_type(*node, name_ + key, wanted);
    reading_.fail(node->source().begin, name_ + key, quote(text->get()) + " is not a choice",
                  "give " + wanted);
  }

  void limits(const char* key, Limits& out) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    const toml::table* table = node->as_table();
    if (table == nullptr) return reading_.wrong_type(*node, name_ + key, "a table of limits");
    TableReader reader(reading_, *table, path_ + key + ".", name_ + key + ".");
    for (const LimitField& field : limit_fields()) reader.limit(field, out);
    reader.finish();
  }

  /// An array of tables: calls each(table, name) for every one, with the name that the file has for
  /// it. `wanted` and `one` say in messages what the array and an element must be.
  template <typename Each>
  void tables(const char* key, const std::string& wanted, const std::string& one, Each each) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    const toml::array* array = node->as_array();
    if (array == nullptr) return reading_.wrong_type(*node, name_ + key, wanted);
    std::size_t index = 0;
    for (const toml::node& element : *array) {
      const std::string name = name_ + key + ("[" + std::to_string(index++) + "]");
      const toml::table* table = element.as_table();
      if (table == nullptr) return reading_.wrong_type(element, name, one);
      each(*table, name);
    }
  }

  /// Refuses keys that nobody asked for.
  void finish() {
    for (const auto& [key, node] : table_) {
      if (std::find(known_.begin(), known_.end(), key.str()) != known_.end()) continue;
      reading_.fail(key.source().begin, name_ + std::string(key.str()), "is an unknown key",
                    suggest_name(key.str(), known_));
    }
  }

 private:
  void fail_value(const toml::node& node, const char* key, const Error& error) {
    const std::string detail =
        error.object.empty() ? error.detail : error.object + " " + error.detail;
    reading_.fail(node.source().begin, name_ + key, detail, error.remedy);
  }

  std::optional<std::uint64_t> unsigned_value(const toml::node& node, const char* key,
                                              const char* wanted) {
    const auto* value = node.as_integer();
    if (value == nullptr) {
      reading_.wrong_type(node, name_ + key, wanted);
    } else if (value->get() < 0) {
      reading_.fail(node.source().begin, name_ + key, std::to_string(value->get()) + " is negative",
                    "give 0 or more");
    } else {
      return static_cast<std::uint64_t>(value->get());
    }
    return std::nullopt;
  }

  std::optional<std::uint64_t> bytes_value(const toml::node& node, const char* key) {
    const auto* text = node.as_string();
    if (text == nullptr)
      return unsigned_value(node, key, "a size like \"64MiB\" or a number of bytes");
    const Result<std::uint64_t> value = parse_bytes(text->get());
    if (value) return *value;
    fail_value(node, key, value.error());
    return std::nullopt;
  }

  std::optional<Nanoseconds> duration_value(const toml::node& node, const char* key) {
    const std::optional<double> seconds = node.is_number() ? node.value<double>() : std::nullopt;
    if (!seconds.has_value() && !node.is_string()) {
      reading_.wrong_type(node, name_ + key, "a duration like \"1.5s\" or a number of seconds");
      return std::nullopt;
    }
    const Result<Nanoseconds> value = seconds.has_value() ? duration_from_seconds(*seconds)
                                                          : parse_duration(node.as_string()->get());
    if (value) return *value;
    fail_value(node, key, value.error());
    return std::nullopt;
  }

  void limit(const LimitField& field, Limits& out) {
    const toml::node* node = find(field.key);
    if (node == nullptr) return;
    if (const auto* text = node->as_string(); text != nullptr && text->get() == "none") {
      std::visit([&out](auto member) { (out.*member).reset(); }, field.member);
    } else if (field.kind == LimitKind::kCpuRate) {
      cpu_rate(*node, field, out);
    } else if (field.kind == LimitKind::kCpuSet) {
      if (text == nullptr)
        return reading_.wrong_type(*node, name_ + field.key, limit_range_text(field));
      out.cpu_set = text->get();
    } else {
      std::optional<std::uint64_t> number;
      if (field.kind == LimitKind::kBytes) number = bytes_value(*node, field.key);
      if (field.kind == LimitKind::kCount) number = unsigned_value(*node, field.key, "an integer");
      if (field.kind == LimitKind::kDuration) {
        const std::optional<Nanoseconds> value = duration_value(*node, field.key);
        if (value.has_value()) number = static_cast<std::uint64_t>(value->count());
      }
      if (!number.has_value()) return;
      const Result<void> set = set_limit_number(out, field, *number);
      if (!set) fail_value(*node, field.key, set.error());
    }
  }

  void cpu_rate(const toml::node& node, const LimitField& field, Limits& out) {
    if (!node.is_number())
      return reading_.wrong_type(node, name_ + field.key, limit_range_text(field));
    out.cpu_rate = node.value<double>();
  }

  Reading& reading_;
  const toml::table& table_;
  std::string path_;
  std::string name_;
  std::vector<std::string_view> known_;
};

}  // namespace hatchery
