// The one block of memory a run lives in: mapped once, backed by real pages before the first step,
// returned when the Arena dies. Nothing else of the step may allocate.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace ingot {

struct ArenaOptions {
  bool huge_pages = true;  // ask for 2 MiB pages (advice: the system may decline)
  // Give every page its memory now. Without it the pages come at first touch (a test's choice:
  // a run would learn too late that there is no memory).
  bool populate = true;
  // Refuse what read_system_memory() says is not there. Linux promises more memory than it has and
  // kills the process at the touch; only asking first makes that an error.
  bool check_available = true;
};

class Arena {
 public:
  Arena() = default;  // empty
  // Maps bytes (>= 0) rounded up to whole pages, zeroed, at an address that is a multiple of 2 MiB.
  // Errors: budget if the machine, the control group or a process limit lacks the memory.
  explicit Arena(std::int64_t bytes, const ArenaOptions& options = {});
  Arena(Arena&& other) noexcept;
  Arena& operator=(Arena&& other) noexcept;
  ~Arena();

  std::byte* data() const { return data_; }
  std::int64_t size() const { return size_; }  // bytes, a multiple of the page size
  std::span<std::byte> bytes() const { return {data_, static_cast<std::size_t>(size_)}; }

 private:
  std::byte* data_ = nullptr;
  std::int64_t size_ = 0;
};

}  // namespace ingot
