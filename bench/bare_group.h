// BareGroup: what a program costs by itself, in a control group with nothing else: the baseline of
// a job's figures. Thread: one at a time.
#pragma once

#include <cstdint>
#include <string>

#include "core/cgroup.h"

namespace hatchery {

class BareGroup {
 public:
  /// Makes groups of its own beside the pools'. Exits the program when it can't.
  explicit BareGroup(const CgroupHost& host);
  ~BareGroup();
  BareGroup(const BareGroup&) = delete;
  BareGroup& operator=(const BareGroup&) = delete;

  struct Cost {
    double cpu_us = 0;
    double memory_kib = 0;
  };
  /// Of one run: from the moment the process has joined, so exec and exit included.
  Cost run(const std::string& program, const std::string& argument = "1");

 private:
  std::string cpu_group_;
  std::string memory_group_;
  bool cpu_v2_ = false;
  bool memory_v2_ = false;
};

}  // namespace hatchery
