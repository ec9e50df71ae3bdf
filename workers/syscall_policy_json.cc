// Reads the OCI runtime spec's "linux.seccomp" object, and the profile files of Docker and Podman,
// which add archMap, includes and excludes to it. Whatever can't be honoured is an error: a rule
// that is passed over is a hole.
#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <cstdio>
#include <cstring>
#include <optional>
#include <utility>

#include "workers/syscall_policy.h"

namespace hatchery {
namespace {

namespace json = boost::json;

constexpr int kErrnoMax = 4095;  // MAX_ERRNO of the kernel: what a filter can return.

#if defined(__x86_64__)
constexpr const char* kNativeArchitecture = "SCMP_ARCH_X86_64";
constexpr const char* kNativeDockerName = "amd64";
#elif defined(__aarch64__)
constexpr const char* kNativeArchitecture = "SCMP_ARCH_AARCH64";
constexpr const char* kNativeDockerName = "arm64";
#else
#error "name this architecture as the OCI runtime spec and Docker do"
#endif

template <typename Value>
struct Word {
  const char* text;
  Value value;
};

constexpr std::array kActions{Word<SyscallAction>{"SCMP_ACT_ALLOW", SyscallAction::kAllow},
                              Word<SyscallAction>{"SCMP_ACT_ERRNO", SyscallAction::kErrno},
                              Word<SyscallAction>{"SCMP_ACT_KILL", SyscallAction::kKill},
                              Word<SyscallAction>{"SCMP_ACT_KILL_THREAD", SyscallAction::kKill},
                              Word<SyscallAction>{"SCMP_ACT_KILL_PROCESS", SyscallAction::kKill},
                              Word<SyscallAction>{"SCMP_ACT_TRAP", SyscallAction::kTrap},
                              Word<SyscallAction>{"SCMP_ACT_LOG", SyscallAction::kLog}};

constexpr std::array kCompares{Word<ArgCompare>{"SCMP_CMP_NE", ArgCompare::kNotEqual},
                               Word<ArgCompare>{"SCMP_CMP_LT", ArgCompare::kLess},
                               Word<ArgCompare>{"SCMP_CMP_LE", ArgCompare::kLessEqual},
                               Word<ArgCompare>{"SCMP_CMP_EQ", ArgCompare::kEqual},
                               Word<ArgCompare>{"SCMP_CMP_GE", ArgCompare::kGreaterEqual},
                               Word<ArgCompare>{"SCMP_CMP_GT", ArgCompare::kGreater},
                               Word<ArgCompare>{"SCMP_CMP_MASKED_EQ", ArgCompare::kMaskedEqual}};

template <typename Words>
std::string list_of(const Words& words) {
  std::string list;
  for (const auto& word : words) {
    if (!list.empty()) list += ", ";
    list += word.text;
  }
  return list;
}

/// 0 for a name that no errno has.
int errno_of(std::string_view name) {
  for (int number = 1; number < 134; ++number) {
    const char* known = ::strerrorname_np(number);
    if (known != nullptr && name == known) return number;
  }
  return 0;
}

struct KernelVersion {
  unsigned major = 0;
  unsigned minor = 0;
  auto operator<=>(const KernelVersion&) const = default;
};

std::optional<KernelVersion> parse_version(const char* text) {
  KernelVersion version;
  if (std::sscanf(text, "%u.%u", &version.major, &version.minor) != 2) return std::nullopt;
  return version;
}

/// Reads one document; the first error ends the reading. Paths are as in "syscalls[3].args[0].op".
class PolicyReader {
 public:
  explicit PolicyReader(const std::string& file_name) : file_name_(file_name) {}
  Result<SyscallPolicy> read(std::string_view text);

 private:
  void read_document(const json::object& object);
  void read_architectures(const json::object& object);
  void read_arch_map(const json::value& value);
  void read_flags(const json::value& value);
  void read_rule(const json::object& object, const std::string& path);
  ArgRule read_arg(const json::object& object, const std::string& path);
  bool condition_holds(const json::object& object, const std::string& path, bool included);
  SyscallAction read_action(const json::value& value, const std::string& path);
  void read_errno(const json::object& object, const std::string& path, const char* number_key,
                  const char* name_key, int& errnum);

  std::string text(const json::value& value, const std::string& path);
  std::vector<std::string> texts(const json::value& value, const std::string& path);
  std::uint64_t number(const json::value& value, const std::string& path, std::uint64_t max);
  /// Empty, and an error, when `value` is no object or has a key that is not in `known`.
  json::object object(const json::value& value, const std::string& path,
                      std::initializer_list<std::string_view> known);
  json::array array(const json::value& value, const std::string& path);
  template <typename Words>
  auto word(const json::value& value, const std::string& path, const Words& words, const char* what)
      -> decltype(words.front().value);
  void fail(const std::string& path, std::string detail, std::string remedy);
  bool failed() const { return error_.has_value(); }

