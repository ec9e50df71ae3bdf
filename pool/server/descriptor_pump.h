// DescriptorPump: moves bytes between jobs' pipes and clients: one thread and an epoll for all of
// them. What can't be written waits in bounded buffers; a relay then stops reading instead.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

#include "core/fd.h"
#include "core/result.h"

namespace hatchery::server {

class DescriptorPump {
 public:
  /// On the pump's thread.
  using OnBytes = std::function<void(std::string_view)>;
  using OnEnd = std::function<void()>;
  using OnRelayed = std::function<void(std::string kept)>;

  static Result<std::unique_ptr<DescriptorPump>> create();
  /// Callbacks that are still due are not called any more.
  ~DescriptorPump();
  DescriptorPump(const DescriptorPump&) = delete;
  DescriptorPump& operator=(const DescriptorPump&) = delete;

  // Any thread.

  /// Reads until the end (or EIO, which is a terminal's), then closes and calls `on_end` once.
  void read(UniqueFd source, OnBytes on_bytes, OnEnd on_end);
  /// Moves everything from one pipe to another. When nobody reads the target any more, the rest is
  /// read and dropped, so that the writer never dies of it. `kept`: the first `kept_max` bytes.
  void relay(UniqueFd source, UniqueFd target, std::uint64_t kept_max, OnRelayed on_end);

  /// Where a client's bytes go.
  class Sink {
   public:
    virtual ~Sink() = default;
    /// False when more than 16 MiB wait for the job to read them, or when the sink was closed.
    virtual bool write(std::string_view bytes) = 0;
    /// After what waits.
    virtual void close() = 0;
    /// Of a terminal; TIOCSWINSZ.
    virtual bool resize(std::uint16_t rows, std::uint16_t cols, std::uint16_t x,
                        std::uint16_t y) = 0;
  };
  std::shared_ptr<Sink> sink(UniqueFd target);

 private:
  class Impl;
  explicit DescriptorPump(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace hatchery::server
