// Memory that the address sanitizer reports any access to, where it is on.
#pragma once

#include <cstddef>
#include <span>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

namespace ingot {

#ifdef __SANITIZE_ADDRESS__
inline constexpr bool kAddressSanitizer = true;
// Bytes must begin at a multiple of 8, else what shares their first 8 stays open.
inline void poison(std::span<const std::byte> bytes) {
  ASAN_POISON_MEMORY_REGION(bytes.data(), bytes.size());
}
inline void unpoison(std::span<const std::byte> bytes) {
  ASAN_UNPOISON_MEMORY_REGION(bytes.data(), bytes.size());
}
#else
inline constexpr bool kAddressSanitizer = false;
inline void poison(std::span<const std::byte>) {}
inline void unpoison(std::span<const std::byte>) {}
#endif

}  // namespace ingot
