#include "pool/cli/batch_writer.h"

#include <boost/json.hpp>

#include "pool/job_json.h"
#include "pool/utf8.h"

namespace hatchery::cli {
namespace {

/// Messages may quote what the user wrote, which need not be UTF-8; JSON must be.
std::string json_text(const std::string& text) {
  return boost::json::serialize(boost::json::value(utf8_or_replaced(text)));
}

std::string refused_json(const RefusedLine& line) {
  std::string json = "{\"line\":" + std::to_string(line.line_number);
  if (!line.id.empty()) json += ",\"id\":" + json_text(line.id);
  return json + ",\"error\":" + json_text(line.error) + "}";
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
    write_items(items);
  }
}

void BatchWriter::write_items(const std::vector<Item>& items) {
  std::string text;
  std::uint64_t lines = 0;
  for (const Item& item : items) {
    std::string line = format(item);
    if (!ordered_) {
      text += line;
      ++lines;
      continue;
    }
    waiting_lines_.emplace(item.sequence, std::move(line));
  }
  while (!waiting_lines_.empty() && waiting_lines_.begin()->first == next_sequence_) {
    text += waiting_lines_.begin()->second;
    waiting_lines_.erase(waiting_lines_.begin());
    ++next_sequence_;
    ++lines;
  }
  if (!failed_ && !text.empty()) {
    const int errnum = write_all(fd_, text);
    if (errnum != 0) {
      error_ = write_error("the reports", errnum);
      failed_ = true;
    }
  }
  written_ += lines;
  if (in_flight() <= wake_at_ || failed_) progress_.signal();
}

std::string BatchWriter::format(const Item& item) {
  if (const auto* refused = std::get_if<RefusedLine>(&item.content)) {
    summary_.add_refused();
    return refused_json(*refused) + "\n";
  }
  const auto& report = std::get<Report>(item.content);
  summary_.add(report);
  return report_to_json(report) + "\n";
}

}  // namespace hatchery::cli
