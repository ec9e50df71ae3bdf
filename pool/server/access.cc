#include "pool/server/access.h"

#include <algorithm>

namespace hatchery::server {
namespace {

/// "judge.example" of "judge.example:5050", "::1" of "[::1]:80".
std::string_view without_port(std::string_view host) {
  if (host.starts_with('[')) {
    const std::size_t end = host.find(']');
    return end == std::string_view::npos ? host : host.substr(1, end - 1);
  }
  return host.substr(0, host.find(':'));
}

bool is_address(std::string_view host) {
  if (host.find(':') != std::string_view::npos) return true;  // IPv6; a name has no ':'.
  return !host.empty() && host.find_first_not_of("0123456789.") == std::string_view::npos;
}

bool is_known_host(std::string_view host, const std::vector<std::string>& hosts) {
  return is_address(host) || host == "localhost" || host.ends_with(".localhost") ||
         std::find(hosts.begin(), hosts.end(), host) != hosts.end();
}

}  // namespace

bool has_token(const HttpRequest& request, std::string_view token) {
  const std::string* given = request.header("Authorization");
  const std::string wanted = "Bearer " + std::string(token);
  if (given == nullptr || given->size() != wanted.size()) return false;
  unsigned char difference = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i)
    difference |= static_cast<unsigned char>((*given)[i] ^ wanted[i]);
  return difference == 0;
}

std::optional<std::string> stranger(const HttpRequest& request,
                                    const std::vector<std::string>& origins,
                                    const std::vector<std::string>& hosts) {
  const std::string* host = request.header("Host");
  const std::string_view name = host == nullptr ? std::string_view() : without_port(*host);
  if (!hosts.empty() && host != nullptr && !is_known_host(name, hosts))
    return "this server is not called \"" + std::string(name) +
           "\": add it to hosts, or use its address";
  const std::string* origin = request.header("Origin");
  if (origin == nullptr) return std::nullopt;
  if (std::find(origins.begin(), origins.end(), *origin) != origins.end()) return std::nullopt;
  const std::size_t scheme = origin->find("://");
  if (host != nullptr && scheme != std::string::npos && origin->substr(scheme + 3) == *host)
    return std::nullopt;
  return "a page of " + *origin + " may not use this server: add it to origins";
}

bool is_local_address(std::string_view address) {
  return address.starts_with("unix") || address.starts_with("127.") ||
         address.starts_with("[::1]") || address.starts_with("localhost");
}

}  // namespace hatchery::server
