// Languages: the TOML that describes them, commands, and what is found out about sources.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pool/cli/judge/java_source.h"
#include "pool/cli/judge/language.h"

namespace hatchery::judge {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const Language* find(const LanguageList& list, const std::string& id) {
  for (const Language& language : list.languages()) {
    if (language.id == id) return &language;
  }
  return nullptr;
}

TEST(Languages, BuiltInOnesGoByExtension) {
  const LanguageList list = LanguageList::built_in();
  const std::vector<std::pair<const char*, const char*>> expected = {
      {"a.c", "c"},        {"a.cc", "cpp"},        {"a.cpp", "cpp"},     {"a.C", "cpp"},
      {"a.py", "python3"}, {"dir/A.java", "java"}, {"a.b.py", "python3"}};
  for (const auto& [file, id] : expected) {
    const Language* language = list.of_file(file);
    ASSERT_NE(language, nullptr) << file;
    EXPECT_EQ(language->id, id);
  }
  for (const char* file : {"a", "a.", ".py", "a.h", "a.txt", "c", "dir.c/a", ""}) {
    EXPECT_EQ(list.of_file(file), nullptr) << file;
  }
}

TEST(Languages, ADirectoryIsInTheLanguageOfMostFiles) {
  const LanguageList list = LanguageList::built_in();
  const Language* language =
      list.of_files({{"a.h", ""}, {"b.h", ""}, {"gen.py", ""}, {"a.cc", ""}, {"b.cc", ""}});
  ASSERT_NE(language, nullptr);
  EXPECT_EQ(language->id, "cpp");
  EXPECT_EQ(list.of_files({{"a.h", ""}, {"notes.txt", ""}}), nullptr);
  EXPECT_EQ(list.of_files({}), nullptr);
}

TEST(Languages, AFileAddsAndReplaces) {
  LanguageList list = LanguageList::built_in();
  const Result<void> added = list.add(R"(
    [[language]]
    id = "c"
    name = "Clang C"
    extensions = ["c"]
    compile = ["clang", "-o", "{binary}", "{sources}"]
    binary = "out"
    run = ["./{binary}"]
    time_multiplier = 2.5
    memory_extra_mib = 3
    processes = 7
    [[language]]
    id = "cuda"
    name = "CUDA"
    extensions = ["cpp", "cu"]
    run = ["cat", "{main}"]
  )",
                                      "more.toml");
  ASSERT_TRUE(added) << added.error().message();
  EXPECT_EQ(list.of_file("a.c")->name, "Clang C");
  EXPECT_EQ(list.of_file("a.c")->time_multiplier, 2.5);
  EXPECT_EQ(list.of_file("a.c")->memory_extra_bytes, 3U << 20U);
  EXPECT_EQ(list.of_file("a.c")->processes, 7U);
  // The extension has gone from C++ to the new one.
  EXPECT_EQ(list.of_file("a.cpp")->id, "cuda");
  EXPECT_EQ(list.of_file("a.cc")->id, "cpp");
}

struct WrongFile {
  const char* name;
  const char* toml;
  const char* place;
  const char* says;
};

std::ostream& operator<<(std::ostream& out, const WrongFile& test) { return out << test.name; }

class WrongLanguageFile : public testing::TestWithParam<WrongFile> {};

TEST_P(WrongLanguageFile, IsRefusedWithPlaceAndRemedy) {
  LanguageList list;
  const Result<void> added = list.add(GetParam().toml, "l.toml");
  ASSERT_FALSE(added);
  EXPECT_THAT(added.error().message(), HasSubstr(GetParam().place));
  EXPECT_THAT(added.error().message(), HasSubstr(GetParam().says));
  EXPECT_FALSE(added.error().remedy.empty());
}

