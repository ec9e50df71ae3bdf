// Debian's compilers and interpreters in the built-in profile, as packaged: each compiles and runs
// a program that uses more of its library than printing.
#include "tests/pool_fixture.h"
#include "tests/slowness.h"

namespace hatchery::testing {
namespace {

struct Runtime {
  const char* feature;  ///< Of host_features.
  const char* script;   ///< Writes, compiles and runs a program that prints 42.
};

void PrintTo(const Runtime& runtime, std::ostream* stream) { *stream << runtime.feature; }

class RuntimeOfDebian : public PoolTest, public ::testing::WithParamInterface<Runtime> {};

TEST_P(RuntimeOfDebian, RunsAsPackaged) {
  HATCHERY_REQUIRE_FEATURE(GetParam().feature);
  config.profiles = {default_profile()};
  config.profiles.front().slots_min = config.profiles.front().slots_max = 1;
  const Report report =
      run_shell(GetParam().script, {.cpu_time = std::chrono::seconds(10) * slowness(),
                                    .wall_time = std::chrono::seconds(30) * slowness()});
  EXPECT_EQ(report.outcome, Outcome::kAccepted) << describe(report);
  EXPECT_EQ(output_of(report), "42\n") << describe(report);
}

constexpr Runtime kRuntimes[] = {
    {"bash", "exec bash -c 'mapfile -t a < <(printf \"%s\\n\" 6 7); echo $((a[0] * a[1]))'"},
    {"perl",
     "exec perl -MList::Util=product -MPOSIX=floor -MSocket -MTime::HiRes -e 'print "
     "floor(product(6, 7)), \"\\n\"'"},
    {"python3", "exec python3 -c 'import ssl, json, sqlite3, decimal; print(decimal.Decimal(42))'"},
    {"gcc",
     "printf '#include <math.h>\n#include <stdio.h>\nint main(void) {"
     " return printf(\"%%.0f\\\\n\", sqrt(1764)) != 3; }\n' >a.c && gcc -O2 a.c -o a -lm && ./a"},
    {"gxx",
     "printf '#include <iostream>\n#include <thread>\nint main() { std::thread t([] {"
     " std::cout << 42 << std::endl; }); t.join(); }\n' >a.cc && g++ -O2 a.cc -o a && ./a"},
    {"javac",
     "printf 'class A { public static void main(String[] a) {"
     " System.out.println(java.util.stream.IntStream.of(20, 22).parallel().sum()); } }\n' >A.java "
     "&& javac A.java && java A"},
    {"java", "java -version 2>/dev/null && echo 42"},
    {"go",
     "printf 'package main\nimport (\"fmt\"; \"sort\")\nfunc main() { c := make(chan int);"
     " go func() { c <- 42 }(); a := []int{<-c}; sort.Ints(a); fmt.Println(a[0]) }\n' >a.go && "
     "go build -o a a.go && ./a"},
    {"rustc",
     "printf 'fn main() { let t = std::thread::spawn(|| 6 * 7);"
     " println!(\"{}\", t.join().unwrap()); }\n' >a.rs && rustc -O a.rs && ./a"},
    {"node",
     "exec node -e 'const { createHash } = require(\"crypto\"); createHash(\"sha256\");"
     " Promise.resolve(42).then((n) => console.log(n))'"},
    {"fpc",
     "printf 'uses SysUtils, Math;\nbegin WriteLn(IntToStr(Max(6, 42))); end.\n' >a.pas && "
     "fpc -O2 a.pas >log 2>&1 && ./a"},
};

INSTANTIATE_TEST_SUITE_P(All, RuntimeOfDebian, ::testing::ValuesIn(kRuntimes),
                         [](const auto& tested) { return std::string(tested.param.feature); });

}  // namespace
}  // namespace hatchery::testing
