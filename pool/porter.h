// Porter: one thread for what may block (copying large files, removing cgroups), so that the loop
// never does.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace hatchery {

class Porter {
 public:
  Porter();
  /// Runs what is queued to its end, then joins.
  ~Porter();
  Porter(const Porter&) = delete;
  Porter& operator=(const Porter&) = delete;
  /// Any thread. Tasks run one after another on the porter's thread.
  void run(std::function<void()> task);

 private:
  void loop();
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
  bool stopping_ = false;
  std::thread thread_;  // Last: starts when everything else is there.
};

}  // namespace hatchery
