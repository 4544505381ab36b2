// Register kernels behind matmul.h: one thread, one tile. All strides and steps are in elements
// unless they say bytes. Float types are numbered 0 f32, 1 bf16, 2 f16.
//
// Packed operands ("panels") are made of 4-byte words, [words of depth][width]: an fp32 value, or,
// at levels with bf16 instructions, a pair of bf16 that are neighbours along the depth (an odd
// depth is padded with a zero). width is a multiple of 16, padded with zeros.
#pragma once

#include <cstdint>

#include "backends/cpu/isa.h"
#include "engine/execution/square_cells.h"

namespace ingot::cpu {

// What happens to finished sums: C (+)= sums + bias + residual, rounded to C's type.
struct MatmulOutput {
  void* c;
  int c_type;
  std::int64_t c_stride;
  bool accumulate;
  const float* bias;     // null: none
  const void* residual;  // null: none
  std::int64_t residual_stride;
  // Sums of the squares of C's cells (engine/execution/square_cells.h), [rows of
  // cells][squares_stride]; null: none. C is f32 then, and (0, 0) of a tile the start of a cell.
  float* squares;
  std::int64_t squares_stride;
};

struct MatmulTile {
  std::int64_t rows, columns;
  // A: word k of row i at a + i * a_row_bytes + k * a_word_bytes; the former is 4 if a_packed, else
  // the latter.
  const void* a;
  bool a_packed;
  std::int64_t a_row_bytes, a_word_bytes;
  // B: panels, each `panel_bytes` after the one before, over a whole depth; this step's first word.
  const void* b;
  std::int64_t panel_bytes, first_word;
  std::int64_t depth;  // of this step along the depth; bf16 pairs: may be odd
  bool pairs;          // words are pairs of bf16
  // Sums of earlier steps, [rows][sums_stride]; null when one step is all.
  float* sums;
  std::int64_t sums_stride;
  bool first, last;  // step: starts from 0; gives sums to `output`
  MatmulOutput output;
};

// Few rows, B not packed: B is read once, at memory bandwidth.
struct MatmulThin {
  std::int64_t rows, columns, depth;  // rows <= kThinRows, columns <= kThinColumns
  const void* a;                      // [rows][a_stride]
  std::int64_t a_stride;
  const void* b;  // [columns][b_stride], or [depth][b_stride]
  std::int64_t b_stride;
  MatmulOutput output;
};
inline constexpr int kThinRows = 32;
inline constexpr int kThinColumns = 64;

struct MatmulKernels {
  std::int64_t panel;  // columns of a full panel: 64 or 16
  std::int64_t rows;   // rows of a register tile: tiles should be multiples of it
  bool bf16_pairs;     // whether this level multiplies pairs of bf16

  // Packs source [depth][columns], or [columns][depth] if transposed, into one panel of
  // `width` columns (a multiple of 16). [type][transposed]
  void (*pack_words[3][2])(const void* source, std::int64_t stride, std::int64_t depth,
                           std::int64_t columns, void* panel, std::int64_t width);
  void (*pack_pairs[2])(const void* source, std::int64_t stride, std::int64_t depth,
                        std::int64_t columns, void* panel, std::int64_t width);
  // to [rows][to_stride] = from [rows][stride], widened. [type], null for f32
  void (*widen[3])(const void* from, std::int64_t stride, std::int64_t rows, std::int64_t columns,
                   float* to, std::int64_t to_stride);
  void (*tile)(const MatmulTile& tile);
  void (*thin[3][2])(const MatmulThin& thin);  // [type][B transposed]
};

INGOT_KERNEL_TABLE(MatmulKernels, matmul_kernels)

}  // namespace ingot::cpu
