#include "workers/selinux_label.h"

#include <fcntl.h>
#include <selinux/context.h>
#include <selinux/selinux.h>
#include <sys/stat.h>

#include <cerrno>
#include <memory>
#include <string_view>

namespace hatchery {
namespace {

struct FreeContext {
  void operator()(context_s_t* context) const { ::context_free(context); }
};
using LabelContext = std::unique_ptr<context_s_t, FreeContext>;

Error label_error(const std::string& object, std::string detail, std::string remedy) {
  return Error{.step = Step::kSelinuxLabel,
               .object = object,
               .errnum = errno,
               .detail = std::move(detail),
               .remedy = std::move(remedy)};
}

/// Null when the kernel doesn't tell.
LabelContext own_context() {
  char* own = nullptr;
  if (::getcon(&own) < 0) return nullptr;
  LabelContext context(::context_new(own));
  ::freecon(own);
  return context;
}

/// Our own context with another type, role and range; checked against the loaded policy.
Result<std::string> derived_context(const std::string& type, const char* role,
                                    const std::string& range) {
  const LabelContext context = own_context();
  if (!context) return label_error(type, "can't read the pool's own context", "");
  if (::context_type_set(context.get(), type.c_str()) != 0 ||
      (role != nullptr && ::context_role_set(context.get(), role) != 0) ||
      ::context_range_set(context.get(), range.c_str()) != 0)
    return label_error(type, "is no SELinux type", "correct selinux_type");
  const std::string text = ::context_str(context.get());
  if (::security_check_context(text.c_str()) < 0)
    return label_error(text, "the loaded policy has no such context",
                       "install a policy module with this type, or correct selinux_type");
  return text;
}

struct FreeText {
  void operator()(char* text) const { ::freecon(text); }
};
using Text = std::unique_ptr<char, FreeText>;

/// True too when the policy does not know the class or permission, or can't be asked: then the
/// kernel decides.
bool allowed(const char* source, const char* target, security_class_t object_class,
             const char* permission) {
  if (object_class == 0) return true;
  const access_vector_t bit = ::string_to_av_perm(object_class, permission);
  av_decision decision{};
  if (bit == 0 || ::security_compute_av_flags(source, target, object_class, bit, &decision) < 0)
    return true;
  return (decision.allowed & bit) != 0 || (decision.flags & SELINUX_AVD_FLAGS_PERMISSIVE) != 0 ||
         ::security_getenforce() == 0;
}

}  // namespace

bool selinux_enabled() { return ::is_selinux_enabled() == 1; }

Result<std::string> job_type(const std::string& asked) {
  if (asked != "auto" && !asked.empty()) return asked;
  if (!selinux_enabled()) return std::string();
  const LabelContext own = own_context();
  if (!own) return label_error(asked, "can't read the pool's own context", "");
  const bool confined = std::string_view(::context_type_get(own.get())) == "hatchery_t";
  if (!confined) return std::string();
  if (asked == "auto") return std::string("hatchery_job_t");
  return Error{.step = Step::kSelinuxLabel,
               .object = "hatchery_t",
               .errnum = EACCES,
               .detail = "its policy lets no job run without a type of its own",
               .remedy = "set selinux_type = \"auto\""};
}

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

Result<void> check_entry(const std::string& zygote_path, const std::string& exec_context) {
  char *own = nullptr, *file = nullptr, *zygote = nullptr;
  const security_class_t process = ::string_to_security_class("process");
  const bool known = ::getcon(&own) >= 0 && ::getfilecon(zygote_path.c_str(), &file) >= 0 &&
                     ::security_compute_create(own, file, process, &zygote) >= 0;
  const Text owned[] = {Text(own), Text(file), Text(zygote)};
  if (!known) return label_error(exec_context, "can't tell what zygotes would run as", "");
  if (zygote == exec_context || allowed(zygote, exec_context.c_str(), process, "transition"))
    return {};
  errno = EACCES;
  return label_error(exec_context,
                     "the loaded policy lets no process of " + std::string(zygote) + " enter it",
                     "label zygote and pool by deploy/selinux/install, or correct selinux_type");
}

Result<void> check_lent(const std::string& exec_context, int fd, const std::string& object) {
  char* context = nullptr;
  struct stat status {};
  if (::fstat(fd, &status) < 0 || ::fgetfilecon(fd, &context) < 0) return {};
  const Text owned(context);
  const int flags = ::fcntl(fd, F_GETFL);
  const char* writing = (flags & O_APPEND) != 0 ? "append" : "write";
  const security_class_t object_class = ::mode_to_security_class(status.st_mode);
  const bool reads = (flags & O_ACCMODE) != O_WRONLY;
  const bool writes = (flags & O_ACCMODE) != O_RDONLY;
  if ((!reads || allowed(exec_context.c_str(), context, object_class, "read")) &&
      (!writes || allowed(exec_context.c_str(), context, object_class, writing)))
    return {};
  errno = EACCES;
  return label_error(object,
                     "is labelled " + std::string(context) + ", which SELinux keeps from jobs (" +
                         exec_context + ")",
                     S_ISREG(status.st_mode)
                         ? "label it otherwise, give its contents, or setsebool "
                           "hatchery_lend_files on"
                         : "give a file, or its contents; what a shell with all categories makes "
                           "no job may have: `runcon -l s0` starts one without");
}

}  // namespace hatchery
