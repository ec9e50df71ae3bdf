// What a judge must know of a Java source to run it: which class has main(), which one is public. A
// reader of tokens, not a compiler: what it gets wrong, javac or java then say.
// Runs in: pool. Thread: any; pure.
#pragma once

#include <string>
#include <string_view>

namespace hatchery::judge {

struct JavaSource {
  /// "a.b" of "package a.b;", or "".
  std::string package;
  /// The public top-level type, or "".
  std::string public_type;
  /// The first top-level type with a method "void main(", or "".
  std::string main_type;
};

JavaSource read_java_source(std::string_view text);

}  // namespace hatchery::judge
