// Ids that can't be guessed, and bytes in hexadecimal. Thread: any.
#pragma once

#include <cstddef>
#include <string>

#include "core/result.h"

namespace hatchery {

/// 128 bits of the kernel's in 32 lower-case hexadecimal digits: a client that wasn't told an id
/// can't guess it.
Result<std::string> random_id();

std::string hexadecimal(const unsigned char* bytes, std::size_t size);

}  // namespace hatchery
