// The two products by which a head's key and value projections move into its query and its output.
#pragma once

#include <cstdint>

#include "backends/cpu/isa.h"
#include "backends/cpu/simd.h"

namespace ingot::cpu {

template <class T>
struct AbsorbFunctions {
  // to [rows, columns] = x [rows, depth] w [depth, columns]. Rows of w are `columns` long.
  void (*absorb)(const T* x, std::int64_t x_stride, const T* w, std::int64_t rows,
                 std::int64_t depth, std::int64_t columns, T* to, std::int64_t to_stride);
  // to [rows, columns] = x [rows, depth] w^T, w [columns, depth].
  void (*project)(const float* x, std::int64_t x_stride, const T* w, std::int64_t rows,
                  std::int64_t depth, std::int64_t columns, T* to, std::int64_t to_stride);
};

struct AbsorbTable {
  AbsorbFunctions<float> f32;
  AbsorbFunctions<BFloat16> bf16;
  AbsorbFunctions<Half> f16;
};

INGOT_KERNEL_TABLE(AbsorbTable, absorb_kernels)

}  // namespace ingot::cpu
