// The operands of an int8 product on their way into panels: how many bytes they take, and the work.
#include <algorithm>
#include <cstring>

#include "backends/cpu/int8_matmul.h"
#include "backends/cpu/int8_matmul_amx.h"
#include "backends/cpu/int8_matmul_blocks.h"
#include "backends/cpu/int8_matmul_simd.h"
#include "backends/cpu/matmul_simd.h"
#include "backends/cpu/quantizer_simd.h"
#include "engine/numbers/quantizer.h"

namespace ingot::cpu {

std::int64_t Int8Matmul::blocks_of(std::int64_t depth) const {
  return divide_up(depth, spec_.block);
}

// Columns of B that are packed as one item.
std::int64_t Int8Matmul::b_item_columns() const {
  return spec_.product.b_transposed ? panel_ : kInt8Stripe;
}

// An odd number of cache lines, so that neighbouring rows fall into different sets.
std::int64_t Int8Matmul::a_row_bytes(std::int64_t depth) const { return round_up(depth, 128) + 64; }

std::int64_t Int8Matmul::panel_bytes(std::int64_t width, std::int64_t depth, bool corrected) const {
  return round_up(width, 16) * (words_of(depth) * 4 + blocks_of(depth) * (corrected ? 8 : 4));
}

std::int64_t Int8Matmul::a_bytes(std::int64_t rows, std::int64_t depth) const {
  if (a_in_place()) return 0;
  if (spec_.product.a_transposed) return panel_bytes(rows, depth, false);
  return round_up(rows * (a_row_bytes(depth) + blocks_of(depth) * 4), 64);
}

std::int64_t Int8Matmul::b_bytes(std::int64_t columns, std::int64_t depth) const {
  return panel_bytes(columns, depth, true);
}

std::int64_t Int8Matmul::b_group_bytes() const {
  return round_up(b_bytes(spec_.product.columns, spec_.product.depth), 64);
}

std::int64_t Int8Matmul::packed_bytes() const { return spec_.product.groups * b_group_bytes(); }

Panels Int8Matmul::b_panels(const void* packed, std::int64_t group) const {
  // Products only read them, pack() was given memory to write.
  auto* memory = static_cast<std::byte*>(const_cast<void*>(packed)) + group * b_group_bytes();
  const MatmulSpec& s = spec_.product;
  return {memory, round_up(s.columns, 16), words_of(s.depth), blocks_of(s.depth)};
}

void Int8Matmul::pack(ThreadPool& pool, const void* b, void* packed,
                      std::span<std::byte> workspace) const {
  const MatmulSpec& s = spec_.product;
  if (!s.b_packed) refuse_int8("packing B for an int8 matmul that does not take it packed");
  if (std::ssize(workspace) < workspace_bytes_) refuse_int8("packing B without the workspace");
  const std::int64_t items = divide_up(s.columns, b_item_columns());
  pool.parallel_for(s.groups * items, [&](std::int64_t item, int thread) {
    const std::int64_t group = item / items;
    Block block{};
    block.columns = s.columns;
    block.depth = s.depth;
    block.b = at(b, s.b, group * s.group_stride);
    block.packed_b = b_panels(packed, group);
    pack_b(block, item % items, workspace.data() + capacity_ + thread * scratch_bytes_);
  });
}

void Int8Matmul::pack_a_rows(const MatmulOperands& call, const Block& block,
                             std::int64_t item) const {
  const MatmulSpec& s = spec_.product;
  const std::int64_t row_bytes = a_row_bytes(block.depth), blocks = block.packed_b.blocks;
  const std::int64_t last = std::min(block.rows, (item + 1) * kPackRows);
  for (std::int64_t row = item * kPackRows; row < last; ++row) {
    const std::byte* from = block.a + row * s.a_stride * size_of(s.a);
    auto* codes = reinterpret_cast<std::int8_t*>(block.packed_a + row * row_bytes);
    float* scales = block.a_scales(row_bytes) + row * blocks;
    if (spec_.stochastic) {
      quantizer_->quantize_stochastic[type_index(s.a)](
          from, block.depth, spec_.block, codes, scales,
          rounding_row_key(call.key, block.a_row + row));
    } else {
      quantizer_->quantize[type_index(s.a)](from, block.depth, spec_.block, codes, scales);
    }
  }
}

void Int8Matmul::pack_a_columns(const MatmulOperands& call, const Block& block,
                                std::int64_t item) const {
  const MatmulSpec& s = spec_.product;
  const std::int64_t row = item * kTileRows, rows = std::min(kTileRows, block.rows - row);
  const Panels panels = block.a_panels();
  const auto turn = [&] {
    if (amx_ == nullptr) return;
    amx_->turn(panels.codes(row), panels.words, spec_.block / 4, round_up(rows, 16));
  };
  if (spec_.a_coded) {
    kernels_->pack_codes(reinterpret_cast<const std::int8_t*>(block.a) + row, s.a_stride,
                         block.depth, rows, panels.codes(row));
    std::fill_n(panels.scales(row), round_up(rows, 16) * panels.blocks, 1.0f);
    turn();
    return;
  }
  Int8Columns columns{};
  columns.source = block.a + row * size_of(s.a);
  columns.stride = s.a_stride;
  columns.depth = block.depth;
  columns.columns = rows;
  columns.block = spec_.block;
  columns.panel = kTileRows;
  columns.codes = panels.codes(row);
  columns.scales = panels.scales(row);
  columns.stochastic = spec_.stochastic;
  columns.key = call.key;
  columns.first_row = block.a_row;
  columns.first_column = block.a_column + row;
  kernels_->pack_columns[type_index(s.a)](columns);
  turn();
}

void Int8Matmul::pack_b(const Block& block, std::int64_t item, std::byte* scratch) const {
  if (spec_.product.b_transposed) {
    pack_b_rows(block, item, scratch);
  } else {
    pack_b_columns(block, item);
  }
  correct(block, item);
}

// Rows of the stored B are quantized (or are codes already) beside each other, then turned into a
// panel word by word.
void Int8Matmul::pack_b_rows(const Block& block, std::int64_t item, std::byte* scratch) const {
  const MatmulSpec& s = spec_.product;
  const std::int64_t column = item * panel_;
  const std::int64_t columns = std::min(panel_, block.columns - column);
  const std::int64_t row_bytes = a_row_bytes(block.depth), blocks = block.packed_b.blocks;
  const std::int64_t width = round_up(columns, 16);
  auto* codes = reinterpret_cast<std::int8_t*>(scratch);
  auto* scales = reinterpret_cast<float*>(scratch + panel_ * row_bytes);
  float* to_scales = block.packed_b.scales(column);
  for (std::int64_t i = 0; i < columns; ++i) {
    std::int8_t* row = codes + i * row_bytes;
    const std::byte* from = block.b + (column + i) * s.b_stride * b_element_bytes();
    if (spec_.b_coded) {
      std::memcpy(row, from, block.depth);
      std::copy_n(block.scales + (column + i) * blocks, blocks, scales);
    } else {
      quantizer_->quantize[type_index(s.b)](from, block.depth, spec_.block, row, scales);
    }
    std::fill_n(row + block.depth, words_of(block.depth) * 4 - block.depth, std::int8_t{0});
    for (std::int64_t n = 0; n < blocks; ++n) to_scales[n * width + i] = scales[n];
  }
  for (std::int64_t i = columns; i < width; ++i) {
    for (std::int64_t n = 0; n < blocks; ++n) to_scales[n * width + i] = 0;
  }
  words_->pack_words[0][1](codes, row_bytes / 4, words_of(block.depth), columns,
                           block.packed_b.codes(column), width);
}

void Int8Matmul::pack_b_columns(const Block& block, std::int64_t item) const {
  const MatmulSpec& s = spec_.product;
  const std::int64_t column = item * kInt8Stripe;
  Int8Columns columns{};
  columns.source = block.b + column * size_of(s.b);
  columns.stride = s.b_stride;
  columns.depth = block.depth;
  columns.columns = std::min<std::int64_t>(kInt8Stripe, block.columns - column);
  columns.row_scales = spec_.a_coded && s.a_transposed ? block.scales : nullptr;
  columns.block = spec_.block;
  columns.panel = panel_;
  columns.codes = block.packed_b.codes(column);
  columns.scales = block.packed_b.scales(column);
  kernels_->pack_columns[type_index(s.b)](columns);
}

void Int8Matmul::correct(const Block& block, std::int64_t item) const {
  const std::int64_t first = item * b_item_columns();
  const std::int64_t last = std::min(block.columns, first + b_item_columns());
  for (std::int64_t column = first; column < last; column += panel_) {
    const std::int64_t columns = std::min(panel_, last - column);
    kernels_->correct(block.packed_b.codes(column), block.packed_b.words, spec_.block / 4,
                      round_up(columns, 16), block.packed_b.corrections(column));
  }
}

}  // namespace ingot::cpu
