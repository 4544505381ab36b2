// How the attention kernels lay out their workspace, and the packing that forward and backward
// share.
#pragma once

#include "ops/attention/flash_simd.h"
#include "ops/attention/tiles.h"

#ifdef INGOT_ISA

namespace ingot::cpu::INGOT_ISA {

inline constexpr std::int64_t kBlock = kFlashBlock;
inline constexpr int kBlockVectors = kFlashBlock / kLanes;

INGOT_SIMD std::int64_t padded(std::int64_t count) {
  return (count + kLanes - 1) / kLanes * kLanes;
}
INGOT_SIMD std::int64_t smaller(std::int64_t a, std::int64_t b) { return a < b ? a : b; }

// What bf16 operands are multiplied as.
#if defined(__AVX512BF16__)
using Bf16Format = Bf16Pairs;
#else
using Bf16Format = Fp32;
#endif

// Hands out the workspace piece by piece; counts only, when there is none.
class Carver {
 public:
  explicit Carver(std::byte* memory) : memory_(memory) {}
  Word* take(std::int64_t words) {  // a multiple of 16
    auto* piece = memory_ == nullptr ? nullptr : (Word*)memory_ + used_;
    used_ += words;
    return piece;
  }
  std::int64_t bytes() const { return used_ * 4; }

 private:
  std::byte* memory_;
  std::int64_t used_ = 0;
};

// Rows [first, first + rows) of the keys as a left operand: [rows, stride] words.
template <class Format, class T>
static void pack_key_rows(const FlashKeys<T>& keys, std::int64_t first, std::int64_t rows, Word* to,
                          std::int64_t stride) {
  pack_rows<Format>(keys.key + first * keys.key_stride, keys.key_stride, rows, keys.key_size, to,
                    stride, 0);
  if (keys.rope != nullptr) {
    pack_rows<Format>(keys.rope + first * keys.rope_stride, keys.rope_stride, rows, keys.rope_size,
                      to, stride, keys.key_size);
  }
}

// Turned by a quarter, rows become the columns of a right operand or the reduction of a left one.
// scratch [64, stride] words holds up to 64 rows; rows beyond `rows` are zeros.
INGOT_SIMD void turn(Word* scratch, std::int64_t stride, std::int64_t rows, std::int64_t used,
                     Word* to, std::int64_t to_stride) {
  fill_zero(scratch + used * stride, (rows - used) * stride);
  transpose(scratch, stride, rows, stride, to, to_stride);
}

// Up to 64 rows of `columns` elements as the right operand [words(columns), 64].
template <class Format, class T>
static void pack_columns(const T* from, std::int64_t from_stride, std::int64_t rows,
                         std::int64_t columns, Word* to, Word* scratch) {
  const std::int64_t stride = padded(words<Format>(columns));
  pack_rows<Format>(from, from_stride, rows, columns, scratch, stride, 0);
  turn(scratch, stride, kBlock, rows, to, kBlock);
}

}  // namespace ingot::cpu::INGOT_ISA

#endif  // INGOT_ISA
