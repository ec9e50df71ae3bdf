// Arguments: input file, answer file, feedback directory (with a slash at the end or not); the
// submission's output is on stdin. Ends with 42 to accept, 43 to reject and says why in
// judgemessage.txt.
#include <algorithm>
#include <fstream>
#include <iostream>
#include <string>

namespace {

constexpr int kAccept = 42;
constexpr int kReject = 43;

std::string sorted(std::string word) {
  std::sort(word.begin(), word.end());
  return word;
}

// Why the output is wrong; empty when it is right.
std::string fault(const std::string& word, const std::string& answer, std::istream& output) {
  std::string said, more;
  if (!(output >> said)) return "the output is empty";
  if (output >> more) return "the output has more than one word";
  if (said == "-") return answer == "-" ? "" : "there is an anagram, such as " + answer;
  if (said == word) return "the output is the word itself";
  if (sorted(said) != sorted(word)) return "the output has other letters";
  return "";
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) return 1;
  std::string word, answer;
  if (!(std::ifstream(argv[1]) >> word) || !(std::ifstream(argv[2]) >> answer)) return 1;
  const std::string message = fault(word, answer, std::cin);
  std::ofstream(std::string(argv[3]) + "/judgemessage.txt") << message << '\n';
  return message.empty() ? kAccept : kReject;
}
