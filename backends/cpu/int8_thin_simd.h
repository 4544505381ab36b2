// Few rows times a B that is stored as codes (Int8MatmulSpec::b_coded): dot products along its
// rows, so that each byte of B is read once, where it lies.
#pragma once

#include <cstdint>

#include "backends/cpu/isa.h"
#include "backends/cpu/matmul_simd.h"

namespace ingot::cpu {

struct Int8Thin {
  std::int64_t rows, columns, depth;  // rows <= kThinRows, columns <= kThinColumns
  std::int64_t block, blocks;         // of the depth, sharing a scale: a multiple of 32; how many
  // Rows of signed codes, readable up to a multiple of 64 of them, and their scales [rows][blocks].
  const std::int8_t* a;
  std::int64_t a_row_bytes;
  const float* a_scales;
  const std::int8_t* b;   // [columns][depth]
  const float* b_scales;  // [columns][blocks]
  MatmulOutput output;
};

struct Int8ThinKernels {
  void (*multiply)(const Int8Thin& thin);
};

INGOT_KERNEL_TABLE(Int8ThinKernels, int8_thin_kernels)

}  // namespace ingot::cpu
