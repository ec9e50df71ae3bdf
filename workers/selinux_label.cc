#include "workers/selinux_label.h"

#include <selinux/context.h>
#include <selinux/selinux.h>

#include <cerrno>
#include <memory>

namespace hatchery {
namespace {

struct FreeContext {
  void operator()(context_s_t* context) const { ::context_free(context); }
};
using Context = std::unique_ptr<context_s_t, FreeContext>;

Error label_error(const std::string& object, std::string detail, std::string remedy) {
  return Error{.step = Step::kSelinuxLabel,
               .object = object,
               .errnum = errno,
               .detail = std::move(detail),
               .remedy = std::move(remedy)};
}

/// Our own context with another type, role and range; checked against the loaded policy.
Result<std::string> derived_context(const std::string& type, const char* role,
                                    const std::string& range) {
  char* own = nullptr;
  if (::getcon(&own) < 0) return label_error(type, "can't read the pool's own context", "");
  const Context context(::context_new(own));
  ::freecon(own);
  if (!context || ::context_type_set(context.get(), type.c_str()) != 0 ||
      (role != nullptr && ::context_role_set(context.get(), role) != 0) ||
      ::context_range_set(context.get(), range.c_str()) != 0)
    return label_error(type, "is no SELinux type", "correct selinux_type");
  const std::string text = ::context_str(context.get());
  if (::security_check_context(text.c_str()) < 0)
    return label_error(text, "the loaded policy has no such context",
                       "install a policy module with this type, or correct selinux_type");
  return text;
}

}  // namespace

bool selinux_enabled() { return ::is_selinux_enabled() == 1; }

std::string category_pair(std::uint32_t index) {
  // Row by row through the triangle low < high: high = 1 has one pair, high = 2 two, and so on.
  std::uint32_t high = 1;
  while (index >= high) index -= high++;
  return "c" + std::to_string(index) + ",c" + std::to_string(high);
}

Result<SlotLabel> slot_label(const std::string& type, std::uint32_t index) {
  if (!selinux_enabled())
    return Error{.step = Step::kSelinuxLabel,
                 .object = type,
                 .errnum = ENOTSUP,
                 .detail = "SELinux is off on this host",
                 .remedy = "leave selinux_type out, or turn SELinux on"};
  if (index >= kCategoryPairs)
    return Error{.step = Step::kSelinuxLabel,
                 .object = type,
                 .errnum = ERANGE,
                 .detail = "no category pair is left",
                 .remedy = "run fewer slots on this host"};
  const std::string range = "s0:" + category_pair(index);
  Result<std::string> exec_context = derived_context(type, nullptr, range);
  if (!exec_context) return std::move(exec_context).error();
  // Files have object_r; the type of a file is its maker's file type, container_file_t for
  // container_t.
  const std::string file_type = type.size() > 2 && type.compare(type.size() - 2, 2, "_t") == 0
                                    ? type.substr(0, type.size() - 2) + "_file_t"
                                    : type;
  Result<std::string> file_context = derived_context(file_type, "object_r", range);
  if (!file_context) return std::move(file_context).error();
  return SlotLabel{*std::move(exec_context), *std::move(file_context)};
}

}  // namespace hatchery
