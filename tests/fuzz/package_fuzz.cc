// What a judge reads of packages and submissions: YAML, flags, languages, Java and expected
// results; and what a submission wrote, against an answer. The first byte chooses.
#include "core/check.h"
#include "pool/cli/judge/java_source.h"
#include "pool/cli/judge/language.h"
#include "pool/cli/judge/package_yaml.h"
#include "pool/cli/judge/verdict.h"
#include "pool/validator.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace hatchery;
using namespace hatchery::judge;

void compare(std::string_view text) {
  const std::size_t half = text.find('\0');
  if (half == std::string_view::npos) return;
  const std::string_view answer = text.substr(0, half);
  const std::string_view output = text.substr(half + 1);
  ValidatorOptions options;
  options.float_relative = 1e-6L;
  for (const bool sensitive : {false, true}) {
    options.space_change_sensitive = options.case_sensitive = sensitive;
    HATCHERY_CHECK(compare_outputs(answer, answer, options).equal);
    const Comparison compared = compare_outputs(answer, output, options);
    HATCHERY_CHECK(compared.equal == compared.message.empty());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text = fuzz::text_of(data + 1, size - 1);
  switch (data[0] % 6) {
    case 0: static_cast<void>(read_problem_yaml(text, "fuzz").has_value()); break;
    case 1: static_cast<void>(read_test_group_yaml(text, "fuzz").has_value()); break;
    case 2: {
      LanguageList languages = LanguageList::built_in();
      static_cast<void>(languages.add(text, "fuzz").has_value());
      break;
    }
    case 3: read_java_source(text); break;
    case 4: static_cast<void>(expectation_in_source(text, "fuzz").has_value()); break;
    default: compare(text);
  }
  return 0;
}
