// Tries what sockets there are, and who can be reached through them.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void say(long result) { printf("%s\n", result < 0 ? strerrorname_np(errno) : "ok"); }

/// The numbers of which there are sockets, or would be with other arguments.
static void sweep(int from, int to, int (*make)(int)) {
  for (int i = from; i <= to; ++i) {
    const int fd = make(i);
    if (fd >= 0 || (errno != EPERM && errno != EAFNOSUPPORT)) printf("%d ", i);
    if (fd >= 0) close(fd);
  }
  printf("\n");
}
static int of_family(int family) { return socket(family, SOCK_STREAM, 0); }
static int of_netlink(int protocol) { return socket(AF_NETLINK, SOCK_RAW, protocol); }
static int of_type(int type) { return socket(AF_INET, type, 0); }
static int of_protocol(int protocol) { return socket(AF_INET, SOCK_STREAM, protocol); }
static int of_datagram(int protocol) { return socket(AF_INET6, SOCK_DGRAM, protocol); }
static int of_pair(int family) {
  int pair[2];
  if (socketpair(family, SOCK_STREAM, 0, pair) < 0) return -1;
  close(pair[1]);
  return pair[0];
}

static long connect_to(const char *address, int port, int type) {
  struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
  struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((unsigned short)port)};
  if (inet_pton(AF_INET, address, &v4.sin_addr) == 1)
    return connect(socket(AF_INET, type, 0), (struct sockaddr *)&v4, sizeof v4);
  inet_pton(AF_INET6, address, &v6.sin6_addr);
  return connect(socket(AF_INET6, type, 0), (struct sockaddr *)&v6, sizeof v6);
}
static long connect_abstract(const char *name) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strncpy(address.sun_path + 1, name, sizeof address.sun_path - 2);
  return connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&address,
                 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name)));
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  if (!strcmp(what, "families")) sweep(0, 63, of_family);
  else if (!strcmp(what, "netlinks")) sweep(0, 31, of_netlink);
  else if (!strcmp(what, "types")) sweep(0, 15, of_type);
  else if (!strcmp(what, "protocols")) sweep(0, 300, of_protocol);
  else if (!strcmp(what, "datagrams")) sweep(0, 300, of_datagram);
  else if (!strcmp(what, "pairs")) sweep(0, 63, of_pair);
  else if (!strcmp(what, "tcp")) say(connect_to(argv[2], atoi(argv[3]), SOCK_STREAM));
  else if (!strcmp(what, "udp")) say(connect_to(argv[2], atoi(argv[3]), SOCK_DGRAM));
  else if (!strcmp(what, "abstract")) say(connect_abstract(argv[2]));
  return 0;
}
