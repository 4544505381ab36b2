#include "backends/cpu/int8_matmul.h"

#include <algorithm>
#include <cstring>

#include "backends/cpu/int8_matmul_amx.h"
#include "backends/cpu/int8_matmul_blocks.h"
#include "backends/cpu/int8_matmul_simd.h"
#include "backends/cpu/int8_thin_simd.h"
#include "backends/cpu/matmul_simd.h"
#include "backends/cpu/quantizer_simd.h"

namespace ingot::cpu {
namespace {

constexpr std::int64_t kPackedA = 4 << 20, kPackedB = 8 << 20;
constexpr std::int64_t kLongestBlock = 1 << 16;  // 255 * 127 * 65536 < 2^31

}  // namespace

Int8Matmul::Int8Matmul(const Int8MatmulSpec& spec, Isa isa)
    : spec_(spec),
      kernels_(&int8_matmul_kernels(isa)),
      amx_(isa == Isa::amx ? &amx::int8_matmul_amx : nullptr),
      panel_(amx_ != nullptr ? amx_->panel : kernels_->panel),
      thin_(&int8_thin_kernels(isa)),
      words_(&matmul_kernels(isa)),
      quantizer_(&quantizer_kernels(isa)) {
  if (spec.b_coded) spec_.product.b = spec.product.a;
  if (spec.a_coded) spec_.product.a = spec.product.b;
  spec_.product = Matmul(spec_.product, isa).spec();  // checks it, and fills in strides
  const MatmulSpec& s = spec_.product;
  if (s.a_transposed && s.b_transposed) refuse_int8("an int8 matmul of this layout");
  if (s.b_packed && spec_.b_coded) refuse_int8("an int8 matmul whose packed B is coded");
  if (spec_.b_coded &&
      (!s.b_transposed || s.b_stride != s.depth || s.group_stride != s.columns * s.b_stride)) {
    refuse_int8("an int8 matmul of coded rows that don't lie one after the other");
  }
  if (spec.a_coded && (spec.b_coded || spec.stochastic)) refuse_int8("an int8 matmul coded twice");
  if (a_in_place() && (spec.block != 0 || s.depth % 4 != 0 || s.depth > kLongestBlock)) {
    refuse_int8("an int8 matmul whose coded rows are not of one scale and whole words");
  }
  if (spec_.block == 0)
    spec_.block = s.depth <= kLongestBlock ? round_up(s.depth, 32) : kLongestBlock;
  if (spec_.block < 32 || spec_.block % 32 != 0 || spec_.block > kLongestBlock) {
    refuse_int8("an int8 matmul whose blocks are no multiple of 32 up to 65536");
  }
  // The smallest portion must fit; groups that split the depth may each add a word and a block.
  const std::int64_t depth = s.depth + (s.a_transposed ? s.groups * spec_.block : 0);
  const auto for_b = [&](std::int64_t columns, std::int64_t d) {
    return s.b_packed ? 0 : b_bytes(columns, d);
  };
  const std::int64_t all =
      s.a_transposed ? a_bytes(s.rows, depth) + for_b(s.columns, depth)
                     : a_bytes(s.rows, s.depth) + s.groups * (for_b(s.columns, s.depth) + 64);
  const std::int64_t least = a_bytes(std::min(s.rows, kTileRows), s.depth) +
                             for_b(std::min(s.columns, kPortionColumns), s.depth);
  capacity_ = round_up(std::min(all + 64 * s.groups, std::max(kPackedA + kPackedB, least)), 64);
  if (s.b_transposed)
    scratch_bytes_ = panel_ * a_row_bytes(s.depth) + round_up(panel_ * blocks_of(s.depth) * 4, 64);
  workspace_bytes_ = capacity_ + s.threads * scratch_bytes_;
}

Int8Matmul Int8Matmul::overwriting() const {
  Int8Matmul result = *this;
  result.spec_.product.accumulate = false;
  return result;
}

void Int8Matmul::run(ThreadPool& pool, const MatmulOperands& call) const {
  check_call(spec_.product, call, workspace_bytes_, pool.threads());
  if ((call.scales != nullptr) != (spec_.a_coded || spec_.b_coded)) {
    refuse_int8("an int8 matmul whose scales are not what it was made for");
  }
  Batch batch;
  for (int group = 0; group < spec_.product.groups; ++group) {
    const Block whole = group_block(call, group);
    const bool leaves_c = nothing_to_add(spec_.product, whole.depth) && call.squares == nullptr;
    if (whole.rows > 0 && !leaves_c) add_group(call, pool, batch, whole);
  }
  run_batch(call, pool, batch);
}

// The whole group; nothing packed yet but B, if it came so.
Int8Matmul::Block Int8Matmul::group_block(const MatmulOperands& call, int group) const {
  const MatmulSpec& s = spec_.product;
  const std::int64_t first = call.offsets.empty() ? 0 : call.offsets[group];
  const std::int64_t count = (call.offsets.empty() ? call.a_rows : call.offsets[group + 1]) - first;
  Block block{};
  block.rows = s.a_transposed ? s.rows : count;
  block.depth = s.a_transposed ? count : s.depth;
  block.columns = s.columns;
  block.a = static_cast<const std::byte*>(call.a) + first * s.a_stride * a_element_bytes();
  block.a_row = first;
  block.bias = call.bias;
  const std::int64_t group_start = group * s.group_stride;
  if (s.b_packed) {
    block.packed_b = b_panels(call.b, group);
  } else {
    block.b = static_cast<const std::byte*>(call.b) +
              (s.a_transposed ? first * s.b_stride : group_start) * b_element_bytes();
  }
  if (spec_.a_coded) block.scales = call.scales + first;
  if (spec_.b_coded) {
    block.scales = call.scales + group * s.columns * blocks_of(s.depth);
    block.thin = count <= kThinRows;
  }
  block.c = static_cast<std::byte*>(call.c) +
            (s.a_transposed ? group_start : first * s.c_stride) * size_of(s.c);
  if (call.residual != nullptr) block.residual = at(call.residual, s.c, first * s.residual_stride);
  block.squares = squares_of_group(s, call.squares, group);
  return block;
}

// Cuts a group into portions that fit the workspace and adds them to the batch, running it
// whenever it is full.
void Int8Matmul::add_group(const MatmulOperands& call, ThreadPool& pool, Batch& batch,
                           const Block& whole) const {
  const std::int64_t depth = whole.depth;
  const bool packs_b = !whole.thin && !spec_.product.b_packed;
  const std::int64_t column_bytes = packs_b ? b_bytes(16, depth) / 16 : 0;
  const std::int64_t row_bytes = a_bytes(16, depth) / 16;
  const auto portion = [](std::int64_t bytes, std::int64_t each, std::int64_t unit,
                          std::int64_t all) {
    const std::int64_t units = each == 0 ? all : bytes / each / unit * unit;
    return std::min(all, std::max(unit, units));
  };
  const std::int64_t columns = portion(kPackedB, column_bytes, kPortionColumns, whole.columns);
  const std::int64_t rows = portion(kPackedA, row_bytes, kTileRows, whole.rows);
  for (std::int64_t column = 0; column < whole.columns; column += columns) {
    for (std::int64_t row = 0; row < whole.rows; row += rows) {
      Block part = part_of(whole, row, std::min(rows, whole.rows - row), column,
                           std::min(columns, whole.columns - column));
      const std::int64_t for_a = round_up(a_bytes(part.rows, depth), 64);
      const std::int64_t for_b = packs_b ? round_up(b_bytes(part.columns, depth), 64) : 0;
      const std::int64_t bytes = for_a + for_b;
      if (batch.count == kMostBlocks || batch.used + bytes > capacity_) {
        run_batch(call, pool, batch);
        batch.count = 0;
        batch.used = 0;
      }
      part.packed_a = call.workspace.data() + batch.used;
      if (!spec_.product.b_packed) {
        part.packed_b = {part.packed_a + for_a, round_up(part.columns, 16), words_of(depth),
                         blocks_of(depth)};
      }
      batch.used += bytes;
      batch.blocks[batch.count++] = part;
    }
  }
}

Int8Matmul::Block Int8Matmul::part_of(const Block& whole, std::int64_t row, std::int64_t rows,
                                      std::int64_t column, std::int64_t columns) const {
  const MatmulSpec& s = spec_.product;
  Block part = whole;
  part.rows = rows;
  part.columns = columns;
  part.a += (s.a_transposed ? row : row * s.a_stride) * a_element_bytes();
  if (a_in_place()) part.scales += row;
  (s.a_transposed ? part.a_column : part.a_row) += row;
  if (!s.b_packed) part.b += (s.b_transposed ? column * s.b_stride : column) * b_element_bytes();
  if (spec_.b_coded) part.scales += column * blocks_of(s.depth);
  move_to(part, s, row, column);
  return part;
}

// Cuts the batch into tiles, smaller ones where there would be few for the threads.
void Int8Matmul::choose_tiles(Batch& batch, int threads) const {
  std::int64_t rows = kTileRows, columns = kTileColumns;
  // A turned panel begins at every 16 rows.
  const std::int64_t fewest = amx_ != nullptr ? 2 * kCellRows : kCellRows;
  while (true) {
    std::int64_t tiles = 0;
    for (int i = 0; i < batch.count; ++i) {
      Block& block = batch.blocks[i];
      block.tile_rows = block.thin ? block.rows : rows;
      block.tile_columns = block.thin ? kThinColumns : columns;
      block.tiles =
          divide_up(block.rows, block.tile_rows) * divide_up(block.columns, block.tile_columns);
      tiles += block.tiles;
    }
    if (tiles >= 8 * threads || rows == fewest) return;
    if (columns > 64) {
      columns /= 2;
    } else {
      rows /= 2;
    }
  }
}

void Int8Matmul::run_batch(const MatmulOperands& call, ThreadPool& pool, Batch& batch) const {
  const MatmulSpec& s = spec_.product;
  for (int i = 0; i < batch.count; ++i) {
    Block& block = batch.blocks[i];
    block.a_items =
        a_in_place() ? 0 : divide_up(block.rows, s.a_transposed ? kTileRows : kPackRows);
    block.b_items = block.thin || s.b_packed ? 0 : divide_up(block.columns, b_item_columns());
  }
  choose_tiles(batch, pool.threads());
  const std::int64_t a_items = batch.total(&Block::a_items);
  pool.parallel_for(a_items + batch.total(&Block::b_items), [&](std::int64_t item, int thread) {
    if (item < a_items) {
      const Block& block = batch.find(&Block::a_items, item);
      s.a_transposed ? pack_a_columns(call, block, item) : pack_a_rows(call, block, item);
      return;
    }
    item -= a_items;
    const Block& block = batch.find(&Block::b_items, item);
    pack_b(block, item, call.workspace.data() + capacity_ + thread * scratch_bytes_);
  });
  pool.parallel_for(batch.total(&Block::tiles), [&](std::int64_t tile, int) {
    const Block& block = batch.find(&Block::tiles, tile);
    block.thin ? multiply_thin(block, tile) : multiply(block, tile);
  });
}

void Int8Matmul::multiply_thin(const Block& block, std::int64_t tile) const {
  const std::int64_t column = tile * kThinColumns;
  Int8Thin t{};
  t.rows = block.rows;
  t.columns = std::min<std::int64_t>(kThinColumns, block.columns - column);
  t.depth = block.depth;
  t.block = spec_.block;
  t.blocks = block.packed_b.blocks;
  t.a = reinterpret_cast<const std::int8_t*>(block.packed_a);
  t.a_row_bytes = a_row_bytes(block.depth);
  t.a_scales = block.a_scales(t.a_row_bytes);
  t.b = reinterpret_cast<const std::int8_t*>(block.b) + column * block.depth;
  t.b_scales = block.scales + column * t.blocks;
  t.output = output_at(spec_.product, block, 0, column);
  thin_->multiply(t);
}

void Int8Matmul::multiply(const Block& block, std::int64_t tile) const {
  const MatmulSpec& s = spec_.product;
  const std::int64_t row_tiles = divide_up(block.rows, block.tile_rows);
  const std::int64_t row = tile % row_tiles * block.tile_rows;
  const std::int64_t column = tile / row_tiles * block.tile_columns;
  Int8Tile t{};
  t.rows = std::min(block.tile_rows, block.rows - row);
  t.columns = std::min(block.tile_columns, block.columns - column);
  t.words = block.packed_b.words;
  t.block_words = spec_.block / 4;
  t.blocks = block.packed_b.blocks;
  if (s.a_transposed) {
    // The tile lies within one panel: tile_rows divides kTileRows.
    const std::int64_t first = row / kTileRows * kTileRows;
    const std::int64_t width = round_up(std::min(kTileRows, block.rows - first), 16);
    t.a = block.a_panels().codes(first) + (row - first) * 4;
    t.a_row_bytes = 4;
    t.a_word_bytes = width * 4;
    t.a_scales = block.a_panels().scales(first) + (row - first);
    t.a_scale_row = 1;
    t.a_scale_block = width;
  } else if (spec_.a_coded) {
    t.a_row_bytes = s.a_stride;
    t.a_word_bytes = 4;
    t.a = reinterpret_cast<const std::int8_t*>(block.a) + row * s.a_stride;
    t.a_scales = block.scales + row;
    t.a_scale_row = 1;
  } else {
    t.a_row_bytes = a_row_bytes(block.depth);
    t.a_word_bytes = 4;
    t.a = reinterpret_cast<const std::int8_t*>(block.packed_a) + row * t.a_row_bytes;
    t.a_scales = block.a_scales(t.a_row_bytes) + row * t.blocks;
    t.a_scale_row = t.blocks;
    t.a_scale_block = 1;
  }
  t.b = block.packed_b.codes(column);
  t.b_scales = block.packed_b.scales(column);
  t.b_corrections = block.packed_b.corrections(column);
  t.output = output_at(s, block, row, column);
  (amx_ != nullptr ? amx_->tile : kernels_->tile)(t);
}

}  // namespace ingot::cpu
