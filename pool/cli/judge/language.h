// Languages of submissions: each a few lines of TOML that say how to compile and how to run. The
// built-in list is such a text too; an operator's file adds to it or replaces entries by id. Runs
// in: pool. Thread: any; values only.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace hatchery::judge {

/// A file of a submission or a validator, by its path inside the submission ("main.cc",
/// "lib/tree.h").
struct SourceFile {
  std::string name;
  std::string bytes;
};

struct Language {
  std::string id;
  std::string name;
  /// Without the dot, case matters: "C" is C++. A file with one of them is given to the compiler.
  std::vector<std::string> extensions;
  /// Command that compiles, run in a directory with the sources. Empty: nothing to compile or
  /// check.
  std::vector<std::string> compile;
  /// What compile makes and each run gets. Empty: each run gets the sources.
  std::string binary;
  std::vector<std::string> run;
  /// Environment of compile and run, added to the profile's.
  std::vector<std::string> env;
  /// A problem's time limit is multiplied by it.
  double time_multiplier = 1.0;
  /// What the runtime itself needs on top of the problem's memory limit.
  std::uint64_t memory_extra_bytes = 0;
  /// Processes and threads of a run; 0 for the profile's default.
  std::uint32_t processes = 0;
  /// A run that fails with this text on stderr ran out of memory inside its runtime. Empty: none
  /// does.
  std::string memory_limit_text;
  /// The rules of Java hold for file names: a public class stands in a file of its name.
  bool class_files = false;
};

/// Placeholders of compile and run. An element that is just {sources} becomes one element a source.
struct CommandValues {
  std::vector<std::string> sources = {};
  std::string binary = {};
  std::string main_source = {};
  std::string main_class = {};
  std::uint64_t memory_mib = 0;
};

/// {sources}, {binary}, {main}, {mainclass} and {memory_mib} replaced. Precondition: the words of a
/// Language that languages_from_toml() has accepted.
std::vector<std::string> fill_command(const std::vector<std::string>& words,
                                      const CommandValues& values);

/// The languages there are.
class LanguageList {
 public:
  /// C, C++, Python 3, Java and what else Debian's compilers and interpreters give.
  static LanguageList built_in();

  /// Adds the languages of a TOML text, which replace those of the same id and take over their
  /// extensions. `file_name` is for messages.
  Result<void> add(std::string_view toml, const std::string& file_name);
  Result<void> add_file(const std::string& path);

  const std::vector<Language>& languages() const noexcept { return languages_; }
  /// The language of that extension of a file name, or null.
  const Language* of_file(std::string_view file_name) const noexcept;
  /// The language that most files are in, the first of equals; null when none is known.
  const Language* of_files(const std::vector<SourceFile>& files) const noexcept;

 private:
  std::vector<Language> languages_;
};

/// Files of a program with what its language must know about them.
struct Program {
  const Language* language = nullptr;
  std::vector<SourceFile> files;
  /// Names of the files to compile, sorted.
  std::vector<std::string> sources;
  std::string main_source;
  /// Only where class_files.
  std::string main_class;
};

/// Chooses main file and class, and renames a lone Java file after its public class.
Program make_program(const Language& language, std::vector<SourceFile> files);

}  // namespace hatchery::judge
