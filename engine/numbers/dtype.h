// Element types of tensors and the 16-bit conversions, usable in host code anywhere.
#pragma once

#include <bit>
#include <cstdint>
#include <string_view>

namespace ingot {

enum class DType : std::uint8_t { f32, bf16, f16, i8, u8, i32, i64, f64, f8_e4m3, f8_e5m2 };

constexpr std::int64_t size_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
    case DType::i32:
      return 4;
    case DType::bf16:
    case DType::f16:
      return 2;
    case DType::i8:
    case DType::u8:
    case DType::f8_e4m3:
    case DType::f8_e5m2:
      return 1;
    case DType::i64:
    case DType::f64:
      return 8;
  }
  return 0;
}

// Not the eight-bit floats, which are codes: their values lie in a scale as well.
constexpr bool is_float(DType dtype) {
  return dtype == DType::f32 || dtype == DType::bf16 || dtype == DType::f16 || dtype == DType::f64;
}

// "f32", "bf16", ...
constexpr std::string_view name_of(DType dtype) {
  constexpr std::string_view kNames[] = {"f32", "bf16", "f16", "i8",      "u8",
                                         "i32", "i64",  "f64", "f8_e4m3", "f8_e5m2"};
  return kNames[static_cast<int>(dtype)];
}

// bf16 is the upper half of an fp32 word; rounds to nearest even, keeps NaN a NaN.
inline float bf16_to_float(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

inline std::uint16_t float_to_bf16(float value) {
  const auto word = std::bit_cast<std::uint32_t>(value);
  if ((word & 0x7fffffffu) > 0x7f800000u) return static_cast<std::uint16_t>((word >> 16) | 0x40u);
  return static_cast<std::uint16_t>((word + 0x7fffu + ((word >> 16) & 1u)) >> 16);
}

// IEEE half precision; rounds to nearest even, overflows to infinity, keeps subnormals; NaN stays
// one, with its sign alone.
float f16_to_float(std::uint16_t bits);
std::uint16_t float_to_f16(float value);

}  // namespace ingot
