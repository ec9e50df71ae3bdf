// The built-in languages as the TOML text that an operator's own file is written like.
#pragma once

#include <string_view>

namespace hatchery::judge {

// Flags are those of DOMjudge and Kattis: what a contestant tested at home behaves the same here.
// Static binaries start in half of the time: no loader, no shared libraries.
inline constexpr std::string_view kBuiltInLanguages = R"toml(
[[language]]
id = "c"
name = "C"
extensions = ["c"]
compile = ["gcc", "-x", "c", "-std=gnu17", "-O2", "-static", "-pipe", "-DONLINE_JUDGE",
           "-o", "{binary}", "{sources}", "-lm"]
binary = "program"
run = ["./{binary}"]

[[language]]
id = "cpp"
name = "C++"
extensions = ["cc", "cpp", "cxx", "c++", "C"]
compile = ["g++", "-x", "c++", "-std=gnu++20", "-O2", "-static", "-pipe", "-DONLINE_JUDGE", "-I.",
           "-o", "{binary}", "{sources}"]
binary = "program"
run = ["./{binary}"]

[[language]]
id = "python3"
name = "Python 3"
extensions = ["py", "py3"]
# A check of the syntax only: each run gets the sources.
compile = ["python3", "-m", "py_compile", "{sources}"]
run = ["python3", "{main}"]

[[language]]
id = "java"
name = "Java"
extensions = ["java"]
class_files = true
compile = ["sh", "-c", """mkdir classes && javac -encoding UTF-8 -sourcepath . -d classes "$@" &&
           jar --create --file {binary} -C classes .""", "javac", "{sources}"]
binary = "program.jar"
# Serial collection: few threads, and no start-up work for cores that a job doesn't have.
run = ["java", "-XX:+UseSerialGC", "-Xss64m", "-Xms32m", "-Xmx{memory_mib}m",
       "-Dfile.encoding=UTF-8", "-cp", "{binary}", "{mainclass}"]
# The virtual machine's own: code cache, class data, collector.
memory_extra_mib = 192
processes = 256
memory_limit_text = "java.lang.OutOfMemoryError"

[[language]]
id = "rust"
name = "Rust"
extensions = ["rs"]
compile = ["rustc", "--edition", "2021", "-O", "-o", "{binary}", "{main}"]
binary = "program"
run = ["./{binary}"]

[[language]]
id = "go"
name = "Go"
extensions = ["go"]
env = ["GOCACHE=/tmp/go-cache", "GOPATH=/tmp/go", "GOFLAGS=-p=2", "GO111MODULE=off"]
compile = ["go", "build", "-o", "{binary}", "{sources}"]
binary = "program"
run = ["./{binary}"]

[[language]]
id = "pascal"
name = "Pascal"
extensions = ["pas"]
compile = ["fpc", "-O2", "-Sg", "-XS", "-dONLINE_JUDGE", "-o{binary}", "{main}"]
binary = "program"
run = ["./{binary}"]

[[language]]
id = "javascript"
name = "JavaScript"
extensions = ["js"]
compile = ["node", "--check", "{main}"]
run = ["node", "--max-old-space-size={memory_mib}", "{main}"]
memory_extra_mib = 192

[[language]]
id = "bash"
name = "Bash"
extensions = ["sh", "bash"]
compile = ["bash", "-n", "{main}"]
run = ["bash", "{main}"]
)toml";

}  // namespace hatchery::judge
