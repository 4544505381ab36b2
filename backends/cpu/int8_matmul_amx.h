// Products of codes by the matrix unit of AMX: 16 x 16 sums, 64 codes along the depth, in one
// instruction. The same integers and the same scaling as int8_matmul_simd.h, so the same bits.
//
// Panels of B are 32 columns wide. Rows of A lie as there; a transposed A's panel is turned into
// rows, 16 words at a time: in each block, of every whole group of 16 words, line i has those of
// row i of 16. What is left of a block stays as it was.
#pragma once

#include <cstdint>

#include "backends/cpu/int8_matmul_simd.h"

namespace ingot::cpu {

struct Int8MatmulAmx {
  std::int64_t panel;  // columns of a full panel of B
  // Of a panel [words][width] of a transposed A, in place.
  void (*turn)(std::int8_t* panel, std::int64_t words, std::int64_t block_words,
               std::int64_t width);
  // tile.a_row_bytes 4: a turned panel. Corrections are not looked at.
  void (*tile)(const Int8Tile& tile);
};

namespace amx {
extern const Int8MatmulAmx int8_matmul_amx;
}

}  // namespace ingot::cpu
