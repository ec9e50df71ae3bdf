#include "pool/server/multipart.h"

#include <algorithm>
#include <cctype>

namespace hatchery::server {
namespace {

constexpr std::size_t kHeadersMax = 16 << 10;
constexpr std::size_t kBoundaryMax = 70;  // RFC 2046.

Error malformed(std::string what) {
  return Error{.step = Step::kParseRequest,
               .object = "form",
               .detail = std::move(what),
               .remedy = "send multipart/form-data with one field called \"file\""};
}

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

/// The value of `key` among "; key=value; key=\"value\"".
std::optional<std::string> parameter(std::string_view text, std::string_view key) {
  for (std::size_t at = text.find(';'); at != std::string_view::npos;) {
    ++at;
    while (at < text.size() && (text[at] == ' ' || text[at] == '\t')) ++at;
    const std::size_t equals = text.find('=', at);
    if (equals == std::string_view::npos) return std::nullopt;
    const std::string name = lower(text.substr(at, equals - at));
    std::string value;
    at = equals + 1;
    if (at < text.size() && text[at] == '"') {
      for (++at; at < text.size() && text[at] != '"'; ++at) {
        if (text[at] == '\\' && at + 1 < text.size()) ++at;
        value += text[at];
      }
      at = text.find(';', at);
    } else {
      const std::size_t end = std::min(text.find(';', at), text.size());
      value = text.substr(at, end - at);
      while (!value.empty() && value.back() == ' ') value.pop_back();
      at = end < text.size() ? end : std::string_view::npos;
    }
    if (name == key) return value;
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> boundary_of(std::string_view content_type) {
  if (!lower(content_type).starts_with("multipart/form-data")) return std::nullopt;
  std::optional<std::string> boundary = parameter(content_type, "boundary");
  if (!boundary || boundary->empty() || boundary->size() > kBoundaryMax) return std::nullopt;
  return boundary;
}

MultipartReader::MultipartReader(const std::string& boundary, OnPart on_part, OnBytes on_bytes)
    : delimiter_("\r\n--" + boundary),
      on_part_(std::move(on_part)),
      on_bytes_(std::move(on_bytes)),
      waiting_("\r\n") {}  // The first boundary may stand at the very start.

Result<void> MultipartReader::write(std::string_view bytes) {
  waiting_ += bytes;
  for (;;) {
    Result<bool> more = step();
    if (!more) return std::move(more).error();
    if (!*more) return {};
  }
}

Result<bool> MultipartReader::step() {
  switch (state_) {
    case State::kPreamble: return find_boundary(false);
    case State::kBody: return find_boundary(true);
    case State::kAfterBoundary:
      if (waiting_.size() < 2) return false;
      if (waiting_.starts_with("--")) {
        state_ = State::kEnd;
      } else if (waiting_.starts_with("\r\n")) {
        waiting_.erase(0, 2);
        state_ = State::kHeaders;
      } else {
        return malformed("there is something after a boundary");
      }
      return true;
    case State::kHeaders: return take_headers();
    case State::kEnd: waiting_.clear(); return false;
  }
  return false;
}

Result<bool> MultipartReader::find_boundary(bool in_part) {
  const std::size_t found = waiting_.find(delimiter_);
  // A boundary may be cut off at the end of what is here.
  const std::size_t certain =
      found != std::string::npos
          ? found
          : waiting_.size() - std::min(waiting_.size(), delimiter_.size() - 1);
  if (in_part && certain > 0)
    HATCHERY_TRY(on_bytes_(std::string_view(waiting_).substr(0, certain)));
  waiting_.erase(0, certain);
  if (found == std::string::npos) return false;
  waiting_.erase(0, delimiter_.size());
  state_ = State::kAfterBoundary;
  return true;
}

Result<bool> MultipartReader::take_headers() {
  const bool none = waiting_.starts_with("\r\n");
  const std::size_t end = none ? 0 : waiting_.find("\r\n\r\n");
  if (end == std::string::npos) {
    if (waiting_.size() > kHeadersMax) return malformed("the headers of a part are too large");
    return false;
  }
  PartHeaders headers;
  for (std::size_t start = 0; start < end;) {
    const std::size_t line_end = std::min(waiting_.find("\r\n", start), end);
    const std::string_view line = std::string_view(waiting_).substr(start, line_end - start);
    if (lower(line).starts_with("content-disposition:")) {
      headers.name = parameter(line, "name").value_or("");
      headers.file_name = parameter(line, "filename").value_or("");
    }
    start = line_end + 2;
  }
  waiting_.erase(0, none ? 2 : end + 4);
  state_ = State::kBody;
  HATCHERY_TRY(on_part_(headers));
  return true;
}

}  // namespace hatchery::server
