// The reader of language files. Keys and types are checked here, all of them, so that nothing wrong
// is met while judging.
#include "pool/cli/judge/language.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "core/files.h"
#include "pool/cli/judge/java_source.h"
#include "pool/cli/judge/language_builtin.h"
#include "pool/nearest_name.h"
#include "pool/toml_parse.h"

namespace hatchery::judge {
namespace {

constexpr std::size_t kFileBytesMax = 1U << 20U;
constexpr std::size_t kLanguagesMax = 256;
constexpr std::int64_t kMemoryExtraMibMax = 1 << 20;
constexpr std::int64_t kProcessesMax = 4'194'304;

const std::vector<std::string_view> kKeys = {"id",
                                             "name",
                                             "extensions",
                                             "compile",
                                             "binary",
                                             "run",
                                             "env",
                                             "time_multiplier",
                                             "memory_extra_mib",
                                             "processes",
                                             "memory_limit_text",
                                             "class_files"};
const std::vector<std::string_view> kPlaceholders = {"sources", "binary", "main", "mainclass",
                                                     "memory_mib"};

/// One [[language]] table being read; keeps the first error.
class LanguageReading {
 public:
  LanguageReading(const toml::table& table, const std::string& file) : table_(table), file_(file) {}

  Result<Language> read() {
    refuse_unknown_keys();
    Language language;
    text("id", language.id, true);
    text("name", language.name, true);
    texts("extensions", language.extensions, true);
    texts("compile", language.compile, false);
    text("binary", language.binary, false);
    texts("run", language.run, true);
    texts("env", language.env, false);
    numbers(language);
    text("memory_limit_text", language.memory_limit_text, false);
    if (const toml::node* node = table_.get("class_files"); node != nullptr) {
      if (!node->is_boolean()) fail(*node, "class_files", "is no boolean", "give true or false");
      language.class_files = node->value_or(false);
    }
    if (!error_.has_value()) check(language);
    if (error_.has_value()) return *std::move(error_);
    return language;
  }

 private:
  void fail(const toml::node& node, std::string_view key, std::string detail, std::string remedy) {
    if (error_.has_value()) return;
    const toml::source_position& at = node.source().begin;
    error_ = Error{Step::kParseConfig, fmt::format("{}:{}:{}: {}", file_, at.line, at.column, key),
                   0, std::move(detail), std::move(remedy)};
  }

  void refuse_unknown_keys() {
    for (const auto& [key, node] : table_) {
      if (std::find(kKeys.begin(), kKeys.end(), key.str()) == kKeys.end()) {
        fail(node, key.str(), "is no key of a language", suggest_name(key.str(), kKeys));
      }
    }
  }

  const toml::node* find(std::string_view key, bool required) {
    const toml::node* node = table_.get(key);
    if (node == nullptr && required) fail(table_, key, "is missing", "every language has one");
    return node;
  }

  void text(std::string_view key, std::string& value, bool required) {
    const toml::node* node = find(key, required);
    if (node == nullptr) return;
    value = node->value_or(std::string());
    if (!node->is_string() || value.empty() || value.find('\0') != std::string::npos) {
      fail(*node, key, "is no text", "give a string that isn't empty");
    }
  }

  void texts(std::string_view key, std::vector<std::string>& values, bool required) {
    const toml::node* node = find(key, required);
    if (node == nullptr) return;
    const toml::array* array = node->as_array();
    if (array == nullptr || array->empty()) {
      return fail(*node, key, "is no list", "give strings, as in [\"one\", \"two\"]");
    }
    for (const toml::node& element : *array) {
      std::string value = element.value_or(std::string());
      if (!element.is_string() || value.empty() || value.find('\0') != std::string::npos) {
        return fail(element, key, "has an element that is no text", "give strings");
      }
      values.push_back(std::move(value));
    }
  }

  void integer(std::string_view key, std::int64_t max, std::int64_t& value) {
    const toml::node* node = table_.get(key);
    if (node == nullptr) return;
    value = node->value_or(std::int64_t{-1});
    if (!node->is_integer() || value < 0 || value > max) {
      fail(*node, key, "is no number in range", fmt::format("give 0 to {}", max));
    }
  }

