// The life of a slot: started by the launcher, parked, ready. Its end: loop_slot_end.cc.
#include <fcntl.h>
#include <linux/membarrier.h>
#include <signal.h>
#include <sys/syscall.h>

#include <algorithm>
#include <utility>

#include "core/process.h"
#include "pool/loop.h"
#include "pool/nearest_name.h"
#include "pool/slot_plan.h"
#include "workers/raw.h"
#include "workers/selinux_label.h"

namespace hatchery {
namespace {

/// Its own objects of a job that just ended, which the kernel frees some RCU grace periods later.
constexpr std::uint64_t kKernelFreesLater = 1280ULL << 10;
/// What the kernel charges ahead of use on each CPU: 64 pages (MEMCG_CHARGE_BATCH).
constexpr std::uint64_t kChargedAhead = 256ULL << 10;
/// A slot has run on so many CPUs lately: those of its home and of a job's own few processes.
constexpr std::uint32_t kCpusChargedMax = 4;
constexpr int kReclaimTriesMax = 64;
/// From the order to start a slot to its first parked worker: far beyond any busy host.
constexpr std::int64_t kStartNs = 30'000'000'000;
/// Slots being started by the launcher. The loop must never wait in a send to it: were both sockets
/// full, each would wait for the other for ever (seen with 1,000 slots).
constexpr std::uint32_t kStartsUnansweredMax = 16;
/// Long beside a reset, short beside whatever looks at a pool from outside.
constexpr std::int64_t kUnheardNs = 5'000'000;
/// Each costs every turn a system call.
constexpr std::size_t kUnheardMax = 8;

/// What may be left in a slot that it gives back by itself: to reclaim it takes 3 ms of CPU time.
std::uint64_t not_worth_reclaiming() {
  static const std::uint64_t bytes =
      kKernelFreesLater + std::min(usable_cpus(), kCpusChargedMax) * kChargedAhead;
  return bytes;
}

/// What an operator can do about a mount of the profile's that could not be made.
std::string mount_remedy(const protocol::Failure& failure, const Profile& profile,
                         const MountTexts& mount) {
  const bool own_root = !profile.root_directory.empty();
  if (failure.step == Step::kSlotMakeMountPoint || failure.step == Step::kSlotMakeSymlink ||
      failure.step == Step::kSlotWriteFile)
    return own_root ? "make " + quote(mount.target) + " in the root directory, which is read-only"
                    : "nothing can be made in a read-only bind: make it on the host, below the "
                      "source of that bind, or choose another target";
  if (failure.step == Step::kSlotBind && failure.errnum == ENOENT)
    return "give a source that exists, or make the bind optional";
  if (failure.step == Step::kSlotBind && (failure.errnum == ENOTDIR || failure.errnum == EINVAL))
    return "a directory goes onto a directory, and a file onto a file";
  if (failure.step == Step::kSlotOwnInodes)
    return "load overlayfs, or set share_inodes = true and read what it says";
  return "see `hatchery doctor`";
}

/// Those whose index is a mount operation's.
bool is_of_a_mount(Step step) {
  return (step >= Step::kSlotMakeMountPoint && step <= Step::kSlotWriteFile) ||
         step == Step::kSlotOwnInodes;
}

}  // namespace

Error Loop::failure_error(const Slot& slot, const protocol::Failure& failure) const {
  const Profile& profile = *profiles_[slot.profile].profile;
  const std::string of_profile = "of profile " + quote(profile.name);
  const int index = is_of_a_mount(failure.step) ? failure.index : -1;
  if (const auto mount = mount_texts(common_.slot_plans.get()[slot.profile]->get(), index)) {
    std::string object = quote(mount->target);
    if (!mount->source.empty()) object = quote(mount->source) + " on " + object;
    return errno_error(failure.step, object + " " + of_profile, failure.errnum,
                       mount_remedy(failure, profile, *mount));
  }
  std::string object = of_profile;
  if (failure.index >= 0) object += " (item " + std::to_string(failure.index) + ")";
  const char* remedy = "see `hatchery doctor`";
  if (failure.step == Step::kSlotClone && failure.errnum == ENOSPC)
    remedy = "raise user.max_user_namespaces and the other user.max_*_namespaces";
  if (failure.step == Step::kSlotMountRoot && !profile.root_directory.empty())
    object = quote(profile.root_directory) + " " + object;
  return errno_error(failure.step, object, failure.errnum, remedy);
}

Result<void> Loop::start_launcher() {
  Result<LauncherLink> launcher = LauncherLink::start(common_.zygote_path);
  if (!launcher) return std::move(launcher).error();
  launcher_ = *std::move(launcher);
  launcher_received_ =
      std::make_unique<Completion>([this](int result) { on_launcher_message(result); });
  listen_to_launcher();
  return {};
}

void Loop::listen_to_launcher() {
  ring_->receive(*launcher_received_, launcher_.socket_fd(), launcher_inbox_.prepare());
}

void Loop::on_launcher_message(int result) {
  if (result == -ECANCELED) return;
  std::optional<LauncherMessage> message = launcher_inbox_.take_launcher_message(result);
  if (!message) {
    // The launcher is dead, and with it every zygote: their sockets say so one by one. Those that
    // were being started will never be answered.
    starts_unanswered_ = 0;
    const Error error{.step = Step::kReceiveMessage,
                      .object = "from the launcher",
                      .detail = "it died",
                      .remedy = "it is started again; was it killed by the OOM killer?"};
    std::vector<Slot*> unanswered;
    for (const auto& [number, slot] : slots_)
      if (!slot->start_answered) unanswered.push_back(slot.get());
    // From within its own callback the completion can't be replaced.
    post([this] {
      if (stopping_) return;
      if (const Result<void> started = start_launcher(); !started)
        for (ProfileState& state : profiles_) state.last_failure = started.error();
    });
    for (Slot* slot : unanswered) slot_start_failed(*slot, error);
    return;
  }
  --starts_unanswered_;
  const auto found = slots_.find(message->body.slot);
  if (found == slots_.end()) {
    send_signal(message->pidfd.get(), SIGKILL);
  } else {
    Slot& slot = *found->second;
    slot.start_answered = true;
    const protocol::Failure& failure = message->body.failure;
    if (failure.step != Step::kNone) {
      slot_start_failed(slot, failure_error(slot, failure));
    } else {
      slot.zygote_pidfd = std::move(message->pidfd);
      if (slot.state == SlotState::kDead) send_signal(slot.zygote_pidfd.get(), SIGKILL);
      if (killing_all_)
        lose(slot, Error{.detail = "the pool shuts down"});
      else
        listen_to_slot(slot);
    }
  }
  listen_to_launcher();
  start_slots();
}

void Loop::start_slots() {
  for (std::size_t i = 0; i < profiles_.size(); ++i) start_slots(i, backlog_.demand(i));
}

void Loop::start_slots(std::size_t profile, const Backlog::Demand& waiting) {
  ProfileState& state = profiles_[profile];
  const std::int64_t now_ns = monotonic_ns();
  if (killing_all_ || now_ns < state.retry_due_ns) return;
  SlotDemand demand;
  // While the pool drains, only for jobs that still wait.
  demand.minimum = stopping_ ? 0 : state.slots_min;
  demand.maximum = state.slots_max;
  demand.alive = state.alive;
  demand.starting = state.starting;
  demand.ready = state.ready.size();
  // What the other loops will do of it is not this one's.
  const std::size_t loops = common_.shares.size();
  const std::size_t startable = (waiting.startable + loops - 1) / loops;
  demand.wanted =
      startable == 0 || waiting.front > state.slots_max ? 0 : std::max(startable, waiting.front);
  // One that fails is the last: they would all fail for the same reason.
  for (std::size_t count = slots_to_start(demand);
       count > 0 && starts_unanswered_ < kStartsUnansweredMax && state.retry_due_ns <= now_ns;
       --count)
    start_slot(profile);
}

Result<void> Loop::place_slot(Slot& slot) {
  const std::vector<std::uint32_t>& pins = profiles_[slot.profile].pin_cpus;
  const std::vector<std::uint32_t>& cpus = pins.empty() ? share_.cpus : pins;
  if (cpus.empty()) return {};
  // Of those with the fewest slots the first: round robin, also after some were replaced.
  slot.cpu = *std::min_element(cpus.begin(), cpus.end(), [this](std::uint32_t a, std::uint32_t b) {
    return at_home_[a] < at_home_[b];
  });
  ++at_home_[*slot.cpu];
  if (pins.empty()) return {};
  return slot.cgroup->pin(*slot.cpu);
}

Result<void> Loop::prepare_slot(Slot& slot, protocol::StartSlot& message, UniqueFd& theirs) {
  Result<UidLease> lease = common_.host->lease_uid();
  if (!lease) return std::move(lease).error();
  slot.lease = *lease;
  Result<SlotCgroup> cgroup =
      SlotCgroup::create(common_.cgroups, common_.host->pool_name(), slot.number, slot.lease.uid,
                         common_.cgroup_files.get());
  if (!cgroup) return std::move(cgroup).error();
  slot.cgroup.emplace(*std::move(cgroup));
  if (profiles_[slot.profile].profile->pressure) slot.cgroup->watch_pressure();
  for (const std::string& limit : profiles_[slot.profile].setup->io_max)
    HATCHERY_TRY(slot.cgroup->limit_io(limit));
  HATCHERY_TRY(place_slot(slot));
  const std::string& type = profiles_[slot.profile].profile->selinux_type;
  if (!type.empty()) {
    Result<std::uint32_t> pair = common_.host->lease_categories();
    if (!pair) return std::move(pair).error();
    slot.categories = *pair;
    Result<SlotLabel> label = slot_label(type, *pair);
    if (!label) return std::move(label).error();
    if (label->file_context.size() >= sizeof message.file_context)
      return errno_error(Step::kSelinuxLabel, label->file_context, ENAMETOOLONG);
    slot.exec_context = label->exec_context;
    label->file_context.copy(message.file_context, sizeof message.file_context - 1);
  }
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
    return errno_error(Step::kStartLauncher, "slot socket", errno);
  slot.socket = UniqueFd(pair[0]);
  theirs = UniqueFd(pair[1]);
  message.slot = slot.number;
  message.host_uid = slot.lease.uid;
  // A pinned slot is at home by its cpuset, which a job's own may replace.
  if (slot.cpu && profiles_[slot.profile].pin_cpus.empty())
    message.home_cpu = static_cast<std::int32_t>(*slot.cpu);
  if (next_fault_ < common_.config.testing_faults.size()) {
    message.fault_step = common_.config.testing_faults[next_fault_].step;
    message.fault_errnum = common_.config.testing_faults[next_fault_].errnum;
    ++next_fault_;
  }
  return {};
}

void Loop::start_slot(std::size_t profile) {
  ProfileState& state = profiles_[profile];
  const std::uint32_t number = next_slot_;
  next_slot_ += static_cast<std::uint32_t>(common_.shares.size());
  Slot& slot = *(slots_[number] = std::make_unique<Slot>(number, profile));
  ++state.alive;
  ++state.starting;
  ++total_count_;
  const Result<UniqueFd>& plan = common_.slot_plans.get()[profile];
  if (!plan) return slot_start_failed(slot, plan.error());
  launcher_.prepare(plan->get());
  protocol::StartSlot message;
  UniqueFd theirs;
  if (Result<void> prepared = prepare_slot(slot, message, theirs); !prepared)
    return slot_start_failed(slot, std::move(prepared).error());
  std::vector<int> fds = {theirs.get(), plan->get()};
  if (slot.cgroup->job_dir_fd() >= 0) {
    message.has_v2 = 1;
    fds.insert(fds.end(), {slot.cgroup->zygote_dir_fd(), slot.cgroup->job_dir_fd()});
  }
  message.v1_count = static_cast<std::uint32_t>(slot.cgroup->v1_tasks().size());
  for (const UniqueFd& tasks : slot.cgroup->v1_tasks()) fds.push_back(tasks.get());
  if (Result<void> sent = launcher_.send(message, fds); !sent)
    return slot_start_failed(slot, std::move(sent).error());
  ++starts_unanswered_;
  slot.cgroup->close_launch_files();
  slot.park_due_ns = monotonic_ns() + kStartNs;
  set_due(slot);
}

void Loop::slot_start_failed(Slot& slot, Error error) {
  slot.start_answered = true;
  lose(slot, std::move(error));
}

void Loop::listen_to_slot(Slot& slot) {
  if (!slot.received)
    slot.received =
        std::make_unique<Completion>([this, &slot](int result) { on_slot_message(slot, result); });
  ring_->receive(*slot.received, slot.socket.get(), slot.inbox.prepare());
}

void Loop::listen_later(Slot& slot) {
  // Another loop's jobs would not hear of it.
  if (unheard_.size() >= kUnheardMax || common_.shares.size() > 1) return listen_to_slot(slot);
  unheard_.push_back(slot.number);
  if (unheard_due_ns_ == 0) unheard_due_ns_ = monotonic_ns() + kUnheardNs;
}

void Loop::hear_unheard(std::int64_t now_ns) {
  std::vector<std::uint32_t> numbers;
  numbers.swap(unheard_);
  for (const std::uint32_t number : numbers) {
    const auto found = slots_.find(number);
    if (found == slots_.end() || found->second->state == SlotState::kDead) continue;
    Slot& slot = *found->second;
    const ssize_t got =
        ::recvmsg(slot.socket.get(), slot.inbox.prepare(), MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0 && errno == EAGAIN)
      unheard_.push_back(number);
    else
      on_slot_message(slot, got < 0 ? -errno : static_cast<int>(got));
  }
  if (unheard_due_ns_ != 0 && unheard_due_ns_ <= now_ns) listen_to_unheard();
  if (unheard_.empty()) unheard_due_ns_ = 0;
}

void Loop::listen_to_unheard() {
  for (const std::uint32_t number : unheard_)
    if (const auto found = slots_.find(number);
        found != slots_.end() && found->second->state != SlotState::kDead)
      listen_to_slot(*found->second);
  unheard_.clear();
  unheard_due_ns_ = 0;
}

void Loop::on_slot_message(Slot& slot, int result) {
  if (result == -ECANCELED) return;
  SlotMessage message = slot.inbox.take_slot_message(result);
  if (const auto* parked = std::get_if<protocol::Parked>(&message.body)) {
    on_parked(slot, *parked, std::move(message.fds));
  } else if (const auto* ended = std::get_if<protocol::Ended>(&message.body)) {
    on_ended(slot, *ended);
  } else if (const auto* failed = std::get_if<protocol::SetupFailed>(&message.body)) {
    lose(slot, failure_error(slot, failed->failure));
  } else {
    lose(slot, Error{.step = Step::kReceiveMessage,
                     .object = "from the zygote of slot " + std::to_string(slot.number),
                     .errnum = result < 0 ? -result : 0,
                     .detail = "its zygote died",
                     .remedy = "the slot is replaced"});
    return;
  }
  if (slot.state == SlotState::kResetting && std::holds_alternative<protocol::Ended>(message.body))
    listen_later(slot);
  else if (slot.state != SlotState::kDead)
    listen_to_slot(slot);
}

void Loop::on_parked(Slot& slot, const protocol::Parked& parked, std::vector<UniqueFd> fds) {
  if (slot.state == SlotState::kDead) return;
  if (!slot_event_is_legal(slot.state, SlotEvent::kParked))
    return lose(slot,
                Error{.step = Step::kReceiveMessage, .detail = "unexpected message of a worker"});
  slot.worker_pidfd = std::move(fds[0]);
  if (parked.has_root != 0) slot.root_dir = std::move(fds[1]);
  slot.listener = parked.has_listener != 0 ? std::move(fds.back()) : UniqueFd();
  slot.reset_ns = parked.reset_ns;
  const std::uint64_t kept = profiles_[slot.profile].profile->cache_kept_bytes;
  if (slot.ever_ready && slot.cgroup->leftover_bytes() > kept + not_worth_reclaiming())
    return reclaim(slot, kReclaimTriesMax);
  slot_becomes_ready(slot);
}

void Loop::reclaim(Slot& slot, int tries_left) {
  slot.porter_busy = true;
  porter_->run([this, &slot, tries_left] {
    // Page tables, sockets, System V segments and others are freed some RCU grace periods after
    // their process, on a busy CPU later. This waits for one (membarrier(2)).
    if (tries_left < kReclaimTriesMax) ::syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
    const std::uint64_t left = slot.cgroup->reclaim_leftover();
    post([this, &slot, left, tries_left] {
      slot.porter_busy = false;
      if (slot.state == SlotState::kDead) return bury(slot);
      if (left <= kIrreclaimableMax) return slot_becomes_ready(slot);
      // A task of the porter's for each try: what other slots wait for has its turn between them.
      if (tries_left > 0) return reclaim(slot, tries_left - 1);
      lose(slot, Error{.step = Step::kWriteCgroup,
                       .object = "slot " + std::to_string(slot.number),
                       .detail = std::to_string(left >> 10) +
                                 " KiB of earlier jobs' memory can't be given back",
                       .remedy = "the slot is replaced"});
    });
  });
}

void Loop::slot_becomes_ready(Slot& slot) {
  ProfileState& state = profiles_[slot.profile];
  slot.apply(SlotEvent::kParked);
  slot.park_due_ns = slot.starved_ns = 0;
  set_due(slot);
  slot.ready_since_ns = monotonic_ns();
  if (!slot.ever_ready) {
    slot.ever_ready = true;
    --state.starting;
    state.failures = 0;
    state.retry_due_ns = 0;
    slot.cgroup->set_idle_baseline();
  }
  if (killing_all_) return lose(slot, Error{.detail = "the pool shuts down"});
  state.ready.push_back(&slot);
  ++ready_count_;
}

}  // namespace hatchery
