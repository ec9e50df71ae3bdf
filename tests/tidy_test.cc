// The rules of the house that a program can check: who includes whom, which calls are banned,
// sizes, and what post-fork code may need.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace hatchery {
namespace {

using ::testing::Contains;
using ::testing::IsEmpty;
using ::testing::IsSubsetOf;
using ::testing::Not;

struct SourceFile {
  std::string path;    ///< From the repository's root: "core/fd.h".
  std::string folder;  ///< "core"
  std::vector<std::string> lines;
};

std::vector<std::string> read_lines(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

/// All C++ of the given top-level folders; payloads are programs of their own and follow no rule.
std::vector<SourceFile> source_files(const std::vector<std::string>& folders) {
  const std::filesystem::path root(HATCHERY_SOURCE_DIR);
  std::vector<SourceFile> files;
  for (const std::string& folder : folders) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root / folder)) {
      const std::string extension = entry.path().extension();
      const std::string path = entry.path().lexically_relative(root);
      if (extension != ".cc" && extension != ".h") continue;
      if (path.find("/payloads/") != std::string::npos) continue;
      files.push_back({path, folder, read_lines(entry.path())});
    }
  }
  return files;
}

/// The line without its comment and without what stands in its string literals.
std::string code_of(const std::string& line) {
  static const std::regex kStrings(R"re("(\\.|[^"\\])*")re");
  const std::string code = std::regex_replace(line, kStrings, "\"\"");
  return code.substr(0, code.find("//"));
}

/// What the file includes: "core/fd.h", or "<liburing.h>" with its brackets.
std::vector<std::string> includes_of(const SourceFile& file) {
  static const std::regex kInclude(R"re(^\s*#\s*include\s+(?:"([^"]+)"|(<[^>]+>)))re");
  std::vector<std::string> includes;
  for (const std::string& line : file.lines) {
    std::smatch match;
    if (std::regex_search(line, match, kInclude))
      includes.push_back(match[1].str() + match[2].str());
  }
  return includes;
}

std::string place(const SourceFile& file, std::size_t index) {
  return file.path + ":" + std::to_string(index + 1) + ": ";
}

TEST(Tidy, FoldersIncludeOnlyWhatIsToTheirLeft) {
  const std::map<std::string, int> rank = {
      {"core", 0}, {"workers", 1}, {"pool", 2}, {"bench", 3}, {"tests", 4}};
  for (const SourceFile& file : source_files({"core", "workers", "pool", "bench", "tests"})) {
    for (const std::string& include : includes_of(file)) {
      const auto target = rank.find(include.substr(0, include.find('/')));
      if (target == rank.end()) continue;
      const bool right = target->second < rank.at(file.folder) || target->first == file.folder;
      EXPECT_TRUE(right) << file.path << " includes " << include;
    }
  }
}

TEST(Tidy, PoolSeesOfWorkersOnlyWhatIsMadeForIt) {
  const std::set<std::string> open = {"workers/protocol.h", "workers/raw.h",
                                      "workers/selinux_label.h", "workers/syscall_policy.h"};
  for (const SourceFile& file : source_files({"pool"})) {
    for (const std::string& include : includes_of(file)) {
      if (include.starts_with("workers/")) {
        EXPECT_THAT(open, Contains(include)) << "in " << file.path;
      }
    }
  }
}

TEST(Tidy, EachLibraryHasOneWrapper) {
  const std::map<std::string, std::string> wrapper = {
      {"<liburing", "core/ring.cc"},
      {"<seccomp.h", "workers/syscall_policy.cc"},
      {"<linux/seccomp.h", "workers/raw.h"},
      {"<selinux/", "workers/selinux_label.cc"},
      {"<boost/lockfree", "pool/submission_queue.h"},
      {"<prometheus", "pool/server/metrics.cc"},
      {"<nettle", "pool/server/stored_files.cc"}};
  for (const SourceFile& file : source_files({"core", "workers", "pool", "bench", "tests"})) {
    for (const std::string& include : includes_of(file)) {
      for (const auto& [library, only] : wrapper) {
        if (!include.starts_with(library)) continue;
        EXPECT_EQ(file.path, only) << "only " << only << " may include " << include;
      }
    }
  }
}

// HTTP and WebSocket: connections are headers of http_server.cc, whose library takes a minute to
// compile. What stands for a client is one more, on the other side.
TEST(Tidy, TheNetworkLibraryStaysInOneTranslationUnit) {
  for (const SourceFile& file : source_files({"core", "workers", "pool", "bench", "tests"})) {
    const bool may =
        file.path.starts_with("pool/server/http_") || file.path == "tests/http_client.cc";
    for (const std::string& include : includes_of(file)) {
      const bool network =
          include.starts_with("<boost/asio") || include.starts_with("<boost/beast");
      EXPECT_FALSE(network && !may) << file.path << " includes " << include;
      const bool connections = include == "pool/server/http_connection.h";
      EXPECT_FALSE(connections && file.path != "pool/server/http_server.cc") << file.path;
    }
  }
}

struct Ban {
  const char* call;         ///< A regular expression for code.
  const char* replacement;  ///< What to use instead.
  std::vector<std::string> folders = {"core", "workers", "pool"};
  std::set<std::string> except = {};
};

TEST(Tidy, BannedCallsAreNotMade) {
  const std::vector<Ban> bans = {
      {.call = R"(\bv?fork\()", .replacement = "clone3 in a zygote, or posix_spawn"},
      {.call = R"(\b(std::|::)?system\(|\bpopen\()", .replacement = "a job"},
      {.call = R"(\bstrerror(_r)?\()", .replacement = "errno_name(), Error::message()"},
      {.call = R"(\bv?sprintf\(|\bstr(cpy|cat|tok)\()", .replacement = "std::string"},
      {.call = R"(\bv?f?printf\(|std::(cout|cerr))",
       .replacement = "a message of the protocol",
       .folders = {"core", "workers"}},
      {.call = R"(\b(atoi|atol|atof|strtol|strtoul)\()", .replacement = "std::from_chars"},
      {.call = R"(\b(u|nano)?sleep\(|sleep_(for|until)\()",
       .replacement = "a wait on a descriptor with a deadline",
       .folders = {"core", "workers", "pool", "tests"}},
      {.call = R"((^|[^\w])::close\()",
       .replacement = "UniqueFd",
       .folders = {"core", "pool"},
       .except = {"core/fd.h"}},
      {.call = R"(\bthrow\b)", .replacement = "Result"},
      {.call = R"(\b(r?and|mktemp|tmpnam)\()", .replacement = "getrandom, mkostemp"},
  };
  std::vector<std::regex> calls;
  for (const Ban& ban : bans) calls.emplace_back(ban.call);
  for (const SourceFile& file : source_files({"core", "workers", "pool", "tests"})) {
    for (std::size_t i = 0; i < file.lines.size(); ++i) {
      const std::string code = code_of(file.lines[i]);
      for (std::size_t ban = 0; ban < bans.size(); ++ban) {
        const Ban& rule = bans[ban];
        if (std::ranges::find(rule.folders, file.folder) == rule.folders.end()) continue;
        if (rule.except.count(file.path) != 0) continue;
        EXPECT_FALSE(std::regex_search(code, calls[ban]))
            << place(file, i) << "use " << rule.replacement << " instead of\n"
            << file.lines[i];
      }
    }
  }
}

TEST(Tidy, FilesAreAtMost500LinesLong) {
  for (const SourceFile& file : source_files({"core", "workers", "pool", "bench"})) {
    EXPECT_LE(file.lines.size(), 500U) << file.path << ": split it by what it owns";
  }
}

TEST(Tidy, LinesAreAtMost100ColumnsWide) {
  for (const SourceFile& file : source_files({"core", "workers", "pool", "bench", "tests"})) {
    for (std::size_t i = 0; i < file.lines.size(); ++i) {
      // Columns, not bytes: bytes that continue a UTF-8 character don't count.
      std::size_t columns = 0;
      for (const char byte : file.lines[i]) columns += (byte & 0xC0) != 0x80 ? 1 : 0;
      EXPECT_LE(columns, 100U) << place(file, i) << "run clang-format -i";
    }
  }
}

TEST(Tidy, HeadersHaveOneGuardAndSayWhatTheyOwn) {
  for (const SourceFile& file : source_files({"core", "workers", "pool"})) {
    if (!file.path.ends_with(".h")) continue;
    ASSERT_FALSE(file.lines.empty()) << file.path;
    EXPECT_TRUE(file.lines.front().starts_with("// ")) << file.path << ": says not what it owns";
    EXPECT_THAT(file.lines, Contains("#pragma once")) << file.path;
  }
}

TEST(Tidy, NotesOfUnfinishedWorkSayWhichAndWhy) {
  // The words are split, so that this file passes its own test.
  const std::regex note(
      "\\b(TO"
      "DO|FIX"
      "ME|X"
      "XX|HA"
      "CK)\\b");
  const std::regex form(
      "TO"
      "DO\\((perf|port|security|test)\\): \\w+ \\w+");
  for (const SourceFile& file : source_files({"core", "workers", "pool", "bench", "tests"})) {
    for (std::size_t i = 0; i < file.lines.size(); ++i) {
      const std::string& line = file.lines[i];
      EXPECT_TRUE(!std::regex_search(line, note) || std::regex_search(line, form))
          << place(file, i) << line;
    }
  }
}

/// Names that an object file needs from outside itself.
std::set<std::string> undefined_symbols(const std::string& object) {
  const std::string command = "nm --undefined-only --format=posix '" + object + "'";
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(::popen(command.c_str(), "r"), &::pclose);
  std::set<std::string> names;
  std::array<char, 1024> line;
  while (pipe != nullptr && std::fgets(line.data(), line.size(), pipe.get()) != nullptr) {
    const std::string_view text(line.data());
    names.emplace(text.substr(0, text.find(' ')));
  }
  return names;
}

std::string worker_object() {
  std::istringstream objects(HATCHERY_WORKER_OBJECTS);
  for (std::string object; std::getline(objects, object, ':');) {
    if (object.ends_with("/worker_entry.cc.o")) return object;
  }
  return {};
}

TEST(Tidy, PostForkCodeNeedsOnlyWhatIsListed) {
  std::set<std::string> listed;
  for (const std::string& line :
       read_lines(std::filesystem::path(HATCHERY_SOURCE_DIR) / "tests/worker_symbols.txt")) {
    if (!line.starts_with('#')) listed.insert(line);
  }
  ASSERT_THAT(worker_object(), Not(IsEmpty())) << "workers/worker_entry.cc was not compiled";
  const std::set<std::string> needed = undefined_symbols(worker_object());
  ASSERT_THAT(needed, Not(IsEmpty())) << "nm could not read " << worker_object();
  EXPECT_THAT(needed, IsSubsetOf(listed))
      << "think whether the new call is async-signal-safe before you add it to the list";
}

}  // namespace
}  // namespace hatchery