  void numbers(Language& language) {
    std::int64_t memory_extra_mib = 0;
    integer("memory_extra_mib", kMemoryExtraMibMax, memory_extra_mib);
    language.memory_extra_bytes =
        static_cast<std::uint64_t>(std::max<std::int64_t>(0, memory_extra_mib)) << 20U;
    std::int64_t processes = 0;
    integer("processes", kProcessesMax, processes);
    language.processes = static_cast<std::uint32_t>(std::max<std::int64_t>(0, processes));
    const toml::node* node = table_.get("time_multiplier");
    if (node == nullptr) return;
    language.time_multiplier = node->value_or(0.0);
    if (!(language.time_multiplier >= 0.01 && language.time_multiplier <= 1000)) {
      fail(*node, "time_multiplier", "is no number in range", "give 0.01 to 1000");
    }
  }

  /// What depends on more than one key.
  void check(const Language& language) {
    check_path(language);
    check_placeholders("compile", language.compile, language);
    check_placeholders("run", language.run, language);
    if (!language.binary.empty() && language.compile.empty()) {
      fail(*table_.get("binary"), "binary", "is made by no command",
           "give compile, or drop binary");
    }
    for (const std::string& variable : language.env) {
      if (variable.find('=') == std::string::npos || variable.front() == '=') {
        fail(*table_.get("env"), "env", quote(variable) + " is no variable", "give NAME=value");
      }
    }
  }

  void check_path(const Language& language) {
    if (language.binary.empty()) return;
    const bool dots = language.binary == "." || language.binary == "..";
    if (dots || language.binary.find('/') != std::string::npos) {
      fail(*table_.get("binary"), "binary", quote(language.binary) + " is no file name",
           "give a name without '/'");
    }
  }

  void check_placeholders(std::string_view key, const std::vector<std::string>& words,
                          const Language& language) {
    for (const std::string& word : words) {
      std::size_t open = word.find('{');
      for (; open != std::string::npos; open = word.find('{', open + 1)) {
        const std::size_t close = word.find('}', open);
        if (close == std::string::npos) continue;
        check_placeholder(key, word, word.substr(open + 1, close - open - 1), language);
      }
    }
  }

  void check_placeholder(std::string_view key, const std::string& word, const std::string& name,
                         const Language& language) {
    const toml::node& node = *table_.get(key);
    // Braces around anything but a name are the command's own, as in sh -c '{ a; b; }'.
    const bool is_name = !name.empty() && std::all_of(name.begin(), name.end(), [](char byte) {
      return byte == '_' || (byte >= 'a' && byte <= 'z');
    });
    if (!is_name) return;
    if (std::find(kPlaceholders.begin(), kPlaceholders.end(), name) == kPlaceholders.end()) {
      fail(node, key, quote("{" + name + "}") + " is no placeholder",
           suggest_name(name, kPlaceholders));
    } else if (name == "sources" && word != "{sources}") {
      fail(node, key, "{sources} is part of " + quote(word),
           "give \"{sources}\" as a word of its own");
    } else if (name == "binary" && language.binary.empty()) {
      fail(node, key, "{binary} stands for nothing", "give binary = \"program\"");
    } else if (name == "mainclass" && !language.class_files) {
      fail(node, key, "{mainclass} stands for nothing", "give class_files = true");
    }
  }

