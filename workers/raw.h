// Thin helpers over raw system calls for the launcher, zygote and worker: nothing here allocates,
// locks or throws, so all of it may run after clone3. Results are ≥ 0, or −1 with errno.
#pragma once

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "workers/protocol.h"

namespace hatchery::raw {

template <typename T>
long in_register(T value) noexcept {
  if constexpr (std::is_pointer_v<T>)
    return reinterpret_cast<long>(value);
  else
    return static_cast<long>(value);
}
inline long in_register(std::nullptr_t) noexcept { return 0; }

/// syscall(2), in place, and with −errno for an error: a worker faults in each 64 KiB of code that
/// it calls, and what the C library has is spread over half a megabyte.
template <typename... Args>
inline long direct(long number, Args... args) noexcept {
#ifdef __x86_64__
  static_assert(sizeof...(args) <= 6);
  const long all[6] = {in_register(args)...};
  register long fourth __asm__("r10") = all[3];
  register long fifth __asm__("r8") = all[4];
  register long sixth __asm__("r9") = all[5];
  long result = number;
  __asm__ volatile("syscall"
                   : "+a"(result)
                   : "D"(all[0]), "S"(all[1]), "d"(all[2]), "r"(fourth), "r"(fifth), "r"(sixth)
                   : "rcx", "r11", "memory");
  return result;
#else
  const long result = ::syscall(number, in_register(args)...);
  return result < 0 ? -errno : result;
#endif
}

/// The same with −1 and errno, which is on a page that zygote and worker share until one writes.
template <typename... Args>
inline long call(long number, Args... args) noexcept {
  const long result = direct(number, args...);
  if (result >= 0 || result < -4095) [[likely]]
    return result;
  errno = static_cast<int>(-result);
  return -1;
}

[[noreturn]] inline void exit(int status) noexcept {
  for (;;) call(SYS_exit_group, status);
}

inline std::int64_t in_ns(const timespec& time) noexcept {
  return time.tv_sec * 1'000'000'000LL + time.tv_nsec;
}

inline std::int64_t monotonic_ns() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return in_ns(now);
}

/// The same without the vDSO: a new process faults in its code and its data.
inline std::int64_t monotonic_ns_by_call() noexcept {
  timespec now{};
  call(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
  return in_ns(now);
}

/// What errno says of `step`.
inline protocol::Failure failed(Step step, int index = -1) noexcept {
  return {step, static_cast<std::int16_t>(index), errno};
}

inline long clone3(clone_args& args) noexcept { return call(SYS_clone3, &args, sizeof args); }

/// `flags`: SECCOMP_FILTER_FLAG_NEW_LISTENER returns the listener.
inline long load_filter(const sock_filter* filter, std::uint32_t count, unsigned flags) noexcept {
  const sock_fprog program{static_cast<unsigned short>(count), const_cast<sock_filter*>(filter)};
  return call(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

/// Whether the kernel knows what a filter can answer, SECCOMP_RET_*.
inline bool knows_filter_action(std::uint32_t action) noexcept {
  return ::syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

/// What a filter's listener has to tell. ENOENT: the caller died meanwhile.
inline int receive_notification(int listener_fd, seccomp_notif& notification) noexcept {
  notification = {};
  return ::ioctl(listener_fd, SECCOMP_IOCTL_NOTIF_RECV, &notification);
}

/// Opens `path` as who has `root_fd` for its root would, links and all, never leaving it.
inline int open_in_root(int root_fd, const char* path, std::uint64_t flags) noexcept {
  while (*path == '/') ++path;
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  return static_cast<int>(
      ::syscall(SYS_openat2, root_fd, *path == '\0' ? "." : path, &how, sizeof how));
}

/// The same under the lowest free number from `base` on; `fd` is closed, whatever comes of it.
inline int move_up(int fd, int base) noexcept {
  const long moved = call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, base);
  const int saved_errno = errno;
  call(SYS_close, fd);
  errno = saved_errno;
  return static_cast<int>(moved);
}

/// dup2(2), which not every architecture has.
inline int dup2(int from, int to) noexcept {
#ifdef SYS_dup2
  return static_cast<int>(call(SYS_dup2, from, to));
#else
  return from == to ? to : static_cast<int>(call(SYS_dup3, from, to, 0));
#endif
}

/// Writes a whole short text to a path below `dir_fd`.
inline int write_file(int dir_fd, const char* path, const char* text, std::size_t size) noexcept {
  const int fd = ::openat(dir_fd, path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  const ssize_t written = ::write(fd, text, size);
  const int saved_errno = errno;
  ::close(fd);
  errno = saved_errno;
  return written == static_cast<ssize_t>(size) ? 0 : -1;
}

/// Sends one datagram, of all parts, with descriptors (kFdsMax at most). Never raises SIGPIPE.
inline ssize_t send_parts(int socket_fd, iovec* parts, std::size_t parts_count, const int* fds,
                          std::size_t fds_count) noexcept {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * protocol::kFdsMax)];
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = parts_count;
  if (fds_count > 0) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * fds_count);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * fds_count);
    for (std::size_t i = 0; i < fds_count; ++i)
      std::memcpy(CMSG_DATA(header) + i * sizeof(int), fds + i, sizeof(int));
  }
  ssize_t sent = 0;
  do {
    sent = call(SYS_sendmsg, socket_fd, &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent;
}

inline ssize_t send_message(int socket_fd, const void* bytes, std::size_t size, const int* fds,
                            std::size_t fds_count) noexcept {
  iovec part{const_cast<void*>(bytes), size};
  return send_parts(socket_fd, &part, 1, fds, fds_count);
}

/// Receives one datagram into `parts`; descriptors (close-on-exec) go to fds[0..*fds_count).
/// Returns its size, 0 at end of file; a cut-off message is EMSGSIZE.
inline ssize_t receive_message(int socket_fd, iovec* parts, std::size_t parts_count, int* fds,
                               std::size_t fds_max, std::size_t* fds_count) noexcept {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * protocol::kFdsMax)];
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = parts_count;
  message.msg_control = control;
  // Not CMSG_SPACE, whose padding has room for a descriptor more when their number is odd.
  message.msg_controllen = CMSG_LEN(sizeof(int) * fds_max);
  *fds_count = 0;
  ssize_t size = 0;
  do {
    size = call(SYS_recvmsg, socket_fd, &message, MSG_CMSG_CLOEXEC);
  } while (size < 0 && errno == EINTR);
  if (size < 0) return size;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i)
      std::memcpy(fds + i, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
    *fds_count = count;
  }
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
    errno = EMSGSIZE;
    return -1;
  }
  return size;
}

}  // namespace hatchery::raw
