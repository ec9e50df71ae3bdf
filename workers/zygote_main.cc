// hatchery-zygote: the small static executable behind launcher, zygotes and workers. Started by a
// pool, never by hand.
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "workers/launcher.h"

namespace {
constexpr int kSocketFd = 3;
constexpr char kUsage[] =
    "hatchery-zygote: started by a Hatchery pool, not by hand; see `hatchery --help`\n";
}  // namespace

int main() {
  int type = 0;
  socklen_t size = sizeof type;
  if (::getsockopt(kSocketFd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_SEQPACKET) {
    [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, kUsage, sizeof kUsage - 1);
    return 2;
  }
  return hatchery::run_launcher(kSocketFd);
}
