// What a run of Int8Matmul works on; for int8_matmul.cc only.
#pragma once

#include "backends/cpu/int8_matmul.h"
#include "backends/cpu/matmul_parts.h"
#include "engine/base/error.h"

namespace ingot::cpu {

[[noreturn]] inline void refuse_int8(const char* what) {
  throw Error(ErrorCode::usage, what, "backends/cpu/int8_matmul");
}

// Panels of a transposed A are as wide as a tile is high, kTileRows.
constexpr std::int64_t kPackRows = 16;  // rows of A that are quantized as one item

// Of packed panels: codes, then all scales, then (B) all corrections.
struct Panels {
  std::byte* memory;                  // written while they are packed, only read in products
  std::int64_t width, words, blocks;  // width: of all panels together

  std::int8_t* codes(std::int64_t column) const {
    return reinterpret_cast<std::int8_t*>(memory) + column * words * 4;
  }
  float* scales(std::int64_t column) const {
    return reinterpret_cast<float*>(memory + width * words * 4) + column * blocks;
  }
  std::int32_t* corrections(std::int64_t column) const {
    return reinterpret_cast<std::int32_t*>(scales(width)) + column * blocks;
  }
};

// A part of one group's C and what it is made of.
struct Int8Matmul::Block : BlockOutput {
  std::int64_t rows, columns, depth;
  const std::byte* a;
  const std::byte* b;
  const float* scales;           // of coded rows of A, of the depth (A transposed) or of B; or null
  bool thin;                     // B is coded and the rows are few: B is used where it lies
  std::int64_t a_row, a_column;  // of `a` in the tensor A, for stochastic rounding
  std::byte* packed_a;
  Panels packed_b;
  std::int64_t tile_rows, tile_columns;
  std::int64_t a_items, b_items, tiles;  // work to do

  // A without a_transposed: rows of codes, then scales [rows][blocks].
  float* a_scales(std::int64_t row_bytes) const {
    return reinterpret_cast<float*>(packed_a + rows * row_bytes);
  }
  Panels a_panels() const {
    return {packed_a, (rows + 15) / 16 * 16, packed_b.words, packed_b.blocks};
  }
};

struct Int8Matmul::Batch : BlockBatch<Block> {
  std::int64_t used = 0;  // of the workspace
};

}  // namespace ingot::cpu
