// How much memory there is: of the machine, of the control group this process is confined to
// (cgroup v1 or v2), and of this process. Linux only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace ingot {

// Bytes.
struct SystemMemory {
  std::int64_t total = 0;      // MemTotal
  std::int64_t available = 0;  // MemAvailable: free, or reclaimable without swapping
  // The control group with the least room among this process' own and those above it; nothing when
  // none has a limit.
  std::optional<std::int64_t> cgroup_limit;
  std::int64_t cgroup_current = 0;  // used of that limit, without file cache that can be dropped

  // What can still be taken: the smaller of available and the group's room; never negative.
  std::int64_t room() const;
  // What a process alone here could have: the smaller of total and the group's limit.
  std::int64_t limit() const;
};

// root is put before /proc and /sys: for tests with a made-up system.
// Errors: device if /proc/meminfo can't be read. Unreadable control groups count as unlimited.
SystemMemory read_system_memory(const std::string& root = "");

// SystemMemory::limit() for those who look again and again: reads the few files it depends on, and
// takes memory from the heap only when one of them has changed.
class MemoryLimit {
 public:
  // root and errors as above.
  explicit MemoryLimit(std::string root = "");
  std::int64_t bytes();

 private:
  void look();

  std::string root_;
  std::vector<std::string> files_;
  std::uint64_t fingerprint_ = 0;  // of their contents
  std::int64_t bytes_ = 0;
};

// Of this process, in bytes: resident now (VmRSS) and at most since it started (VmHWM); 0 where
// /proc is missing. They allocate nothing: fit for every step.
std::int64_t resident_bytes();
std::int64_t peak_resident_bytes();

}  // namespace ingot
