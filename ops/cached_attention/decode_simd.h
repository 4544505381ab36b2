// Attention of a few query rows over a part of the cache, at the speed of memory; and how the
// results of several parts are put together.
#pragma once

#include <cstdint>

#include "backends/cpu/isa.h"
#include "backends/cpu/simd.h"

namespace ingot::cpu {

inline constexpr int kDecodeRows = 8;     // at most
inline constexpr int kCombineParts = 32;  // at most

// Up to kDecodeRows queries that read the same key/value head. Strides in elements.
template <class T>
struct Decode {
  const T* key;  // [keys, key_size]
  std::int64_t key_stride, key_size;
  const T* value;  // [keys, value_size]
  std::int64_t value_stride, value_size;
  int rows;
  const T* query[kDecodeRows];        // key_size each
  std::int64_t visible[kDecodeRows];  // keys of this part the row sees, at least 0
  float scale;
  float* output[kDecodeRows];  // value_size each; zeros when no key is seen
  float* lse[kDecodeRows];     // ln sum exp score; -infinity when no key is seen
  float* scores;               // scratch [rows, keys rounded up to 16]
  std::int64_t keys;           // the most that any row sees
};

template <class T>
struct DecodeFunctions {
  void (*decode)(const Decode<T>& task);
  // One row: parts of `count` fp32, part_stride apart, weighted by exp(lse of the part); lse of
  // part i at lse[i * lse_stride], the first one finite. to may be null; then the result is left in
  // the first part.
  void (*combine)(float* parts, std::int64_t part_stride, const float* lse, std::int64_t lse_stride,
                  std::int64_t part_count, std::int64_t count, T* to);
};

struct DecodeTable {
  DecodeFunctions<float> f32;
  DecodeFunctions<BFloat16> bf16;
  DecodeFunctions<Half> f16;
};

INGOT_KERNEL_TABLE(DecodeTable, decode_kernels)

}  // namespace ingot::cpu
