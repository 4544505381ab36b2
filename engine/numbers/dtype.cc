#include "engine/numbers/dtype.h"

namespace ingot {
namespace {

#if defined(__aarch64__)
using Float16 = __fp16;  // g++ 12 has no _Float16 there in C++
#else
using Float16 = _Float16;
#endif

}  // namespace

float f16_to_float(std::uint16_t bits) { return static_cast<float>(std::bit_cast<Float16>(bits)); }

std::uint16_t float_to_f16(float value) {
  if (value != value) return std::bit_cast<std::uint32_t>(value) >> 31 != 0 ? 0xfe00u : 0x7e00u;
  return std::bit_cast<std::uint16_t>(static_cast<Float16>(value));
}

}  // namespace ingot
