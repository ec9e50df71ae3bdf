#include <gtest/gtest.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/fd.h"
#include "core/process.h"
#include "tests/pipe.h"

namespace hatchery {
namespace {

/// A child that waits for its end of a pipe to be closed, or never waits.
struct Child {
  explicit Child(bool waits) : pid(::fork()) {
    if (pid == 0) {
      ::close(go.write_end.get());
      char byte = 0;
      while (!waits) ::getppid();
      static_cast<void>(::read(go.read_end.get(), &byte, 1));
      ::_exit(0);
    }
    pidfd = UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  }
  ~Child() {
    send_signal(pidfd.get(), SIGKILL);
    ::waitpid(pid, nullptr, 0);
  }
  /// Once it is in that state.
  std::string state(char letter) const {
    std::string text;
    do text = process_state(pidfd.get());
    while (text.find(std::string("state ") + letter) == std::string::npos);
    return text;
  }
  Pipe go;
  pid_t pid;
  UniqueFd pidfd;
};

TEST(Process, ThatWaitsIsNotRunnable) {
  const Child child(true);
  EXPECT_TRUE(child.state('S').starts_with("pid " + std::to_string(child.pid) + " is in state S"));
  EXPECT_FALSE(is_runnable(child.pidfd.get()));
}

TEST(Process, ThatNeverWaitsIsRunnable) {
  const Child child(false);
  child.state('R');
  EXPECT_TRUE(is_runnable(child.pidfd.get()));
}

TEST(Process, ThatIsStoppedOrDeadIsNotRunnable) {
  const Child child(false);
  send_signal(child.pidfd.get(), SIGSTOP);
  child.state('T');
  EXPECT_FALSE(is_runnable(child.pidfd.get()));
  send_signal(child.pidfd.get(), SIGKILL);
  child.state('Z');
  EXPECT_FALSE(is_runnable(child.pidfd.get()));
}

TEST(Process, ThatIsReapedIsGone) {
  const UniqueFd pidfd = [] {
    const Child child(true);
    return UniqueFd(::dup(child.pidfd.get()));
  }();
  EXPECT_EQ(process_state(pidfd.get()), "gone");
  EXPECT_FALSE(is_runnable(pidfd.get()));
  send_signal(pidfd.get(), SIGKILL);
  send_signal(-1, SIGKILL);
}

}  // namespace
}  // namespace hatchery
