#include "pool/server/answers.h"

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "pool/utf8.h"

namespace hatchery::server {
namespace {

void add_retry_hint(HttpResponse& response) {
  if (response.status == 503 || response.status == 429)
    response.headers.push_back({"Retry-After", "1"});
}

}  // namespace

std::string json_text(std::string_view text) {
  const std::string valid = utf8_or_replaced(text);
  return boost::json::serialize(boost::json::string_view(valid));
}

HttpResponse text_response(int status, std::string text) {
  return {.status = status, .content_type = "text/plain; charset=utf-8", .body = std::move(text)};
}

HttpResponse sentence(int status, const std::string& text) {
  HttpResponse response{.status = status, .body = json_text(text) + "\n"};
  add_retry_hint(response);
  return response;
}

HttpResponse error_response(int status, const Error& error) {
  std::string body = "{\"error\":{\"step\":" + json_text(step_name(error.step)) +
                     ",\"object\":" + json_text(error.object) +
                     ",\"detail\":" + json_text(error.detail) +
                     ",\"remedy\":" + json_text(error.remedy) + ",\"errno\":";
  body += error.errnum == 0 ? "null" : json_text(errno_name(error.errnum));
  body += ",\"message\":" + json_text(error.message()) + "}}\n";
  HttpResponse response{.status = status, .body = std::move(body)};
  add_retry_hint(response);
  return response;
}

HttpResponse wrong_method(const char* allowed) {
  HttpResponse response = error_response(405, Error{.step = Step::kParseRequest,
                                                    .detail = "this path does not have that method",
                                                    .remedy = std::string("use ") + allowed});
  response.headers.push_back({"Allow", allowed});
  return response;
}

}  // namespace hatchery::server
