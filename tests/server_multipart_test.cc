#include <gtest/gtest.h>

#include <vector>

#include "pool/server/multipart.h"

namespace hatchery::server {
namespace {

struct Part {
  std::string name;
  std::string file_name;
  std::string bytes;
  bool operator==(const Part&) const = default;
};

struct Form {
  std::vector<Part> parts = {};
  bool complete = false;
  bool failed = false;
};

/// `body` in pieces of `size` bytes.
Form read(const std::string& body, std::size_t size) {
  Form form;
  MultipartReader reader(
      "BOUND",
      [&](const PartHeaders& headers) -> Result<void> {
        form.parts.push_back({headers.name, headers.file_name, ""});
        return {};
      },
      [&](std::string_view bytes) -> Result<void> {
        form.parts.back().bytes += bytes;
        return {};
      });
  for (std::size_t at = 0; at < body.size() && !form.failed; at += size)
    form.failed = !reader.write(std::string_view(body).substr(at, size)).has_value();
  form.complete = reader.complete();
  return form;
}

TEST(Multipart, IsReadTheSameInPiecesOfAnySize) {
  const std::string tricky = std::string("\r\n--BOUN\0\r\n--", 13) + "\r\r\n-";
  const std::string body =
      "preamble\r\n--BOUND\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n" + tricky +
      "\r\n--BOUND\r\ncontent-disposition: form-data; name=file; filename=\"x \\\"y\\\".c\"\r\n"
      "Content-Type: text/plain\r\n\r\n\r\n--BOUND--\r\nepilogue";
  const std::vector<Part> wanted = {{"a", "", tricky}, {"file", "x \"y\".c", ""}};
  for (std::size_t size = 1; size <= body.size(); ++size) {
    const Form form = read(body, size);
    EXPECT_FALSE(form.failed) << size;
    EXPECT_TRUE(form.complete) << size;
    EXPECT_EQ(form.parts, wanted) << size;
  }
}

TEST(Multipart, IsNotCompleteWhenItIsCutOff) {
  const std::string body =
      "--BOUND\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx\r\n--BOUND--";
  EXPECT_TRUE(read(body, 7).complete);
  for (std::size_t size = 0; size < body.size(); ++size)
    EXPECT_FALSE(read(body.substr(0, size), 7).complete) << size;
}

TEST(Multipart, RefusesHeadersWithoutAnEnd) {
  EXPECT_TRUE(read("--BOUND\r\n" + std::string(100'000, 'x'), 1000).failed);
  EXPECT_TRUE(read("--BOUND????", 3).failed);
}

TEST(Multipart, FindsTheBoundaryInTheContentType) {
  EXPECT_EQ(boundary_of("multipart/form-data; boundary=x"), "x");
  EXPECT_EQ(boundary_of("Multipart/Form-Data; charset=utf-8; Boundary=\"a b\""), "a b");
  for (const char* none : {"", "text/plain", "multipart/form-data",
                           "multipart/form-data; boundary=", "multipart/form-data; boundary=\"\""})
    EXPECT_EQ(boundary_of(none), std::nullopt) << none;
  EXPECT_EQ(boundary_of("multipart/form-data; boundary=" + std::string(71, 'x')), std::nullopt);
}

}  // namespace
}  // namespace hatchery::server
