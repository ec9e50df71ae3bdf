// Pipe: both ends of one, for tests.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <string>

#include "core/check.h"
#include "core/fd.h"

namespace hatchery {

struct Pipe {
  Pipe() {
    int ends[2];
    HATCHERY_CHECK(::pipe2(ends, O_CLOEXEC) == 0);
    read_end = UniqueFd(ends[0]);
    write_end = UniqueFd(ends[1]);
  }
  /// So many bytes, or fewer at the end.
  std::string read(std::size_t size) const {
    std::string bytes(size, 0);
    for (std::size_t done = 0; done < size;) {
      const ssize_t got = ::read(read_end.get(), bytes.data() + done, size - done);
      if (got <= 0) return bytes.substr(0, done);
      done += static_cast<std::size_t>(got);
    }
    return bytes;
  }
  UniqueFd read_end, write_end;
};

}  // namespace hatchery
