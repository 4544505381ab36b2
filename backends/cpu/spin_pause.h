// For loops that wait for another thread.
#pragma once

namespace ingot::cpu {

// Tells the core that it waits: it leaves more to the core's other thread, and sees the change
// without a wrong guess behind it.
inline void spin_pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace ingot::cpu
