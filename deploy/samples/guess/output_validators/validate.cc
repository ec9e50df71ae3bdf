// Plays the partner. Arguments: input file, answer file, feedback directory (with a slash at the
// end or not). Ends with 42 to accept, 43 to reject and says why in judgemessage.txt.
#include <csignal>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <string>

namespace {

constexpr int kAccept = 42;
constexpr int kReject = 43;
constexpr int kLargest = 1000;
constexpr int kQuestionsMax = 10;

std::string feedback_directory;

int end(int status, const std::string& message) {
  std::ofstream(feedback_directory + "/judgemessage.txt") << message << '\n';
  return status;
}

// Of bounded length: a submission may print whatever it likes.
bool read_move(char& kind, int& number) {
  return std::scanf(" %c%6d", &kind, &number) == 2 && number >= 1 && number <= kLargest;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) return 1;
  feedback_directory = argv[3];
  // A submission that has ended can't read: that is found when its next move is missing.
  std::signal(SIGPIPE, SIG_IGN);
  int secret = 0;
  if (!(std::ifstream(argv[1]) >> secret)) return 1;

  for (int questions = 0;;) {
    char kind = 0;
    int number = 0;
    if (!read_move(kind, number)) return end(kReject, "no move, or none that can be read");
    if (kind == '!') {
      char more = 0;
      if (number != secret) return end(kReject, "named " + std::to_string(number));
      if (std::scanf(" %c", &more) == 1) return end(kReject, "goes on after its answer");
      return end(kAccept, std::to_string(questions) + " questions");
    }
    if (kind != '?') return end(kReject, "a move that is no '?' and no '!'");
    if (++questions > kQuestionsMax) return end(kReject, "too many questions");
    std::cout << (secret < number ? "lower" : secret > number ? "higher" : "same") << std::endl;
  }
}
