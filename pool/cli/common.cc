#include "pool/cli/common.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <poll.h>
#include <spdlog/async.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <atomic>
#include <boost/json/serialize.hpp>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <vector>

#include "core/check.h"
#include "pool/cli/exit_status.h"
#include "pool/nearest_name.h"
#include "pool/utf8.h"

namespace hatchery::cli {

namespace {

/// Names in a message may be a job's or a stranger's: a terminal must not take them for commands.
std::string without_controls(std::string_view text) {
  constexpr std::string_view kHexDigits = "0123456789abcdef";
  std::string safe;
  for (const char letter : text) {
    const auto byte = static_cast<unsigned char>(letter);
    if ((byte >= 0x20 && byte != 0x7f) || letter == '\n' || letter == '\t') {
      safe += letter;
      continue;
    }
    safe += "\\x";
    safe += kHexDigits[byte >> 4U];
    safe += kHexDigits[byte & 15U];
  }
  return safe;
}

constexpr std::size_t kWaitingMessagesMax = 8192;
std::atomic<bool> messages_are_json{false};

std::string json_message(const char* level, std::string_view text,
                         const boost::json::object& fields) {
  const auto now = std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
  boost::json::object line{
      {"time",
       fmt::format("{:%FT%T}.{:03}Z", fmt::gmtime(std::chrono::system_clock::to_time_t(now)),
                   now.time_since_epoch().count() % 1000)},
      {"level", level},
      {"message", utf8_or_replaced(text)}};
  for (const auto& field : fields) line[field.key()] = field.value();
  return boost::json::serialize(line);
}

}  // namespace

void print_error(std::string_view text, const boost::json::object& fields) {
  spdlog::error("{}",
                messages_are_json ? json_message("error", text, fields) : without_controls(text));
}

void print_messages_as_json() {
  spdlog::init_thread_pool(kWaitingMessagesMax, 1);
  auto sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  auto logger =
      std::make_shared<spdlog::async_logger>("hatchery", std::move(sink), spdlog::thread_pool(),
                                             spdlog::async_overflow_policy::overrun_oldest);
  logger->set_pattern("%v");
  spdlog::set_default_logger(std::move(logger));
  messages_are_json = true;
}

int hold_standard_streams() noexcept {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
    const int access = fd == STDIN_FILENO ? O_WRONLY : O_RDONLY;
    // open(2) returns the lowest free number, and all below are taken by now. Not close-on-exec,
    // like any standard stream.
    const int opened = ::open("/dev/null", access);  // NOLINT(android-cloexec-open)
    if (opened < 0) return errno;
    HATCHERY_CHECK(opened == fd);
  }
  return 0;
}

void print_error(const Error& error) { print_error(error.message()); }

void print_note(std::string_view text, const boost::json::object& fields) {
  spdlog::info("{}", messages_are_json ? json_message("info", text, fields) : std::string(text));
}

int print_result(std::string_view text, int status) {
  const int errnum = write_all(STDOUT_FILENO, text);
  if (errnum == 0) return status;
  print_error(write_error("standard output", errnum));
  return kExitFileError;
}

std::string own_directory() {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
}

int become(const char* name, char* const* argv, const char* remedy) {
  namespace fs = std::filesystem;
  const fs::path here = own_directory();
  const fs::path places[] = {here / name, here / HATCHERY_ZYGOTE_FROM_BIN / name};
  for (const fs::path& path : places) {
    ::execv(path.c_str(), argv);
    if (errno == ENOENT) continue;
    print_error(errno_error(Step::kNone, path.string(), errno, "build it again"));
    return kExitHost;
  }
  print_error(std::string(name) + " is neither in " + places[0].parent_path().string() +
              " nor in " + places[1].parent_path().lexically_normal().string() + "; " + remedy);
  return kExitHost;
}

Error write_error(std::string_view object, int errnum) {
  const char* remedy = "";
  switch (errnum) {
    case EBADF:
      remedy = "it is closed, or not open for writing: redirect it to a file or /dev/null";
      break;
    case ENOSPC:
    case EDQUOT: remedy = "free some space there, or write somewhere else"; break;
    default: break;
  }
  return errno_error(Step::kWriteFile, object, errnum, remedy);
}

bool stderr_is_terminal() { return ::isatty(STDERR_FILENO) == 1; }

Result<Interrupts> Interrupts::create() {
  sigset_t signals;
  ::sigemptyset(&signals);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) ::sigaddset(&signals, number);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  UniqueFd fd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.valid()) return errno_error(Step::kCreatePipe, "signalfd", errno);
  return Interrupts(std::move(fd));
}

int Interrupts::take() const noexcept {
  signalfd_siginfo info = {};
  if (::read(signal_fd_.get(), &info, sizeof info) != sizeof info) return 0;
  return static_cast<int>(info.ssi_signo);
}

Result<WakeUp> WakeUp::create() {
  UniqueFd fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd.valid()) return errno_error(Step::kCreatePipe, "eventfd", errno);
  return WakeUp(std::move(fd));
}

void WakeUp::signal() const noexcept {
  const std::uint64_t one = 1;
  // It can only fail when the counter is full, and then the reader is awake anyway.
  [[maybe_unused]] const ssize_t written = ::write(fd_.get(), &one, sizeof one);
}

void WakeUp::clear() const noexcept {
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = ::read(fd_.get(), &count, sizeof count);
}

int write_all(int fd, std::string_view bytes) noexcept {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(written));
      continue;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return errno;
    // Somebody made the open file non-blocking, a terminal shared with a shell for example.
    pollfd waiting = {.fd = fd, .events = POLLOUT, .revents = 0};
    ::poll(&waiting, 1, -1);
  }
  return 0;
}

std::string value_error_text(const Error& error) {
  std::string text = error.object;
  if (!text.empty()) text += ' ';
  text += error.detail;
  return error.remedy.empty() ? text : text + "; " + error.remedy;
}

std::string unknown_argument_text(const CLI::App& verb, const std::string& argument) {
  const std::string name = argument.substr(0, argument.find('='));
  const std::string help =
      verb.get_parent() == nullptr ? "hatchery --help" : "hatchery " + verb.get_name() + " --help";
  if (name.empty() || name.front() != '-') {
    return "unexpected argument " + quote(argument) + "; see " + help;
  }
  std::vector<std::string> flags;
  for (const CLI::Option* option : verb.get_options()) {
    for (const std::string& flag : option->get_lnames()) flags.push_back("--" + flag);
  }
  const std::vector<std::string_view> known(flags.begin(), flags.end());
  const std::string suggestion = suggest_name(name, known);
  const bool guessed = suggestion.rfind("did you mean", 0) == 0;
  return "unknown option " + quote(name) + "; " + (guessed ? suggestion + " " : "") + "see " + help;
}

}  // namespace hatchery::cli
