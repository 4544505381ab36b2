// What a product is given when it runs: Matmul and Int8Matmul say what of it they take.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace ingot::cpu {

struct MatmulOperands {
  const void* a = nullptr;
  const void* b = nullptr;         // packed where the spec says so
  void* c = nullptr;               // must not overlap A, B or the workspace
  const float* bias = nullptr;     // null unless the spec has one
  const void* residual = nullptr;  // likewise; may be C
  std::span<std::byte> workspace;  // workspace_bytes(), aligned to 64; keeps nothing between calls
  std::int64_t a_rows = 0;         // stored rows of A now, of all groups
  // Empty unless there are groups (may be given for one): starts with 0, never decreases, ends at
  // or before a_rows; rows of C beyond it stay as they are.
  std::span<const std::int32_t> offsets = {};
  const void* unpacked_b = nullptr;  // Matmul: with b_packed, B as it lies, or null
  std::uint64_t key = 0;             // Int8Matmul: rounding_key() of A, when stochastic
  const float* scales = nullptr;     // Int8Matmul: of the coded operand
  // With a_transposed and C of f32: for the squares of C, sums of all its cells
  // (engine/execution/gradient_squares.h), also of groups without rows. Null: none.
  float* squares = nullptr;
};

}  // namespace ingot::cpu