  const toml::table& table_;
  const std::string& file_;
  std::optional<Error> error_;
};

std::string_view extension_of(std::string_view file_name) {
  const std::string_view base = file_name.substr(file_name.rfind('/') + 1);
  const std::size_t dot = base.rfind('.');
  // ".py" is a hidden file without an extension.
  if (dot == std::string_view::npos || dot == 0) return {};
  return base.substr(dot + 1);
}

bool has_extension(const Language& language, std::string_view extension) {
  const std::vector<std::string>& known = language.extensions;
  return std::find(known.begin(), known.end(), extension) != known.end();
}

std::string stem_of(std::string_view file_name) {
  const std::string_view base = file_name.substr(file_name.rfind('/') + 1);
  return std::string(base.substr(0, base.rfind('.')));
}

/// A file that its name says starts the program, else the first.
std::string main_among(const std::vector<std::string>& sources) {
  for (const std::string_view wanted : {"main", "Main", "__main__"}) {
    for (const std::string& source : sources) {
      if (stem_of(source) == wanted) return source;
    }
  }
  return sources.empty() ? std::string() : sources.front();
}

void choose_java_class(Program& program) {
  for (SourceFile& file : program.files) {
    const auto listed = std::find(program.sources.begin(), program.sources.end(), file.name);
    if (listed == program.sources.end()) continue;
    const JavaSource java = read_java_source(file.bytes);
    if (program.sources.size() == 1 && !java.public_type.empty()) {
      file.name = java.public_type + ".java";
      *listed = file.name;
      program.main_source = file.name;
    }
    if (java.main_type.empty() || !program.main_class.empty()) continue;
    program.main_class =
        java.package.empty() ? java.main_type : java.package + "." + java.main_type;
    program.main_source = file.name;
  }
  // Without main() the virtual machine says so: a run-time error, as it would be at home.
  if (program.main_class.empty()) program.main_class = stem_of(program.main_source);
}

void replace_all(std::string& text, std::string_view what, std::string_view with) {
  std::size_t found = text.find(what);
  for (; found != std::string::npos; found = text.find(what, found + with.size())) {
    text.replace(found, what.size(), with);
  }
}

/// A file name that begins with '-' would be an option.
std::string as_argument(const std::string& name) {
  return name.rfind('-', 0) == 0 ? "./" + name : name;
}

}  // namespace

std::vector<std::string> fill_command(const std::vector<std::string>& words,
                                      const CommandValues& values) {
  std::vector<std::string> filled;
  for (const std::string& word : words) {
    if (word == "{sources}") {
      for (const std::string& source : values.sources) filled.push_back(as_argument(source));
      continue;
    }
    // File names come last: what they contain is never taken for a placeholder.
    std::string text = word;
    replace_all(text, "{memory_mib}", std::to_string(values.memory_mib));
    replace_all(text, "{binary}", values.binary);
    replace_all(text, "{mainclass}", values.main_class);
    replace_all(text, "{main}", as_argument(values.main_source));
    filled.push_back(std::move(text));
  }
  return filled;
}

LanguageList LanguageList::built_in() {
  LanguageList list;
  const Result<void> added = list.add(kBuiltInLanguages, "built-in languages");
  HATCHERY_CHECK(added.has_value());
  return list;
}

Result<void> LanguageList::add(std::string_view toml_text, const std::string& file_name) {
  const Result<toml::table> parsed = parse_toml(toml_text, file_name);
  if (!parsed) return parsed.error();
  const toml::table& root = *parsed;
  for (const auto& [key, node] : root) {
    if (key.str() == "language" && node.is_array_of_tables()) continue;
    return Error{Step::kParseConfig,
                 fmt::format("{}:{}: {}", file_name, node.source().begin.line, key.str()), 0,
                 "is no list of languages", "give [[language]] tables and nothing else"};
  }
  const toml::array* tables = root.get_as<toml::array>("language");
  if (tables == nullptr) return {};
  for (const toml::node& node : *tables) {
    Result<Language> language = LanguageReading(*node.as_table(), file_name).read();
    if (!language) return std::move(language).error();
    std::erase_if(languages_, [&](const Language& old) { return old.id == language->id; });
    for (Language& other : languages_) {
      std::erase_if(other.extensions,
                    [&](const std::string& taken) { return has_extension(*language, taken); });
    }
    languages_.push_back(*std::move(language));
    if (languages_.size() <= kLanguagesMax) continue;
    return Error{Step::kParseConfig, file_name, 0, "has too many languages",
                 fmt::format("give at most {}", kLanguagesMax)};
  }
  return {};
}

Result<void> LanguageList::add_file(const std::string& path) {
  const Result<std::string> text = read_whole_file(path, kFileBytesMax);
  if (!text) return text.error();
  return add(*text, path);
}

const Language* LanguageList::of_file(std::string_view file_name) const noexcept {
  const std::string_view extension = extension_of(file_name);
  for (const Language& language : languages_) {
    if (!extension.empty() && has_extension(language, extension)) return &language;
  }
  return nullptr;
}

const Language* LanguageList::of_files(const std::vector<SourceFile>& files) const noexcept {
  const Language* best = nullptr;
  std::ptrdiff_t best_count = 0;
  for (const Language& language : languages_) {
    const auto count = std::count_if(files.begin(), files.end(), [&](const SourceFile& file) {
      return of_file(file.name) == &language;
    });
    if (count <= best_count) continue;
    best = &language;
    best_count = count;
  }
  return best;
}

Program make_program(const Language& language, std::vector<SourceFile> files) {
  Program program;
  program.language = &language;
  program.files = std::move(files);
  for (const SourceFile& file : program.files) {
    if (has_extension(language, extension_of(file.name))) program.sources.push_back(file.name);
  }
  std::sort(program.sources.begin(), program.sources.end());
  program.main_source = main_among(program.sources);
  if (language.class_files) choose_java_class(program);
  return program;
}

}  // namespace hatchery::judge
