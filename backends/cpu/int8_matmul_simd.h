// Register kernels behind int8_matmul.h: one thread, one tile.
//
// The depth is cut into blocks that share a scale (int8_matmul.h). Packed operands are panels
// [depth / 4][width] of 4-byte words: four codes that are neighbours along the depth; the last word
// is padded with zeros. width is a multiple of 16, padded with zeros. Beside a panel: its scales
// [blocks][width], and for B its corrections [blocks][width].
#pragma once

#include <cstdint>

#include "backends/cpu/isa.h"
#include "backends/cpu/matmul_simd.h"

namespace ingot::cpu {

struct Int8Tile {
  std::int64_t rows, columns;
  std::int64_t words, block_words, blocks;  // of the depth; a block's; how many blocks
  // A, signed codes: word k of row i at a + i * a_row_bytes + k * a_word_bytes.
  const std::int8_t* a;
  std::int64_t a_row_bytes, a_word_bytes;
  // Scale of row i in block n: a_scales[i * a_scale_row + n * a_scale_block].
  const float* a_scales;
  std::int64_t a_scale_row, a_scale_block;
  // B: panels of full width one after the other, the last may be narrower; their scales and
  // corrections likewise.
  const std::int8_t* b;
  const float* b_scales;
  const std::int32_t* b_corrections;
  MatmulOutput output;
};

// Columns that are packed by one call: two cache lines of 16-bit floats from each row, which is
// faster than one (1.3 to 2 times when they come from memory).
inline constexpr int kInt8Stripe = 128;

// A source [depth][stride] of floats whose columns become panels, one after the other, each with
// its codes [words][width] at codes + (its first column) * words * 4 and its scales [blocks][width]
// at scales + (its first column) * blocks.
struct Int8Columns {
  const void* source;
  std::int64_t stride, depth, columns;  // columns <= kInt8Stripe
  const float* row_scales;              // null, or [depth]: rows are multiplied by them first
  std::int64_t block;                   // of the depth; a multiple of 4 unless there is only one
  std::int64_t panel;                   // columns of a panel: a multiple of 16
  std::int8_t* codes;
  float* scales;
  bool stochastic;                       // round so (without row_scales), with:
  std::uint64_t key;                     // rounding_key()
  std::int64_t first_row, first_column;  // of the source in its tensor; column: a multiple of 32
};

struct Int8MatmulKernels {
  std::int64_t panel;  // columns of a full panel of B
  std::int64_t rows;   // of a register tile: tiles should be multiples of it

  // Quantizes each column along the depth. [type: f32, bf16, f16]
  void (*pack_columns[3])(const Int8Columns& columns);
  // source [depth][stride] of codes into one panel.
  void (*pack_codes)(const std::int8_t* source, std::int64_t stride, std::int64_t depth,
                     std::int64_t columns, std::int8_t* panel);
  // What the unsigned form of A (code + 128) adds to the sums, to start from:
  // corrections[blocks][width] = -128 * sum of each block's codes of B.
  void (*correct)(const std::int8_t* panel, std::int64_t words, std::int64_t block_words,
                  std::int64_t width, std::int32_t* corrections);
  void (*tile)(const Int8Tile& tile);
};

INGOT_KERNEL_TABLE(Int8MatmulKernels, int8_matmul_kernels)

}  // namespace ingot::cpu
