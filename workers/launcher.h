// The launcher: one small process a pool, with the pool's privileges, that starts zygotes: it
// clones them into their namespaces, maps their ids and joins them to their cgroups. The pool
// itself never forks: its address space is large, and a fork would copy descriptors that are open
// for writing (ETXTBSY). Runs in: launcher. Thread: the only one. Dies with the pool; every zygote
// dies with it.
#pragma once

namespace hatchery {

/// Serves PrepareSlot and StartSlot messages on `socket_fd` until end of file. Returns an exit
/// status.
int run_launcher(int socket_fd) noexcept;

}  // namespace hatchery
