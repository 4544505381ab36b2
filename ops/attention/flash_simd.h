// The inner loops of attention, compiled once for each instruction set: one tile of queries against
// a range of keys. Flash attention (Dao, arXiv 2307.08691): scores are made, used and forgotten in
// blocks of 64 keys by 64 queries.
//
// Blocks are kept with keys as rows and queries as columns, so that the softmax, which runs over
// keys, never crosses the lanes of a vector.
#pragma once

#include <cstdint>

#include "backends/cpu/isa.h"
#include "backends/cpu/simd.h"

namespace ingot::cpu {

inline constexpr std::int64_t kFlashBlock = 64;  // keys of a block, queries of a unit
inline constexpr std::int64_t kFlashUnits = 4;  // units that share the packing of the keys, at most

// What a range of keys has. All strides in elements. T is the storage type of the operands.
template <class T>
struct FlashKeys {
  const T* key;  // [keys, key_size]
  std::int64_t key_stride;
  std::int64_t key_size;
  const T* rope;  // [keys, rope_size]: more columns of every key; may be null
  std::int64_t rope_stride;
  std::int64_t rope_size;
  const T* value;  // [keys, value_size]
  std::int64_t value_stride;
  std::int64_t value_size;
};

// Up to 64 queries of one head (or of heads that share their keys).
template <class T>
struct FlashQueries {
  const T* query;  // [count, key_size + rope_size]
  std::int64_t query_stride;
  int count;
  std::int32_t visible[kFlashBlock];  // query i sees keys [0, visible[i])
  // One of: output [count, value_size]; partial, the same in fp32.
  T* output;
  float* partial;
  std::int64_t output_stride;
  // [count], log sum exp score, -infinity when no key is seen; may be null. Beside `partial` the
  // natural logarithm, as partial outputs are combined; beside `output` that of base 2, as backward
  // reads it: each is rounded once.
  float* lse;
  std::int64_t lse_stride;
};

struct FlashSizes {
  std::int64_t key_size;  // with the rotary part
  std::int64_t value_size;
};

template <class T>
struct FlashForward {
  FlashKeys<T> keys;
  std::int64_t first_key, last_key;  // the range to attend to
  const FlashQueries<T>* units;      // at most kFlashUnits
  int unit_count;
  float scale;
  std::byte* workspace;  // FlashForwardTable::workspace() bytes, 64-byte aligned
};

// The sums over queries that make the gradients of one key/value head: fp32, columns rounded up to
// sixteen.
struct FlashSums {
  static constexpr std::int64_t columns(std::int64_t size) { return (size + 15) / 16 * 16; }
  float* key;    // [sequence, columns(key size)], not yet times scale
  float* value;  // [sequence, columns(value size)]
};

// One key/value head and all `group` query heads that read it, for a whole sequence with causal
// mask. Unit i is the block i / group of 64 queries of head i % group.
template <class T>
struct FlashBackward {
  FlashKeys<T> keys;
  std::int64_t sequence, group;
  std::int64_t first_unit, last_unit;  // what this call works on: last is one too far
  const T* query;
  std::int64_t query_stride, query_head;  // heads lie *_head elements apart
  const T *output, *output_gradient;
  std::int64_t output_stride, output_gradient_stride, output_head;
  const float* lse;         // base 2
  std::int64_t lse_stride;  // heads are neighbours
  float scale;
  T* query_gradient;  // laid out like query; null: not wanted
  std::int64_t query_gradient_stride;
  bool query_add;        // onto what is there
  FlashSums sums;        // overwritten
  std::byte* workspace;  // FlashBackwardTable::workspace() bytes, 64-byte aligned
};

// Rows of the gradients of a key/value head, from sums that lie in `parts` places.
template <class T>
struct FlashKeyGradients {
  FlashSums sums;                   // of the first part, at the first row
  std::int64_t parts, part_stride;  // in floats
  std::int64_t rows;
  std::int64_t key_size, rope_size, value_size;
  float scale;
  T *key, *value;  // null: not wanted
  std::int64_t key_stride, value_stride;
  bool key_add, value_add;
  float* rope;  // [rows, rope_size]: always added to; null: not wanted
};

// Workspace is in bytes and grows with the sizes of a head only.
struct FlashForwardTable {
  std::int64_t (*workspace)(const FlashSizes& sizes);
  void (*f32)(const FlashForward<float>& task);
  void (*bf16)(const FlashForward<BFloat16>& task);
  void (*f16)(const FlashForward<Half>& task);
};
template <class T>
struct FlashBackwardKernels {
  void (*backward)(const FlashBackward<T>& task);
  void (*write_keys)(const FlashKeyGradients<T>& task);
  // to = factor * sum of `parts` rows of `count` fp32, part_stride apart; or += when add.
  void (*sum_parts)(const float* from, std::int64_t part_stride, std::int64_t parts,
                    std::int64_t count, float factor, T* to, bool add);
};
struct FlashBackwardTable {
  std::int64_t (*workspace)(const FlashSizes& sizes);
  FlashBackwardKernels<float> f32;
  FlashBackwardKernels<BFloat16> bf16;
  FlashBackwardKernels<Half> f16;
};

INGOT_KERNEL_TABLE(FlashForwardTable, flash_forward)
INGOT_KERNEL_TABLE(FlashBackwardTable, flash_backward)

}  // namespace ingot::cpu
