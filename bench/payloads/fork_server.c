/* The bare fork server, floor of all pools: forks for each byte that comes on descriptor 3, waits
   for the child and answers with one byte: 0, or 1 when the child failed. argv[1] is "exec" and the
   program's arguments follow, or "exit": then the child ends without an exec. */
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char** argv, char** environment) {
  if (argc < 2) return 2;
  const int exec = strcmp(argv[1], "exec") == 0;
  if (exec && argc < 3) return 2;
  char byte;
  while (recv(3, &byte, 1, 0) == 1) {
    const pid_t child = fork();
    if (child == 0) {
      if (!exec) _exit(0);
      execve(argv[2], argv + 2, environment);
      _exit(127);
    }
    int status = 1;
    if (child < 0 || waitpid(child, &status, 0) != child) status = 1;
    byte = status != 0;
    if (send(3, &byte, 1, MSG_NOSIGNAL) != 1) return 1;
  }
  return 0;
}
