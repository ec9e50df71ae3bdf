// The default output validator: tokens, white space, tolerances.
#include <gtest/gtest.h>

#include "pool/validator.h"

namespace hatchery::judge {
namespace {

struct Case {
  const char* name;
  std::vector<std::string> flags;
  std::string answer;
  std::string output;
  bool equal;
};

std::ostream& operator<<(std::ostream& out, const Case& test) { return out << test.name; }

class CompareOutputs : public testing::TestWithParam<Case> {};

TEST_P(CompareOutputs, JudgesAsExpected) {
  const Case& test = GetParam();
  const Result<ValidatorOptions> options = parse_validator_flags(test.flags);
  ASSERT_TRUE(options) << options.error().message();
  const Comparison comparison = compare_outputs(test.answer, test.output, *options);
  EXPECT_EQ(comparison.equal, test.equal) << comparison.message;
  EXPECT_EQ(comparison.message.empty(), test.equal);
  EXPECT_LT(comparison.message.size(), 400U);
}

const std::vector<std::string> kNoFlags = {};
const std::vector<std::string> kCase = {"case_sensitive"};
const std::vector<std::string> kSpace = {"space_change_sensitive"};
const std::vector<std::string> kFloat = {"float_tolerance", "1e-6"};
const std::vector<std::string> kAbsolute = {"float_absolute_tolerance", "0.5"};
const std::vector<std::string> kRelative = {"float_relative_tolerance", "0.01"};
const std::vector<std::string> kExact = {"float_tolerance", "0"};

INSTANTIATE_TEST_SUITE_P(
    Tokens, CompareOutputs,
    testing::Values(Case{"Same", kNoFlags, "1 2 3\n", "1 2 3\n", true},
                    Case{"BothEmpty", kNoFlags, "", "", true},
                    Case{"EmptyOutputIsNotTheAnswer", kNoFlags, "1\n", "", false},
                    Case{"EmptyAnswerTakesSpacesOnly", kNoFlags, "", " \n\t\n", true},
                    Case{"EmptyAnswerTakesNoToken", kNoFlags, "", "0", false},
                    Case{"TrailingSpacesDoNotMatter", kNoFlags, "a b\n", "a b  \n\n\n", true},
                    Case{"MissingNewlineDoesNotMatter", kNoFlags, "a b\n", "a b", true},
                    Case{"LeadingSpacesDoNotMatter", kNoFlags, "a", "\n\n  a", true},
                    Case{"CarriageReturnsAreSpaces", kNoFlags, "a\nb\n", "a\r\nb\r\n", true},
                    Case{"VerticalTabsAndFormFeedsAreSpaces", kNoFlags, "a b c", "a\vb\fc", true},
                    Case{"LinesDoNotMatter", kNoFlags, "a b", "a\nb", true},
                    Case{"NonBreakingSpaceIsNoSpace", kNoFlags, "a b",
                         "a\xc2\xa0"
                         "b",
                         false},
                    Case{"MissingToken", kNoFlags, "1 2 3", "1 2", false},
                    Case{"TrailingToken", kNoFlags, "1 2", "1 2 3", false},
                    Case{"JoinedTokens", kNoFlags, "1 2", "12", false},
                    Case{"SplitToken", kNoFlags, "12", "1 2", false},
                    Case{"PrefixIsNotEqual", kNoFlags, "abc", "ab", false},
                    Case{"CaseDoesNotMatter", kNoFlags, "Yes NO", "yEs no", true},
                    Case{"CaseMatters", kCase, "Yes", "yes", false},
                    Case{"CaseIsTheSame", kCase, "Yes", "Yes", true},
                    Case{"NumbersAreTextWithoutTolerance", kNoFlags, "1.0", "1.00", false},
                    Case{"NulIsAByteLikeAnyOther", kNoFlags, std::string("a\0b", 3),
                         std::string("a\0c", 3), false},
                    Case{"NulOutputIsNotEmpty", kNoFlags, "", std::string("\0", 1), false},
                    Case{"AnyBytesCompare", kNoFlags, "\xff\xfe", "\xff\xfe", true},
                    Case{"HugeTokens", kNoFlags, std::string(5'000'000, 'x'),
                         std::string(5'000'000, 'x'), true},
                    Case{"HugeTokensThatDiffer", kNoFlags, std::string(5'000'000, 'x'),
                         std::string(5'000'000, 'x') + "y", false}),
    [](const auto& test) { return std::string(test.param.name); });

INSTANTIATE_TEST_SUITE_P(Spaces, CompareOutputs,
                         testing::Values(Case{"Same", kSpace, "a b\nc\n", "a b\nc\n", true},
                                         Case{"TwoForOne", kSpace, "a b", "a  b", false},
                                         Case{"OneForTwo", kSpace, "a  b", "a b", false},
                                         Case{"NewlineForSpace", kSpace, "a b", "a\nb", false},
                                         Case{"MissingLastNewline", kSpace, "a\n", "a", false},
                                         Case{"ExtraLastNewline", kSpace, "a\n", "a\n\n", false},
                                         Case{"LeadingSpace", kSpace, "a", " a", false},
                                         Case{"CarriageReturn", kSpace, "a\n", "a\r\n", false},
                                         Case{"CaseStillDoesNotMatter", kSpace, "A\n", "a\n", true},
                                         Case{"TokenThenEnd", kSpace, "a ", "a", false},
                                         Case{"OnlySpaces", kSpace, " \n", " \n", true}),
                         [](const auto& test) { return std::string(test.param.name); });

INSTANTIATE_TEST_SUITE_P(
    Floats, CompareOutputs,
    testing::Values(Case{"WrittenDifferently", kFloat, "1.0", "1", true},
                    Case{"Exponent", kFloat, "1000", "1e3", true},
                    Case{"PlusSign", kFloat, "5", "+5", true},
                    Case{"Hexadecimal", kFloat, "16", "0x10", true},
                    Case{"NegativeZero", kFloat, "0", "-0.0", true},
                    Case{"Within", kFloat, "1.0", "1.0000009", true},
                    Case{"Outside", kFloat, "1.0", "1.0000021", false},
                    Case{"RelativeHelpsLargeOnes", kFloat, "1e12", "1000000500000", true},
                    Case{"RelativeHasAnEnd", kFloat, "1e12", "1000002000000", false},
                    Case{"AbsoluteHelpsSmallOnes", kFloat, "0", "0.0000005", true},
                    Case{"AbsoluteAtTheBound", kAbsolute, "1", "1.5", true},
                    Case{"AbsoluteBeyondTheBound", kAbsolute, "1", "1.5001", false},
                    Case{"AbsoluteAloneDoesNotScale", kAbsolute, "1000000", "1000001", false},
                    Case{"RelativeToTheAnswerNotTheOutput", kRelative, "100", "101.005", false},
                    Case{"RelativeAtTheBound", kRelative, "100", "101", true},
                    Case{"RelativeOfZeroIsZero", kRelative, "0", "0.0000001", false},
                    Case{"RelativeOfANegativeAnswer", kRelative, "-100", "-100.5", true},
                    Case{"SignMatters", kRelative, "-100", "100", false},
                    Case{"ExactTakesTheSameNumber", kExact, "0.5", "5e-1", true},
                    Case{"ExactTakesNoOther", kExact, "0.5", "0.50000001", false},
                    Case{"WordForNumber", kFloat, "1", "one", false},
                    Case{"NumberWithATail", kFloat, "1", "1x", false},
                    Case{"NumberWithANulTail", kFloat, "1", std::string("1\0", 2), false},
                    Case{"WordsCompareAsWords", kFloat, "impossible", "IMPOSSIBLE", true},
                    Case{"WordsThatDiffer", kFloat, "impossible", "possible", false},
                    Case{"NumberForWord", kFloat, "impossible", "1", false},
                    Case{"NanIsNoNumber", kFloat, "1", "nan", false},
                    Case{"NanForZero", kAbsolute, "0", "-nan", false},
                    Case{"NanAnswerTakesNan", kFloat, "nan", "NaN", true},
                    Case{"NanAnswerTakesNoNumber", kFloat, "nan", "1", false},
                    Case{"InfinityIsNotClose", kFloat, "1", "inf", false},
                    Case{"InfiniteAnswerTakesInfinity", kFloat, "inf", "Infinity", true},
                    Case{"InfiniteAnswerTakesNoNumber", kFloat, "inf", "1e300", false},
                    Case{"InfiniteAnswerTakesNoOtherSign", kFloat, "inf", "-inf", false},
                    Case{"OverflowIsInfinite", kFloat, "1", "1e99999", false},
                    Case{"ManyDigits", kFloat, "1", "1." + std::string(1'000'000, '0'), true},
                    Case{"SecondTokenIsJudgedToo", kFloat, "1 2", "1 3", false}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(CompareOutputsMessage, NamesLineAndTokens) {
  const Comparison comparison = compare_outputs("1\n2\n3\n", "1\n2\n4\n", {});
  EXPECT_EQ(comparison.message, "line 3: expected \"3\", got \"4\"");
}

TEST(CompareOutputsMessage, ShowsNoControlBytes) {
  const Comparison comparison = compare_outputs("a", "\x1b[2Jevil\x07", {});
  EXPECT_EQ(comparison.message.find('\x1b'), std::string::npos);
  EXPECT_EQ(comparison.message.find('\x07'), std::string::npos);
}

TEST(CompareOutputsMessage, SaysHowSpacesDiffer) {
  const Comparison comparison =
      compare_outputs("a b", "a\tb", ValidatorOptions{.space_change_sensitive = true});
  EXPECT_EQ(comparison.message, "line 1: white space differs: expected a space, got a tab");
}

TEST(ValidatorFlags, LaterOnesWin) {
  const auto options =
      parse_validator_flags({"float_tolerance", "1", "float_relative_tolerance", "0.25"});
  ASSERT_TRUE(options);
  EXPECT_EQ(options->float_absolute, 1.0L);
  EXPECT_EQ(options->float_relative, 0.25L);
}

TEST(ValidatorFlags, RefusesWhatItDoesNotKnow) {
  const std::vector<std::vector<std::string>> wrong = {
      {"case_sensitiv"},          {"float_tolerance"},
      {"float_tolerance", "x"},   {"float_tolerance", "-1"},
      {"float_tolerance", "nan"}, {"float_tolerance", "inf"},
      {"float_tolerance", ""},    {"1e-6"},
  };
  for (const std::vector<std::string>& flags : wrong) {
    const Result<ValidatorOptions> options = parse_validator_flags(flags);
    ASSERT_FALSE(options) << flags.front();
    EXPECT_FALSE(options.error().detail.empty());
    EXPECT_FALSE(options.error().remedy.empty());
  }
}

}  // namespace
}  // namespace hatchery::judge
