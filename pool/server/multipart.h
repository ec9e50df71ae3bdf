// MultipartReader: multipart/form-data (RFC 7578) as it comes, in parts of any size; memory is
// bounded whatever the body's.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "core/result.h"

namespace hatchery::server {

/// "----x" of "multipart/form-data; boundary=----x"; absent when that is no such type.
std::optional<std::string> boundary_of(std::string_view content_type);

struct PartHeaders {
  std::string name;
  std::string file_name;
};

class MultipartReader {
 public:
  using OnPart = std::function<Result<void>(const PartHeaders& headers)>;
  using OnBytes = std::function<Result<void>(std::string_view bytes)>;

  /// `on_part` begins a part, `on_bytes` brings what it holds.
  MultipartReader(const std::string& boundary, OnPart on_part, OnBytes on_bytes);
  /// Errors: kParseRequest, or one of the callbacks'.
  Result<void> write(std::string_view bytes);
  /// Whether the closing boundary has come.
  bool complete() const noexcept { return state_ == State::kEnd; }

 private:
  enum class State { kPreamble, kAfterBoundary, kHeaders, kBody, kEnd };
  /// One step with what waits; false when more must come first.
  Result<bool> step();
  Result<bool> find_boundary(bool in_part);
  Result<bool> take_headers();

  const std::string delimiter_;  ///< CRLF, "--" and the boundary.
  OnPart on_part_;
  OnBytes on_bytes_;
  State state_ = State::kPreamble;
  std::string waiting_;
};

}  // namespace hatchery::server
