// Holds memory of the kind named, as much as argv[2] says in MiB, and prints how many bytes the kernel
// took: spike (for no time at all), tmpfs, cache (reads the file argv[3]), memfd, pipe, unix, tcp, udp.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static char block[65536];

static int failed(const char* what) {
  perror(what);
  return 1;
}

static long fill(int fd, long wanted, size_t at_once) {
  long total = 0;
  while (total < wanted) {
    const ssize_t wrote = write(fd, block, at_once);
    if (wrote <= 0) break;
    total += wrote;
  }
  return total;
}

static int spike(long wanted) {
  char* memory = mmap(NULL, wanted, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return failed("mmap");
  for (long at = 0; at < wanted; at += 4096) memory[at] = 1;
  munmap(memory, wanted);
  printf("%ld\n", wanted);
  return 0;
}

static int file(const char* kind, long wanted) {
  const int fd = strcmp(kind, "memfd") == 0 ? (int)syscall(SYS_memfd_create, "held", 0)
                                            : open("/w/held", O_CREAT | O_RDWR | O_TRUNC, 0600);
  if (fd < 0) return failed(kind);
  printf("%ld\n", fill(fd, wanted, sizeof block));
  return 0;
}

static int cache(long wanted, const char* path) {
  const int fd = open(path, O_RDONLY);
  if (fd < 0) return failed(path);
  long total = 0;
  ssize_t got = 0;
  while (total < wanted && (got = read(fd, block, sizeof block)) > 0) total += got;
  printf("%ld\n", total);
  return 0;
}

static int tcp_pair(int pair[2]) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t size = sizeof address;
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  if (listener < 0 || bind(listener, (struct sockaddr*)&address, size) < 0 ||
      listen(listener, 1) < 0 || getsockname(listener, (struct sockaddr*)&address, &size) < 0)
    return -1;
  pair[0] = socket(AF_INET, SOCK_STREAM, 0);
  if (pair[0] < 0 || connect(pair[0], (struct sockaddr*)&address, size) < 0) return -1;
  pair[1] = accept(listener, NULL, NULL);
  return close(listener) < 0 || pair[1] < 0 ? -1 : 0;
}

static int udp_pair(int pair[2]) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t size = sizeof address;
  pair[0] = socket(AF_INET, SOCK_DGRAM, 0);
  pair[1] = socket(AF_INET, SOCK_DGRAM, 0);
  if (pair[0] < 0 || pair[1] < 0 || bind(pair[1], (struct sockaddr*)&address, size) < 0 ||
      getsockname(pair[1], (struct sockaddr*)&address, &size) < 0)
    return -1;
  return connect(pair[0], (struct sockaddr*)&address, size);
}

// As many pairs as it takes, or as there may be. What UDP's receiver has no room for is dropped without
// a word, so 64 datagrams of 1 KiB a pair: less than the smallest buffer holds.
static int channels(const char* kind, long wanted) {
  const int udp = strcmp(kind, "udp") == 0;
  long total = 0;
  while (total < wanted) {
    int pair[2];
    const int made = strcmp(kind, "pipe") == 0   ? pipe(pair)
                     : strcmp(kind, "unix") == 0 ? socketpair(AF_UNIX, SOCK_STREAM, 0, pair)
                     : udp                       ? udp_pair(pair)
                                                 : tcp_pair(pair);
    if (made < 0) break;
    const int writer = strcmp(kind, "pipe") == 0 ? pair[1] : pair[0];
    fcntl(writer, F_SETFL, O_NONBLOCK);
    const long took = fill(writer, udp ? 64 * 1024 : wanted - total, udp ? 1024 : sizeof block);
    if (took == 0) break;
    total += took;
  }
  printf("%ld\n", total);
  return 0;
}

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const char* kind = argv[1];
  const long wanted = atol(argv[2]) << 20;
  memset(block, 'x', sizeof block);
  if (strcmp(kind, "spike") == 0) return spike(wanted);
  if (strcmp(kind, "tmpfs") == 0 || strcmp(kind, "memfd") == 0) return file(kind, wanted);
  if (strcmp(kind, "cache") == 0) return argc > 3 ? cache(wanted, argv[3]) : 2;
  return channels(kind, wanted);
}
