#include "backends/cpu/matmul.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <string>

#include "backends/cpu/matmul_amx.h"
#include "backends/cpu/matmul_parts.h"
#include "backends/cpu/matmul_simd.h"
#include "engine/base/error.h"

namespace ingot::cpu {
namespace {

// B is packed and used in portions of this size: they stay in L3, and the workspace stays small.
constexpr std::int64_t kPackedBytes = 8 << 20;

[[noreturn]] void refuse(const char* what) {
  throw Error(ErrorCode::usage, what, "backends/cpu/matmul");
}

}  // namespace

// Some columns of one group: pointers to its first elements, sizes as in MatmulSpec.
struct Matmul::Block : BlockOutput {
  std::int64_t rows, columns, depth;
  const std::byte* a;
  const std::byte* b;
  bool thin;  // so few rows that packing B would take longer than the product
  bool own;   // tiles have many rows, and pack their columns of B themselves
  std::byte* packed;
  std::int64_t tile_rows, tile_columns;
  std::int64_t panels, tiles;  // work to do
};

// What of a product fits which cache.
struct Matmul::Blocking {
  // Steps along the depth of a tile in 4-byte words. When A is used where it lies, up to
  // `longest_step` is one step.
  std::int64_t step, longest_step;
  // Largest tile of C.
  std::int64_t tile_rows, tile_columns;
  // Unless B is deep, a product is done column by column: a thread packs some columns of B into its
  // own cache and multiplies many rows with them at once. So B is not written to memory and read
  // again. A transposed A is packed for each tile, so there this pays for groups of few tokens
  // only, with wider tiles.
  std::int64_t own_rows, own_columns, own_bytes;
};

const Matmul::Blocking& Matmul::blocking() const {
  static constexpr Blocking kRegisters = {256, 1024,     kTileRows, kTileColumns, 10 * kTileRows,
                                          128, 256 << 10};
  // The sums of a tile, and of a step A and B, in 2 MiB of L2: with tiles of registers what comes
  // from beyond it is what products wait for.
  static constexpr Blocking kAmx = {256, 1024, 4 * kTileRows, 512, 8 * kTileRows, 512, 1 << 20};
  return amx_ != nullptr ? kAmx : kRegisters;
}

// Blocks whose packed B fits the workspace at the same time.
struct Matmul::Batch : BlockBatch<Block> {};

Matmul::Matmul(const MatmulSpec& spec, Isa isa)
    : spec_(spec),
      kernels_(&matmul_kernels(isa)),
      amx_(isa == Isa::amx && spec.a == DType::bf16 ? &amx::matmul_amx : nullptr) {
  MatmulSpec& s = spec_;
  if (s.rows < 1 || s.columns < 1 || s.depth < 1 || s.groups < 1 || s.threads < 1) {
    refuse("a matmul of size 0");
  }
  if (!is_float(s.a) || s.a != s.b || (s.c != s.a && s.c != DType::f32)) {
    refuse("a matmul of types that don't go together");
  }
  if (s.a_transposed && (s.b_packed || s.residual)) {
    refuse("a transposed A with a packed B or a residual");
  }
  const auto set_stride = [](std::int64_t& stride, std::int64_t dense) {
    if (stride == 0) stride = dense;
    if (stride < dense) refuse("a matmul operand whose rows overlap");
  };
  set_stride(s.a_stride, s.a_transposed ? s.rows : s.depth);
  set_stride(s.b_stride, s.b_transposed ? s.depth : s.columns);
  set_stride(s.c_stride, s.columns);
  set_stride(s.residual_stride, s.columns);
  if (s.group_stride == 0) {
    s.group_stride =
        s.a_transposed ? s.rows * s.c_stride : (s.b_transposed ? s.columns : s.depth) * s.b_stride;
  }
  prepares_a_ = s.a_transposed || !(s.a == DType::f32 || pairs());

  const std::int64_t width = round_up(s.columns, 16);
  if (!s.b_packed) {
    // Groups that split the depth: each may pad its own to whole words.
    const std::int64_t all =
        s.a_transposed ? (words_of(s.depth) + s.groups * words_of(1)) * width * 4 : packed_bytes();
    const std::int64_t least = std::min(width, kPortionColumns) * words_of(s.depth) * 4;
    // Groups come one after the other: half of them at a time costs one more wait of the threads.
    const std::int64_t enough = s.groups > 1 ? std::min(kPackedBytes, all / 2) : kPackedBytes;
    packed_capacity_ = std::min(all, round_up(std::max(enough, least), 64));
  }
  const std::int64_t tile_rows = std::min(blocking().tile_rows, round_up(s.rows, 16));
  const std::int64_t tile_columns = std::min(blocking().tile_columns, width);
  const std::int64_t step = step_words(s.depth);
  const std::int64_t own_bytes = blocking().own_bytes;
  if (prepares_a_) {
    const std::int64_t longest = std::min(step, words_of(s.depth));
    scratch_a_bytes_ =
        round_up(s.a_transposed ? tile_rows * longest * 4 : tile_rows * (longest + 16) * 4, 64);
  }
  if (words_of(s.depth) > step) scratch_sums_bytes_ = tile_rows * tile_columns * 4;
  if (!s.b_packed && (s.groups > 1 || !s.a_transposed)) {
    const std::int64_t bytes = own_columns() * words_of(s.depth) * 4;
    if (s.a_transposed || bytes <= own_bytes) scratch_b_bytes_ = std::min(bytes, own_bytes);
    if (!s.a_transposed && scratch_b_bytes_ > 0) packed_capacity_ = 0;  // every tile packs its own
  }
  workspace_bytes_ = packed_capacity_ + s.threads * scratch_bytes();
}

Matmul Matmul::overwriting() const {
  Matmul result = *this;
  result.spec_.accumulate = false;
  return result;
}

bool Matmul::pairs() const { return spec_.a == DType::bf16 && kernels_->bf16_pairs; }

std::int64_t Matmul::panel_columns() const {
  return amx_ != nullptr ? amx_->panel : kernels_->panel;
}

std::int64_t Matmul::words_of(std::int64_t depth) const {
  const std::int64_t words = pairs() ? divide_up(depth, 2) : depth;
  return amx_ != nullptr ? round_up(words, amx_->depth_unit) : words;
}

// A step's length depends on the depth alone, so that sums are cut at the same places always.
std::int64_t Matmul::step_words(std::int64_t depth) const {
  const std::int64_t words = words_of(depth);
  const Blocking& sizes = blocking();
  return !prepares_a_ && words <= sizes.longest_step ? std::max<std::int64_t>(words, 1)
                                                     : sizes.step;
}

// Most columns of a tile that packs its own part of B.
std::int64_t Matmul::own_columns() const {
  return std::min(round_up(spec_.columns, 16),
                  spec_.a_transposed ? blocking().tile_columns : blocking().own_columns);
}

std::int64_t Matmul::packed_bytes() const {
  return spec_.groups * round_up(spec_.columns, 16) * words_of(spec_.depth) * 4;
}

double Matmul::flops(std::int64_t a_rows) const {
  const std::int64_t fixed = spec_.a_transposed ? spec_.rows : spec_.depth;
  return 2.0 * static_cast<double>(a_rows) * static_cast<double>(fixed) *
         static_cast<double>(spec_.columns);
}

void Matmul::pack(ThreadPool& pool, const void* b, void* packed) const {
  const std::int64_t panels = divide_up(spec_.columns, panel_columns());
  pool.parallel_for(panels * spec_.groups, [&](std::int64_t task, int) {
    const std::int64_t group = task / panels;
    Block block{};
    block.columns = spec_.columns;
    block.depth = spec_.depth;
    block.b = at(b, spec_.b, group * spec_.group_stride);
    block.packed = static_cast<std::byte*>(packed) + group * (packed_bytes() / spec_.groups);
    pack_panel(block, task % panels);
  });
}

void Matmul::pack_panel(const Block& block, std::int64_t panel) const {
  const std::int64_t column = panel * panel_columns();
  const std::int64_t columns = std::min(panel_columns(), block.columns - column);
  const std::int64_t width = round_up(columns, 16), words = words_of(block.depth);
  std::byte* to = block.packed + column * words * 4;
  const auto kernel = amx_ != nullptr ? amx_->pack_pairs[spec_.b_transposed]
                      : pairs()       ? kernels_->pack_pairs[spec_.b_transposed]
                                : kernels_->pack_words[type_index(spec_.b)][spec_.b_transposed];
  kernel(at(block.b, spec_.b, spec_.b_transposed ? column * spec_.b_stride : column),
         spec_.b_stride, block.depth, columns, to, width);
  const std::int64_t there = pairs() ? divide_up(block.depth, 2) : block.depth;
  std::memset(to + there * width * 4, 0, (words - there) * width * 4);
}

// The whole group, all columns; no tiles yet.
Matmul::Block Matmul::block_of_group(const MatmulOperands& call, int group) const {
  const MatmulSpec& s = spec_;
  const std::int64_t first = call.offsets.empty() ? 0 : call.offsets[group];
  const std::int64_t count = (call.offsets.empty() ? call.a_rows : call.offsets[group + 1]) - first;
  Block block{};
  block.rows = s.a_transposed ? s.rows : count;
  block.depth = s.a_transposed ? count : s.depth;
  block.columns = s.columns;
  block.a = at(call.a, s.a, first * s.a_stride);
  block.bias = call.bias;
  block.thin = !s.a_transposed && count <= kThinRows && (!s.b_packed || call.unpacked_b != nullptr);
  if (s.a_transposed) {
    block.b = at(call.b, s.b, s.b_transposed ? first : first * s.b_stride);
    block.c = static_cast<std::byte*>(call.c) + group * s.group_stride * size_of(s.c);
    block.squares = squares_of_group(s, call.squares, group);
  } else {
    block.b = !s.b_packed  ? at(call.b, s.b, group * s.group_stride)
              : block.thin ? at(call.unpacked_b, s.b, group * s.group_stride)
                           : at(call.b, DType::i8, group * (packed_bytes() / s.groups));
    block.c = static_cast<std::byte*>(call.c) + first * s.c_stride * size_of(s.c);
    if (call.residual != nullptr)
      block.residual = at(call.residual, s.c, first * s.residual_stride);
  }
  block.own = !block.thin && own_columns() * words_of(block.depth) * 4 <= scratch_b_bytes_;
  return block;
}

void Matmul::run(ThreadPool& pool, const MatmulOperands& call) const {
  check_call(spec_, call, workspace_bytes_, pool.threads());
  Batch batch;
  std::int64_t used = 0;  // of the workspace, by the batch
  for (int group = 0; group < spec_.groups; ++group) {
    const Block whole = block_of_group(call, group);
    if (whole.rows == 0 || (nothing_to_add(spec_, whole.depth) && call.squares == nullptr))
      continue;
    const bool shares = !whole.thin && !whole.own && !spec_.b_packed;  // a packed B
    const std::int64_t column_bytes = shares ? words_of(whole.depth) * 4 : 0;
    for (std::int64_t column = 0; column < whole.columns;) {
      std::int64_t columns = whole.columns - column;
      if (round_up(columns, 16) * column_bytes > packed_capacity_ - used) {
        columns = (packed_capacity_ - used) / column_bytes / kPortionColumns * kPortionColumns;
      }
      if (columns == 0 || batch.count == kMostBlocks) {
        run_batch(call, pool, batch);
        batch.count = 0;
        used = 0;
        continue;
      }
      Block& block = batch.blocks[batch.count++] = columns_of(whole, column, columns);
      if (column_bytes != 0) block.packed = call.workspace.data() + used;
      used += round_up(columns, 16) * column_bytes;
      column += columns;
    }
  }
  run_batch(call, pool, batch);
}

bool nothing_to_add(const MatmulSpec& spec, std::int64_t depth) {
  return spec.accumulate && depth == 0 && !spec.bias && !spec.residual;
}

void check_call(const MatmulSpec& spec, const MatmulOperands& call, std::int64_t workspace_bytes,
                int threads) {
  if (call.a_rows < 0 || call.a_rows > (spec.a_transposed ? spec.depth : spec.rows)) {
    refuse("a matmul with more rows than it was made for");
  }
  if (threads > spec.threads || std::ssize(call.workspace) < workspace_bytes ||
      reinterpret_cast<std::uintptr_t>(call.workspace.data()) % 64 != 0) {
    refuse("a matmul with too little or misaligned workspace");
  }
  if ((call.bias != nullptr) != spec.bias || (call.residual != nullptr) != spec.residual) {
    refuse("a matmul whose bias or residual is not what it was made for");
  }
  if (call.squares != nullptr && (!spec.a_transposed || spec.c != DType::f32)) {
    refuse("squares of what is not the gradient of a weight");
  }
  if (call.offsets.empty() && spec.groups == 1) return;
  if (std::ssize(call.offsets) != spec.groups + 1 || call.offsets[0] != 0 ||
      call.offsets.back() > call.a_rows || !std::ranges::is_sorted(call.offsets)) {
    refuse("a matmul whose groups' offsets don't split its rows");
  }
}

Matmul::Block Matmul::columns_of(const Block& whole, std::int64_t column,
                                 std::int64_t columns) const {
  Block block = whole;
  block.columns = columns;
  if (spec_.b_packed && !block.thin) {  // all columns at once: column is 0
    block.packed = const_cast<std::byte*>(whole.b);
  } else {
    block.b += (spec_.b_transposed ? column * spec_.b_stride : column) * size_of(spec_.b);
  }
  move_to(block, spec_, 0, column);
  return block;
}

// Cuts the batch into tiles, smaller ones where there would be few for the threads.
void Matmul::choose_tiles(Batch& batch, int threads) const {
  std::int64_t rows = blocking().tile_rows, columns = blocking().tile_columns;
  std::int64_t own_rows = blocking().own_rows;
  while (true) {
    std::int64_t tiles = 0;
    for (int i = 0; i < batch.count; ++i) {
      Block& block = batch.blocks[i];
      block.tile_rows = block.thin ? block.rows : block.own ? own_rows : rows;
      block.tile_columns = block.thin  ? kThinColumns
                           : block.own ? std::min(columns, own_columns())
                                       : columns;
      block.panels =
          block.packed == nullptr || spec_.b_packed ? 0 : divide_up(block.columns, panel_columns());
      block.tiles =
          divide_up(block.rows, block.tile_rows) * divide_up(block.columns, block.tile_columns);
      tiles += block.tiles;
    }
    if (rows == kCellRows) return;
    if (amx_ != nullptr) {
      if (tiles >= 4 * threads) return;
      if (rows > 2 * kTileRows || (columns <= 256 && rows > kTileRows) || columns <= 64) {
        rows /= 2;
        own_rows = std::max(own_rows / 2, kTileRows);
      } else {
        columns /= 2;
      }
    } else {
      if (tiles >= 8 * threads) return;
      (columns > 64 ? columns : rows) /= 2;
    }
  }
}

void Matmul::run_batch(const MatmulOperands& call, ThreadPool& pool, Batch& batch) const {
  choose_tiles(batch, pool.threads());
  pool.parallel_for(batch.total(&Block::panels), [&](std::int64_t panel, int) {
    const Block& block = batch.find(&Block::panels, panel);
    pack_panel(block, panel);
  });
  pool.parallel_for(batch.total(&Block::tiles), [&](std::int64_t tile, int thread) {
    const Block& block = batch.find(&Block::tiles, tile);
    std::byte* scratch = call.workspace.data() + packed_capacity_ + thread * scratch_bytes();
    if (block.thin) {
      multiply_thin(block, tile);
    } else if (block.own) {
      pack_and_multiply(block, tile, scratch);
    } else {
      multiply_tile(block, tile, scratch);
    }
  });
}

float* squares_of_group(const MatmulSpec& s, float* squares, int group) {
  if (squares == nullptr) return nullptr;
  return squares + group * divide_up(s.rows, kCellRows) * divide_up(s.columns, kCellColumns);
}

void move_to(BlockOutput& block, const MatmulSpec& s, std::int64_t row, std::int64_t column) {
  block.c += (row * s.c_stride + column) * size_of(s.c);
  if (block.bias != nullptr) block.bias += column;
  if (block.residual != nullptr) {
    block.residual += (row * s.residual_stride + column) * size_of(s.c);
  }
  if (block.squares != nullptr) {
    block.squares += row / kCellRows * divide_up(s.columns, kCellColumns) + column / kCellColumns;
  }
}

MatmulOutput output_at(const MatmulSpec& s, const BlockOutput& block, std::int64_t row,
                       std::int64_t column) {
  BlockOutput from = block;
  move_to(from, s, row, column);
  MatmulOutput output{};
  output.c = from.c;
  output.c_type = type_index(s.c);
  output.c_stride = s.c_stride;
  output.accumulate = s.accumulate;
  output.bias = from.bias;
  output.residual = from.residual;
  output.squares = from.squares;
  output.squares_stride = divide_up(s.columns, kCellColumns);
  output.residual_stride = s.residual_stride;
  return output;
}

void Matmul::multiply_thin(const Block& block, std::int64_t tile) const {
  const std::int64_t column = tile * kThinColumns;
  MatmulThin thin{};
  thin.rows = block.rows;
  thin.columns = std::min<std::int64_t>(kThinColumns, block.columns - column);
  thin.depth = block.depth;
  thin.a = block.a;
  thin.a_stride = spec_.a_stride;
  thin.b = at(block.b, spec_.b, spec_.b_transposed ? column * spec_.b_stride : column);
  thin.b_stride = spec_.b_stride;
  thin.output = output_at(spec_, block, 0, column);
  kernels_->thin[type_index(spec_.b)][spec_.b_transposed](thin);
}

void Matmul::pack_and_multiply(const Block& block, std::int64_t tile, std::byte* scratch) const {
  const std::int64_t row_tiles = divide_up(block.rows, block.tile_rows);
  const std::int64_t column = tile / row_tiles * block.tile_columns;
  Block part = columns_of(block, column, std::min(block.tile_columns, block.columns - column));
  part.packed = scratch + scratch_a_bytes_ + scratch_sums_bytes_;
  for (std::int64_t panel = 0; panel * panel_columns() < part.columns; ++panel) {
    pack_panel(part, panel);
  }
  part.tile_rows = kTileRows;
  const std::int64_t tiles = block.tile_rows / kTileRows;
  const std::int64_t first = tile % row_tiles * tiles;
  const std::int64_t last = std::min(first + tiles, divide_up(block.rows, kTileRows));
  for (std::int64_t i = first; i < last; ++i) multiply_tile(part, i, scratch);
}

void Matmul::multiply_tile(const Block& block, std::int64_t tile, std::byte* scratch) const {
  const std::int64_t row_tiles = divide_up(block.rows, block.tile_rows);
  const std::int64_t row = tile % row_tiles * block.tile_rows;
  const std::int64_t column = tile / row_tiles * block.tile_columns;
  const std::int64_t words = words_of(block.depth), step = step_words(block.depth);

  MatmulTile t{};
  t.rows = std::min(block.tile_rows, block.rows - row);
  t.columns = std::min(block.tile_columns, block.columns - column);
  t.pairs = pairs();
  if (words > step) t.sums = reinterpret_cast<float*>(scratch + scratch_a_bytes_);
  t.sums_stride = round_up(t.columns, 16);
  t.output = output_at(spec_, block, row, column);
  for (std::int64_t word = 0; word == 0 || word < words; word += step) {
    const std::int64_t first = t.pairs ? 2 * word : word;  // along the depth
    t.depth = std::min(t.pairs ? 2 * step : step, block.depth - first);
    t.first = word == 0;
    t.last = word + step >= words;
    place_a(block, row, first, scratch, t);
    t.b = block.packed + column * words * 4;
    t.panel_bytes = panel_columns() * words * 4;
    t.first_word = word;
    (amx_ != nullptr ? amx_->tile : kernels_->tile)(t);
  }
}

// Points t at the rows of A from `row` on, along the depth from `first` on; in scratch if they have
// to be transposed or widened.
void Matmul::place_a(const Block& block, std::int64_t row, std::int64_t first, std::byte* scratch,
                     MatmulTile& t) const {
  const std::int64_t stride = spec_.a_stride;
  if (!prepares_a_) {
    t.a = at(block.a, spec_.a, row * stride + first);
    t.a_row_bytes = stride * size_of(spec_.a);
    t.a_word_bytes = 4;
    return;
  }
  t.a = scratch;
  t.a_packed = spec_.a_transposed;
  if (amx_ != nullptr) {
    amx_->pack_a(at(block.a, spec_.a, first * stride + row), stride, t.depth, t.rows, scratch);
  } else if (spec_.a_transposed) {
    const std::int64_t width = round_up(t.rows, 16);
    const auto kernel =
        pairs() ? kernels_->pack_pairs[0] : kernels_->pack_words[type_index(spec_.a)][0];
    kernel(at(block.a, spec_.a, first * stride + row), stride, t.depth, t.rows, scratch, width);
    t.a_row_bytes = 4;
    t.a_word_bytes = width * 4;
  } else {
    const std::int64_t to_stride = t.depth + 16;  // no power of 2: rows fall into different sets
    kernels_->widen[type_index(spec_.a)](at(block.a, spec_.a, row * stride + first), stride, t.rows,
                                         t.depth, reinterpret_cast<float*>(scratch), to_stride);
    t.a_row_bytes = to_stride * 4;
    t.a_word_bytes = 4;
  }
}

}  // namespace ingot::cpu
