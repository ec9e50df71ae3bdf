// Answers that several interfaces give, in their forms. Pure.
#pragma once

#include <string>
#include <string_view>

#include "core/error.h"
#include "pool/server/http.h"

namespace hatchery::server {

/// A JSON string; what is no UTF-8 in it is replaced.
std::string json_text(std::string_view text);

HttpResponse text_response(int status, std::string text);
/// go-judge's form of an error: a JSON string. 503 has Retry-After.
HttpResponse sentence(int status, const std::string& text);
/// Ours: {"error": {"step", "object", "detail", "remedy", "errno", "message"}}.
HttpResponse error_response(int status, const Error& error);
/// 405, with what is allowed.
HttpResponse wrong_method(const char* allowed);

}  // namespace hatchery::server
