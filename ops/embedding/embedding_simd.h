// Inner loops of the embedding. Arrays of functions are indexed by DType: f32, bf16, f16.
#pragma once

#include <cstdint>

#include "backends/cpu/isa.h"

namespace ingot::cpu {

struct ScatterAdd {
  const std::int32_t* ids;
  std::int64_t tokens, vocabulary;
  std::int32_t bucket, buckets;  // only ids with id % buckets == bucket; buckets a power of two
  const void* dy;                // at the first column
  float* d_table;                // at the first column
  std::int64_t dy_stride, table_stride, columns;
};

struct EmbeddingKernels {
  using Convert = void (*)(const void* from, void* to, std::int64_t count);
  using Add = void (*)(const ScatterAdd& task);
  Convert convert[3][3];  // [from][to]
  Add scatter_add[3];     // by the dtype of dy
};

INGOT_KERNEL_TABLE(EmbeddingKernels, embedding_kernels)

}  // namespace ingot::cpu