  const std::string& file_name_;
  SyscallPolicy policy_;
  std::optional<Error> error_;
};

void PolicyReader::fail(const std::string& path, std::string detail, std::string remedy) {
  if (error_) return;
  error_ = Error{.step = Step::kParsePolicy,
                 .object = path.empty() ? file_name_ : file_name_ + ": " + path,
                 .detail = std::move(detail),
                 .remedy = std::move(remedy)};
}

std::string PolicyReader::text(const json::value& value, const std::string& path) {
  if (const json::string* string = value.if_string()) return std::string(*string);
  fail(path, "is no string", "write it in quotes");
  return {};
}

json::array PolicyReader::array(const json::value& value, const std::string& path) {
  if (value.is_null()) return {};  // As Go programs write an empty list.
  if (const json::array* items = value.if_array()) return *items;
  fail(path, "is no list", "write it as [...]");
  return {};
}

std::vector<std::string> PolicyReader::texts(const json::value& value, const std::string& path) {
  std::vector<std::string> out;
  for (const json::value& item : array(value, path))
    out.push_back(text(item, path + '[' + std::to_string(out.size()) + ']'));
  return out;
}

std::uint64_t PolicyReader::number(const json::value& value, const std::string& path,
                                   std::uint64_t max) {
  boost::system::error_code error;
  const auto read = value.to_number<std::uint64_t>(error);
  if (!error && read <= max) return read;
  fail(path, "is no whole number from 0 to " + std::to_string(max), "correct it");
  return 0;
}

json::object PolicyReader::object(const json::value& value, const std::string& path,
                                  std::initializer_list<std::string_view> known) {
  const json::object* found = value.if_object();
  if (found == nullptr) {
    fail(path, "is no object", "write it as {...}");
    return {};
  }
  std::string list;
  for (const std::string_view key : known) {
    if (!list.empty()) list += ", ";
    list += key;
  }
  for (const auto& [key, ignored] : *found) {
    if (std::find(known.begin(), known.end(), std::string_view(key)) != known.end()) continue;
    fail(path.empty() ? std::string(key) : path + '.' + std::string(key), "is no known key",
         "give one of: " + list);
    return {};
  }
  return *found;
}

template <typename Words>
auto PolicyReader::word(const json::value& value, const std::string& path, const Words& words,
                        const char* what) -> decltype(words.front().value) {
  const std::string given = text(value, path);
  const auto found = std::find_if(words.begin(), words.end(),
                                  [&](const auto& known) { return given == known.text; });
  if (found != words.end()) return found->value;
  fail(path, "'" + given + "' is no " + what + " that a job can have",
       "give one of: " + list_of(words));
  return words.front().value;
}

SyscallAction PolicyReader::read_action(const json::value& value, const std::string& path) {
  return word(value, path, kActions, "action");
}

void PolicyReader::read_errno(const json::object& object, const std::string& path,
                              const char* number_key, const char* name_key, int& errnum) {
  if (const json::value* value = object.if_contains(number_key)) {
    errnum = static_cast<int>(number(*value, path + number_key, kErrnoMax));
    return;
  }
  const json::value* value = object.if_contains(name_key);
  if (value == nullptr) return;
  const std::string name = text(*value, path + name_key);
  if (name.empty()) return;
  errnum = errno_of(name);
  if (errnum == 0)
    fail(path + name_key, "'" + name + "' is no errno",
         "give a name as EPERM, or " + std::string(number_key));
}

ArgRule PolicyReader::read_arg(const json::object& object, const std::string& path) {
  ArgRule arg;
  const json::value* index = object.if_contains("index");
  const json::value* value = object.if_contains("value");
  const json::value* op = object.if_contains("op");
  if (index == nullptr || value == nullptr || op == nullptr) {
    fail(path, "lacks index, value or op", "give all three");
    return arg;
  }
  arg.index = static_cast<std::uint32_t>(number(*index, path + ".index", 5));
  arg.value = number(*value, path + ".value", UINT64_MAX);
  if (const json::value* two = object.if_contains("valueTwo"))
    arg.value_two = number(*two, path + ".valueTwo", UINT64_MAX);
  arg.compare = word(*op, path + ".op", kCompares, "comparison");
  return arg;
}

/// Of "includes" and "excludes" as Docker applies them, for a process without capabilities on this
/// machine: whether the rule stays.
bool PolicyReader::condition_holds(const json::object& object, const std::string& path,
                                   bool included) {
  bool holds = true;
  if (const json::value* caps = object.if_contains("caps"))
    holds &= texts(*caps, path + ".caps").empty() || !included;
  if (const json::value* value = object.if_contains("arches")) {
    const std::vector<std::string> arches = texts(*value, path + ".arches");
    const bool listed = std::find(arches.begin(), arches.end(), kNativeDockerName) != arches.end();
    holds &= arches.empty() || listed == included;
  }
  if (const json::value* value = object.if_contains("minKernel")) {
    const std::string wanted = text(*value, path + ".minKernel");
    utsname names{};
    ::uname(&names);
    const std::optional<KernelVersion> least = parse_version(wanted.c_str());
    const std::optional<KernelVersion> running = parse_version(names.release);
    if (!wanted.empty() && !least)
      fail(path + ".minKernel", "'" + wanted + "' is no kernel version", "write it as 4.8");
    if (least && running) holds &= (*running >= *least) == included;
  }
  return holds;
}

void PolicyReader::read_rule(const json::object& object, const std::string& path) {
  SyscallRule rule;
  const json::value* action = object.if_contains("action");
  if (action == nullptr) return fail(path, "has no action", "give one");
  rule.action = read_action(*action, path + ".action");
  if (const json::value* names = object.if_contains("names"))
    rule.names = texts(*names, path + ".names");
  if (const json::value* name = object.if_contains("name"))
    rule.names.push_back(text(*name, path + ".name"));
  if (rule.names.empty()) return fail(path, "names no call", "give names");
  rule.errnum = policy_.default_errnum;
  read_errno(object, path + '.', "errnoRet", "errno", rule.errnum);
  if (const json::value* value = object.if_contains("args")) {
    for (const json::value& item : array(*value, path + ".args")) {
      const std::string at = path + ".args[" + std::to_string(rule.args.size()) + ']';
      rule.args.push_back(
          read_arg(this->object(item, at, {"index", "value", "valueTwo", "op"}), at));
    }
  }
  bool stays = true;
  for (const bool included : {true, false}) {
    const char* key = included ? "includes" : "excludes";
    if (const json::value* value = object.if_contains(key)) {
      const std::string at = path + '.' + key;
      stays &=
          condition_holds(this->object(*value, at, {"caps", "arches", "minKernel"}), at, included);
    }
  }
  if (stays) policy_.rules.push_back(std::move(rule));
}

void PolicyReader::read_arch_map(const json::value& value) {
  std::size_t index = 0;
  for (const json::value& item : array(value, "archMap")) {
    const std::string path = "archMap[" + std::to_string(index++) + ']';
    const json::object entry = object(item, path, {"architecture", "subArchitectures"});
    const json::value* name = entry.if_contains("architecture");
    if (name == nullptr) return fail(path, "has no architecture", "give one");
    if (text(*name, path + ".architecture") != kNativeArchitecture) continue;
    policy_.architectures.emplace_back(kNativeArchitecture);
    const json::value* more = entry.if_contains("subArchitectures");
    if (more == nullptr) continue;
    for (std::string& architecture : texts(*more, path + ".subArchitectures"))
      policy_.architectures.push_back(std::move(architecture));
  }
}

void PolicyReader::read_architectures(const json::object& object) {
  const json::value* plain = object.if_contains("architectures");
  const json::value* map = object.if_contains("archMap");
  if (plain != nullptr) policy_.architectures = texts(*plain, "architectures");
  if (map == nullptr) return;
  if (!policy_.architectures.empty())
    return fail("archMap", "is given beside architectures", "leave one of them out");
  read_arch_map(*map);
}

void PolicyReader::read_flags(const json::value& value) {
  // TSYNC and WAIT_KILLABLE_RECV say how a filter is loaded, which is Hatchery's affair; without
  // SPEC_ALLOW a job is slower, not less safe.
  for (const std::string& flag : texts(value, "flags"))
    if (flag != "SECCOMP_FILTER_FLAG_TSYNC" && flag != "SECCOMP_FILTER_FLAG_SPEC_ALLOW" &&
        flag != "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV")
      fail("flags", "'" + flag + "' can't be honoured", "leave it out");
}

void PolicyReader::read_document(const json::object& object) {
  const json::value* action = object.if_contains("defaultAction");
  if (action == nullptr)
    return fail("defaultAction", "is missing", "give one of: " + list_of(kActions));
  policy_.default_action = read_action(*action, "defaultAction");
  read_errno(object, "", "defaultErrnoRet", "defaultErrno", policy_.default_errnum);
  read_architectures(object);
  if (const json::value* flags = object.if_contains("flags")) read_flags(*flags);
  const json::value* calls = object.if_contains("syscalls");
  if (calls == nullptr) return;
  std::size_t index = 0;
  for (const json::value& item : array(*calls, "syscalls")) {
    const std::string path = "syscalls[" + std::to_string(index++) + ']';
    const json::object rule = this->object(item, path,
                                           {"names", "name", "action", "errnoRet", "errno", "args",
                                            "comment", "includes", "excludes"});
    if (!failed()) read_rule(rule, path);
  }
}

Result<SyscallPolicy> PolicyReader::read(std::string_view text) {
  boost::system::error_code error;
  json::parse_options options;
  options.max_depth = 16;
  const json::value document = json::parse({text.data(), text.size()}, error, {}, options);
  if (error) {
    fail("", "is no JSON: " + error.message(), "give a file as Docker and Podman take it");
  } else {
    const json::object root = object(document, "",
                                     {"defaultAction", "defaultErrnoRet", "defaultErrno",
                                      "architectures", "archMap", "flags", "syscalls"});
    if (!failed()) read_document(root);
  }
  if (error_) return *std::move(error_);
  return std::move(policy_);
}

}  // namespace

Result<SyscallPolicy> syscall_policy_from_json(std::string_view json,
                                               const std::string& file_name) {
  return PolicyReader(file_name).read(json);
}

}  // namespace hatchery
