// Growing a buffer by what a job wrote. A job's output may be larger than the memory that is left:
// that is the job's file error, and must not end the pool and all other jobs.
#pragma once

#include <new>
#include <string>
#include <string_view>

namespace hatchery {

/// False, and `bytes` as it was, when there is no memory for it.
inline bool try_append(std::string& bytes, std::string_view more) noexcept {
  try {
    bytes.append(more);
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

}  // namespace hatchery
