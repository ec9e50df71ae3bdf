// Result<T>: a value or an Error. Member names follow std::expected, so that C++23 can replace it.
#pragma once

#include <optional>
#include <utility>
#include <variant>

#include "core/check.h"
#include "core/error.h"

namespace hatchery {

template <typename T>
class [[nodiscard]] Result {
 public:
  // Implicit, so that `return value;` and `return Error{...};` both read naturally.
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool has_value() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return has_value(); }

  /// Precondition: has_value().
  T& value() & {
    HATCHERY_CHECK(has_value());
    return std::get<0>(state_);
  }
  const T& value() const& {
    HATCHERY_CHECK(has_value());
    return std::get<0>(state_);
  }
  T&& value() && {
    HATCHERY_CHECK(has_value());
    return std::get<0>(std::move(state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  /// Precondition: !has_value().
  const Error& error() const& {
    HATCHERY_CHECK(!has_value());
    return std::get<1>(state_);
  }
  Error&& error() && {
    HATCHERY_CHECK(!has_value());
    return std::get<1>(std::move(state_));
  }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}

  bool has_value() const noexcept { return !error_.has_value(); }
  explicit operator bool() const noexcept { return has_value(); }

  /// Precondition: !has_value().
  const Error& error() const& {
    HATCHERY_CHECK(error_.has_value());
    return *error_;
  }
  Error&& error() && {
    HATCHERY_CHECK(error_.has_value());
    return *std::move(error_);
  }

 private:
  std::optional<Error> error_;
};

}  // namespace hatchery

/// Returns the error of `expression` from the enclosing function, if there is one.
#define HATCHERY_TRY(expression)                                 \
  do {                                                           \
    if (auto try_result = (expression); !try_result.has_value()) \
      return std::move(try_result).error();                      \
  } while (false)
