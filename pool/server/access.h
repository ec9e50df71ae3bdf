// Who may speak to the server: tokens, and what a browser on a stranger's page must not do. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pool/server/http.h"

namespace hatchery::server {

/// "Bearer TOKEN" and nothing else, in time that does not tell how much of it was right.
bool has_token(const HttpRequest& request, std::string_view token);

/// Why a browser's request is refused: a page of another origin sent it, or one whose name was made
/// to lead here. Absent: it is not. `hosts`: names the server may have; empty: any.
std::optional<std::string> stranger(const HttpRequest& request,
                                    const std::vector<std::string>& origins,
                                    const std::vector<std::string>& hosts);

/// Whether "127.0.0.1:5050", "[::1]:5050" or "unix:/path" can only be reached from this host.
bool is_local_address(std::string_view address);

}  // namespace hatchery::server