INSTANTIATE_TEST_SUITE_P(
    All, WrongLanguageFile,
    testing::Values(
        WrongFile{"NoToml", "[[language]\n", "l.toml:1", ""},
        WrongFile{"OtherTable", "[languages]\n", "l.toml:1: languages", "list of languages"},
        WrongFile{"NotATable", "language = 3\n", "l.toml:1: language", "list of languages"},
        WrongFile{"UnknownKey",
                  "[[language]]\nid='a'\nname='A'\nextensions=['a']\nrun=['a']\nbinery='x'\n",
                  "l.toml:6", "binary"},
        WrongFile{"MissingId", "[[language]]\nname='A'\nextensions=['a']\nrun=['a']\n", "id",
                  "missing"},
        WrongFile{"MissingRun", "[[language]]\nid='a'\nname='A'\nextensions=['a']\n", "run",
                  "missing"},
        WrongFile{"RunIsText", "[[language]]\nid='a'\nname='A'\nextensions=['a']\nrun='a b'\n",
                  "l.toml:5", "no list"},
        WrongFile{"EmptyRun", "[[language]]\nid='a'\nname='A'\nextensions=['a']\nrun=[]\n",
                  "l.toml:5", "no list"},
        WrongFile{"NumberInRun", "[[language]]\nid='a'\nname='A'\nextensions=['a']\nrun=[1]\n",
                  "l.toml:5", "no text"},
        WrongFile{"WrongPlaceholder",
                  "[[language]]\nid='a'\nname='A'\nextensions=['a']\nrun=['{mian}']\n", "l.toml:5",
                  "main"},
        WrongFile{"SourcesInsideAWord",
                  "[[language]]\nid='a'\nname='A'\nextensions=['a']\nrun=['x={sources}']\n",
                  "l.toml:5", "part of"},
        WrongFile{"BinaryThatIsNone",
                  "[[language]]\nid='a'\nname='A'\nextensions=['a']\nrun=['./{binary}']\n",
                  "l.toml:5", "stands for nothing"},
        WrongFile{"BinaryWithoutCompile",
                  "[[language]]\nid='a'\nname='A'\nextensions=['a']\nbinary='p'\nrun=['p']\n",
                  "l.toml:5", "made by no command"},
        WrongFile{"BinaryIsAPath",
                  "[[language]]\nid='a'\nname='A'\nextensions=['a']\ncompile=['c']\n"
                  "binary='../p'\nrun=['p']\n",
                  "l.toml:6", "no file name"},
        WrongFile{"MainclassOfNoClassFiles",
                  "[[language]]\nid='a'\nname='A'\nextensions=['a']\nrun=['{mainclass}']\n",
                  "l.toml:5", "class_files"},
        WrongFile{"NegativeMultiplier",
                  "[[language]]\nid='a'\nname='A'\nextensions=['a']\nrun=['a']\n"
                  "time_multiplier=-1\n",
                  "l.toml:6", "0.01 to 1000"},
        WrongFile{"NanMultiplier",
                  "[[language]]\nid='a'\nname='A'\nextensions=['a']\nrun=['a']\n"
                  "time_multiplier=nan\n",
                  "l.toml:6", "0.01 to 1000"},
        WrongFile{"HugeMemory",
                  "[[language]]\nid='a'\nname='A'\nextensions=['a']\nrun=['a']\n"
                  "memory_extra_mib=99999999999\n",
                  "l.toml:6", "range"},
        WrongFile{"WrongEnv",
                  "[[language]]\nid='a'\nname='A'\nextensions=['a']\nrun=['a']\nenv=['A']\n",
                  "l.toml:6", "NAME=value"}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(Languages, AMissingFileIsAnErrorThatNamesIt) {
  LanguageList list;
  const Result<void> added = list.add_file("/nonexistent/languages.toml");
  ASSERT_FALSE(added);
  EXPECT_THAT(added.error().message(), HasSubstr("/nonexistent/languages.toml"));
}

TEST(FillCommand, ReplacesPlaceholders) {
  const CommandValues values{.sources = {"a.cc", "-b.cc"},
                             .binary = "program",
                             .main_source = "a.cc",
                             .main_class = "p.Main",
                             .memory_mib = 64};
  EXPECT_THAT(
      fill_command({"g++", "-o{binary}", "{sources}", "-Xmx{memory_mib}m", "{mainclass}", "{main}",
                    "{ a; }"},
                   values),
      ElementsAre("g++", "-oprogram", "a.cc", "./-b.cc", "-Xmx64m", "p.Main", "a.cc", "{ a; }"));
}

TEST(FillCommand, NamesOfFilesAreNoPlaceholders) {
  const CommandValues values{.sources = {"{binary}.c"}, .binary = "p", .main_source = "{binary}.c"};
  EXPECT_THAT(fill_command({"{sources}", "{main}"}, values),
              ElementsAre("{binary}.c", "{binary}.c"));
}

TEST(MakeProgram, ChoosesTheMainFile) {
  const LanguageList list = LanguageList::built_in();
  const Language& python = *find(list, "python3");
  EXPECT_EQ(make_program(python, {{"b.py", ""}, {"a.py", ""}}).main_source, "a.py");
  EXPECT_EQ(make_program(python, {{"b.py", ""}, {"main.py", ""}}).main_source, "main.py");
  EXPECT_EQ(make_program(python, {{"x.py", ""}, {"data.txt", ""}}).files.size(), 2U);
  EXPECT_THAT(make_program(python, {{"x.py", ""}, {"data.txt", ""}}).sources, ElementsAre("x.py"));
}

TEST(MakeProgram, GivesALoneJavaFileTheNameOfItsPublicClass) {
  const LanguageList list = LanguageList::built_in();
  const Program program = make_program(
      *find(list, "java"),
      {{"wrong-answer.java", "public class Sum { public static void main(String[] args) {} }"}});
  EXPECT_EQ(program.files.front().name, "Sum.java");
  EXPECT_THAT(program.sources, ElementsAre("Sum.java"));
  EXPECT_EQ(program.main_class, "Sum");
}

TEST(MakeProgram, FindsMainAmongSeveralJavaFiles) {
  const LanguageList list = LanguageList::built_in();
  const Program program =
      make_program(*find(list, "java"),
                   {{"a/Alpha.java", "package a; public class Alpha {}"},
                    {"a/Zeta.java", "package a; class Zeta { static void main(String[] x){} }"}});
  EXPECT_EQ(program.main_class, "a.Zeta");
  EXPECT_EQ(program.files.front().name, "a/Alpha.java");
}

TEST(JavaSource, IsNotFooledByCommentsAndLiterals) {
  const JavaSource java = read_java_source(R"java(
    // public class Wrong { public static void main(String[] a) {} }
    /* package wrong; */
    package right.place;
    import java.util.*;
    class Helper { String s = "class X { void main("; char c = '"'; char q = '\''; int main; }
    @SuppressWarnings("unchecked")
    public final class Task {
      String text = """
        class Y { void main( "quoted" }
        """;
      static class Inner { void main(int x) {} }
      public static void main(String... args) throws Exception { }
    })java");
  EXPECT_EQ(java.package, "right.place");
  EXPECT_EQ(java.public_type, "Task");
  EXPECT_EQ(java.main_type, "Task");
}

TEST(JavaSource, AnyBytesAreRead) {
  for (const std::string& text :
       {std::string(), std::string("\""), std::string("'\\"), std::string("/*"), std::string("//"),
        std::string("\"\"\""), std::string("}}}}"), std::string("package"), std::string("class"),
        std::string("\0\xff", 2), std::string(100'000, '{')}) {
    EXPECT_EQ(read_java_source(text).main_type, "");
  }
}

}  // namespace
}  // namespace hatchery::judge
