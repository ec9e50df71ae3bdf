// A job in JSON, as a line of a batch; and base64, both ways.
#include "core/check.h"
#include "pool/job_json.h"
#include "pool/limits.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace hatchery;
  const std::string_view text = fuzz::text_of(data, size);
  const Result<JobSpec> job = job_from_json(text, "fuzz");
  HATCHERY_CHECK(job.has_value() || !job.error().message().empty());
  const Result<std::string> back = base64_decode(base64_encode(text));
  HATCHERY_CHECK(back.has_value() && *back == text);
  const Result<std::string> bytes = base64_decode(text);
  HATCHERY_CHECK(!bytes || base64_encode(*bytes).size() >= bytes->size());
  return 0;
}
