// A job in JSON, as a line of a batch: an error, or a plan that a worker accepts; and base64, both
// ways.
#include "core/check.h"
#include "pool/job_json.h"
#include "pool/job_plan.h"
#include "pool/limits.h"
#include "tests/fuzz/fuzz.h"
#include "workers/plan_check.h"

namespace {

using namespace hatchery;

void plan(JobSpec spec) {
  static const Profile profile = default_profile();
  for (const int number : {0, 1, 2}) spec.fds.try_emplace(number, NullStream{});
  const Result<Limits> limits = effective_limits(spec.limits, profile);
  if (!validate_job(spec) || !limits) return;
  EncodedJob job = encode_job(spec, profile, *limits);
  protocol::FdEntry entries[protocol::kFdsMax];
  HATCHERY_CHECK(plan_check::prepare_body(job.header, job.body.data(), 0, entries) == -1);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = fuzz::text_of(data, size);
  Result<JobSpec> job = job_from_json(text, "fuzz");
  HATCHERY_CHECK(job.has_value() || !job.error().message().empty());
  if (job) plan(*std::move(job));
  const Result<std::string> back = base64_decode(base64_encode(text));
  HATCHERY_CHECK(back.has_value() && *back == text);
  const Result<std::string> bytes = base64_decode(text);
  HATCHERY_CHECK(!bytes || base64_encode(*bytes).size() >= bytes->size());
  return 0;
}
