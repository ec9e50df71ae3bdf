// Which host files a client may name.
#pragma once

#include <string>
#include <vector>

namespace hatchery::server {

/// `path` with its symlinks resolved, once, so that what was checked is what is opened; "" when it
/// does not exist, or is neither one of `prefixes` nor below one. They are resolved already.
std::string path_below(const std::string& path, const std::vector<std::string>& prefixes);

}  // namespace hatchery::server
