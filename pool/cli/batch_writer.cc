#include "pool/cli/batch_writer.h"

#include <boost/json.hpp>
#include <cerrno>
#include <new>

#include "pool/job_json.h"
#include "pool/utf8.h"

namespace hatchery::cli {
namespace {

/// Lines are written together up to here: a system call for each would cost more than most lines.
constexpr std::size_t kWriteBytes = std::size_t{1} << 20;

/// Messages may quote what the user wrote, which need not be UTF-8; JSON must be.
std::string json_text(const std::string& text) {
  return boost::json::serialize(boost::json::value(utf8_or_replaced(text)));
}

std::string refused_json(const RefusedLine& line) {
  std::string json = "{\"line\":" + std::to_string(line.line_number);
  if (!line.id.empty()) json += ",\"id\":" + json_text(line.id);
  return json + ",\"error\":" + json_text(line.error) + "}";
}

/// There is memory for the outputs, but not for their JSON as well.
void drop_outputs(Report& report) {
  const Error error = errno_error(Step::kWriteFile, "the report's outputs", ENOMEM,
                                  "give the command more memory, or run fewer jobs at once");
  for (Output& output : report.outputs) {
    output.bytes = {};
    if (!output.error) output.error = error;
  }
  if (!report.error) report.error = error;
  if (report.outcome == Outcome::kAccepted) report.outcome = Outcome::kFileError;
}

}  // namespace

BatchWriter::BatchWriter(int fd, bool ordered, const WakeUp& progress)
    : fd_(fd), ordered_(ordered), progress_(progress), thread_([this] { run(); }) {}

BatchWriter::~BatchWriter() { close(); }

std::uint64_t BatchWriter::begin() { return begun_++; }

void BatchWriter::wake_at(std::uint64_t in_flight) noexcept {
  wake_at_ = in_flight;
  // Whoever comes second sees what the first has stored.
  if (this->in_flight() <= in_flight) progress_.signal();
}

void BatchWriter::close() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void BatchWriter::put(std::uint64_t sequence, Report report) {
  put_item(Item{sequence, std::move(report)});
}

void BatchWriter::put(std::uint64_t sequence, RefusedLine line) {
  put_item(Item{sequence, std::move(line)});
}

void BatchWriter::put_item(Item item) {
  {
    const std::lock_guard lock(mutex_);
    items_.push_back(std::move(item));
  }
  changed_.notify_one();
}

void BatchWriter::run() {
  while (true) {
    std::vector<Item> items;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return closing_ || !items_.empty(); });
      if (items_.empty()) return;
      items.swap(items_);
    }
    write_items(std::move(items));
  }
}

void BatchWriter::write_items(std::vector<Item> items) {
  std::string text;
  std::uint64_t lines = 0;
  const auto add = [&](std::string line) {
    ++lines;
    if (text.empty())
      text = std::move(line);
    else
      text += line;
    if (text.size() < kWriteBytes) return;
    write(text);
    text = {};
  };
  for (Item& item : items) {
    const std::uint64_t sequence = item.sequence;
    std::string line = format(std::move(item));
    if (ordered_)
      waiting_lines_.emplace(sequence, std::move(line));
    else
      add(std::move(line));
  }
  while (!waiting_lines_.empty() && waiting_lines_.begin()->first == next_sequence_) {
    add(std::move(waiting_lines_.begin()->second));
    waiting_lines_.erase(waiting_lines_.begin());
    ++next_sequence_;
  }
  write(text);
  written_ += lines;
  if (in_flight() <= wake_at_ || failed_) progress_.signal();
}

void BatchWriter::write(const std::string& text) {
  if (failed_ || text.empty()) return;
  const int errnum = write_all(fd_, text);
  if (errnum == 0) return;
  error_ = write_error("the reports", errnum);
  failed_ = true;
}

std::string BatchWriter::format(Item item) {
  if (const auto* refused = std::get_if<RefusedLine>(&item.content)) {
    summary_.add_refused();
    return refused_json(*refused) + "\n";
  }
  auto report = std::get<Report>(std::move(item.content));
  std::string line;
  try {
    line = report_to_json(report);
  } catch (const std::bad_alloc&) {
    drop_outputs(report);
    line = report_to_json(report);
  }
  summary_.add(report);
  line += '\n';
  return line;
}

}  // namespace hatchery::cli
