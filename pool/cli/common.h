// What the verbs share: messages on stderr, Ctrl-C as a descriptor, output files.
// Thread: main, but for the messages, which any thread may print.
#pragma once

#include <boost/json/object.hpp>
#include <string>
#include <string_view>

#include "core/error.h"
#include "core/fd.h"
#include "core/result.h"
#include "pool/cli/parser.h"

namespace hatchery::cli {

/// Opens /dev/null on each of 0, 1 and 2 that is closed, so that no file of ours ever gets such a
/// number; the wrong way round, so that reading or writing it still fails with EBADF, as it would
/// for a program started alone. First thing in main(). 0, or the errno.
int hold_standard_streams() noexcept;

/// "hatchery: text" on stderr. `fields` are for print_messages_as_json() alone.
void print_error(std::string_view text, const boost::json::object& fields = {});
void print_error(const Error& error);
/// The same, for what is no error.
void print_note(std::string_view text, const boost::json::object& fields = {});

/// From now on each message is a line of JSON on stderr: {"time": "2026-11-26T06:04:20.123Z",
/// "level": "info", "message": …} and its fields. They are written by a thread of their own: a
/// reader that sleeps holds nobody up, and once a few thousand wait the oldest are lost. Once.
void print_messages_as_json();

/// Writes a verb's result to stdout. Returns `status`, or the one of a file error after its
/// message.
int print_result(std::string_view text, int status);

/// Executes the program of ours with that file name: beside this one in a build, in libexec where
/// it is installed. Returns only if it can't: the exit status, after a message, with `remedy` if it
/// is not there.
int become(const char* name, char* const* argv, const char* remedy);
/// Where the running program's file is; "" if that can't be told.
std::string own_directory();

/// Whether stderr is a terminal: for progress lines and colour.
bool stderr_is_terminal();

/// SIGINT, SIGTERM and SIGHUP as a readable descriptor, so that a verb can cancel its jobs before
/// it ends. Constructed before the pool, whose threads inherit the blocked signals.
class Interrupts {
 public:
  static Result<Interrupts> create();
  /// Becomes readable when a signal has come.
  int fd() const noexcept { return signal_fd_.get(); }
  /// The number of a signal that has come, or 0.
  int take() const noexcept;

 private:
  explicit Interrupts(UniqueFd signal_fd) : signal_fd_(std::move(signal_fd)) {}
  UniqueFd signal_fd_;
};

/// An eventfd: lets another thread wake a poll(2).
class WakeUp {
 public:
  static Result<WakeUp> create();
  int fd() const noexcept { return fd_.get(); }
  /// Any thread.
  void signal() const noexcept;
  void clear() const noexcept;

 private:
  explicit WakeUp(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

/// Writes all of `bytes`, whatever the kernel takes at once. 0, or the errno.
int write_all(int fd, std::string_view bytes) noexcept;

/// What an option's check() says of a value: "\"abc\" is not a duration; give …".
std::string value_error_text(const Error& error);

/// A write to `object` that failed, with the remedy for the usual reasons.
Error write_error(std::string_view object, int errnum);

/// For a message about an argument that `verb` does not know: what it is, and the likely meaning.
std::string unknown_argument_text(const CLI::App& verb, const std::string& argument);

}  // namespace hatchery::cli
