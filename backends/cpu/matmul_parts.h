// What matmul.cc and int8_matmul.cc cut their work with; internal to them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "backends/cpu/matmul_operands.h"
#include "engine/execution/square_cells.h"
#include "engine/numbers/dtype.h"

namespace ingot::cpu {

// Largest tile of C: the rows of A of one step (96 KiB) and the sums (192 KiB) stay in L2 while B
// streams through, panel by panel. Measured on Zen 4: larger ones gain nothing.
constexpr std::int64_t kTileRows = 96, kTileColumns = 512;
// Portions of B that are packed at a time are a multiple of this: of every panel, and of the cells
// whose squares are summed. So are tiles: kTileRows halved twice is kCellRows.
constexpr std::int64_t kPortionColumns = kCellColumns;
static_assert(kTileRows == 4 * kCellRows);
constexpr int kMostBlocks = 64;  // of a batch

constexpr std::int64_t round_up(std::int64_t value, std::int64_t unit) {
  return (value + unit - 1) / unit * unit;
}
constexpr std::int64_t divide_up(std::int64_t value, std::int64_t unit) {
  return (value + unit - 1) / unit;
}

// Kernel tables list their variants in this order.
constexpr int type_index(DType type) {
  return type == DType::f32 ? 0 : type == DType::bf16 ? 1 : 2;
}

inline const std::byte* at(const void* base, DType type, std::int64_t element) {
  return static_cast<const std::byte*>(base) + element * size_of(type);
}

struct MatmulSpec;
struct MatmulOutput;

// Throws Error(usage) unless the call fits the spec and brings the workspace it needs. In
// matmul.cc.
void check_call(const MatmulSpec& spec, const MatmulOperands& call, std::int64_t workspace_bytes,
                int threads);

// Whether a product leaves its C as it is: an empty sum that is added to it.
bool nothing_to_add(const MatmulSpec& spec, std::int64_t depth);

// Where a block's part of C goes and what is added to it: each points at the block's first element.
struct BlockOutput {
  std::byte* c;
  const float* bias;          // null: none
  const std::byte* residual;  // null: none
  float* squares;             // null: none; the sum of the cell that starts there
};

// The same from the block's (row, column) on. In matmul.cc.
MatmulOutput output_at(const MatmulSpec& spec, const BlockOutput& block, std::int64_t row,
                       std::int64_t column);

// Of group `group`; null if squares is.
float* squares_of_group(const MatmulSpec& spec, float* squares, int group);

// Moves all of it to the block's (row, column). With squares that is the start of a cell.
void move_to(BlockOutput& block, const MatmulSpec& spec, std::int64_t row, std::int64_t column);

// Blocks that are worked on at the same time.
template <class Block>
struct BlockBatch {
  std::array<Block, kMostBlocks> blocks;
  int count = 0;

  // The block and the place in it of item `index`, counting `items` of each block.
  const Block& find(std::int64_t Block::*items, std::int64_t& index) const {
    int block = 0;
    while (index >= blocks[block].*items) index -= blocks[block++].*items;
    return blocks[block];
  }
  std::int64_t total(std::int64_t Block::*items) const {
    std::int64_t sum = 0;
    for (int i = 0; i < count; ++i) sum += blocks[i].*items;
    return sum;
  }
};

}  // namespace ingot::cpu
