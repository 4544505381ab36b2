#include "backends/cpu/int8_matmul_amx.h"

#include "backends/cpu/amx_tiles.h"
#include "backends/cpu/matmul_output_lanes.h"
#include "backends/cpu/simd.h"
#include "backends/cpu/transpose_lanes.h"

#if defined(__AMX_TILE__)
namespace ingot::cpu::INGOT_ISA {
namespace {

static_assert(kCellColumns % kAmxPanel == 0);

// What is left of a block, fewer than 16 words of its depth, padded with zeros.
struct alignas(64) Rest {
  std::int32_t a[2 * kTile][kTile];
  std::int32_t b[kTile * kAmxPanel];  // [16][columns of the panel]
};

// 32 rows times one panel.
struct Strip {
  std::int64_t rows;
  const std::int8_t* a;
  std::int64_t a_step;    // bytes from 16 words to the next
  std::int64_t a_bytes;   // from one row to the next
  std::int64_t a_blocks;  // from 16 rows to those below
  const float* a_scales;
  const std::int8_t* b;
  const float* b_scales;
};

// `words` of the depth from a and b on.
template <int column_blocks>
INGOT_SIMD void copy_rest(const Int8Tile& t, const Strip& strip, const std::int8_t* a,
                          const std::int8_t* b, std::int64_t words, Rest& rest) {
  constexpr std::int64_t kRowOfB = 64 * column_blocks;
  __builtin_memset(&rest, 0, sizeof rest);
  __builtin_memcpy(rest.b, b, words * kRowOfB);
  for (std::int64_t i = 0; i < strip.rows; ++i) {
    for (std::int64_t k = 0; k < words; ++k) {
      __builtin_memcpy(&rest.a[i][k], a + i * t.a_row_bytes + k * t.a_word_bytes, 4);
    }
  }
}

// sums [32][32] = those of a block of the depth, scaled, after those of the blocks before it.
template <int column_blocks>
INGOT_SIMD void add_scaled(const Int8Tile& t, const Strip& strip, std::int64_t block,
                           const std::int32_t* of_block, float* sums) {
  for (std::int64_t i = 0; i < strip.rows; ++i) {
    const F16 row_scale = broadcast(strip.a_scales[i * t.a_scale_row + block * t.a_scale_block]);
    for (int j = 0; j < column_blocks; ++j) {
      const std::int64_t place = i * kAmxPanel + j * kTile;
      const F16 scale = load(strip.b_scales + (block * column_blocks + j) * kTile) * row_scale;
      const F16 sum = to_float(load_int(of_block + place));
      store(sums + place, block == 0 ? sum * scale : fma(sum, scale, load(sums + place)));
    }
  }
}

template <int row_blocks, int column_blocks>
void multiply(const Int8Tile& t, const Strip& strip, float* sums) {
  alignas(64) std::int32_t of_block[2 * kTile * kAmxPanel];
  Rest rest;
  const std::int8_t* a = strip.a;
  const std::int8_t* b = strip.b;
  for (std::int64_t block = 0, left = t.words; block < t.blocks; ++block, left -= t.block_words) {
    const std::int64_t words = left < t.block_words ? left : t.block_words;
    clear_sums<row_blocks, column_blocks>();
    for (std::int64_t k = kTile; k <= words; k += kTile) {
      add_products<Int8Product, row_blocks, column_blocks>(
          (const char*)a, (const char*)a + strip.a_blocks, strip.a_bytes, (const char*)b);
      a += strip.a_step;
      b += column_blocks * kTileBytes;
    }
    if (const std::int64_t more = words % kTile; more != 0) {
      copy_rest<column_blocks>(t, strip, a, b, more, rest);
      fence();
      add_products<Int8Product, row_blocks, column_blocks>(
          (const char*)rest.a, (const char*)rest.a[kTile], 64, (const char*)rest.b);
      a += more * t.a_word_bytes;
      b += more * 64 * column_blocks;
    }
    store_sums<row_blocks, column_blocks>(of_block, kAmxPanel);
    add_scaled<column_blocks>(t, strip, block, of_block, sums);
  }
  fence();
}

void tile(const Int8Tile& t) {
  const bool turned = t.a_row_bytes == 4;
  alignas(64) float sums[2 * kTile * kAmxPanel];
  if (t.blocks == 0) {
    for (float& sum : sums) sum = 0;
  }
  std::int64_t configured = 0;  // for this many rows
  for (std::int64_t column = 0; column < t.columns; column += kAmxPanel) {
    const std::int64_t columns = t.columns - column < kAmxPanel ? t.columns - column : kAmxPanel;
    for (std::int64_t row = 0; row < t.rows; row += 2 * kTile) {
      const std::int64_t rows = t.rows - row < 2 * kTile ? t.rows - row : 2 * kTile;
      if (rows != configured) configure_tiles(configured = rows);
      Strip strip;
      strip.rows = rows;
      strip.a = t.a + row * t.a_row_bytes;
      strip.a_step = kTile * t.a_word_bytes;
      strip.a_bytes = turned ? t.a_word_bytes : t.a_row_bytes;
      strip.a_blocks = kTile * t.a_row_bytes;
      strip.a_scales = t.a_scales + row * t.a_scale_row;
      strip.b = t.b + column * t.words * 4;
      strip.b_scales = t.b_scales + column * t.blocks;
      const MatmulOutput output = part_of(t.output, row, column);
      prefetch(output, rows, columns);
      const auto kernel = rows > kTile      ? columns > kTile ? multiply<2, 2> : multiply<2, 1>
                               : columns > kTile ? multiply<1, 2>
                                            : multiply<1, 1>;
      kernel(t, strip, sums);
      finish(sums, kAmxPanel, rows, columns, output);
    }
    if (t.output.squares != nullptr) {
      add_squares_of_columns(t.output, t.rows, column, columns);
    }
  }
  _tile_release();
}

void turn(std::int8_t* panel, std::int64_t words, std::int64_t block_words, std::int64_t width) {
  for (std::int64_t first = 0; first < words; first += block_words) {
    const std::int64_t last = words - first < block_words ? words : first + block_words;
    for (std::int64_t word = first; word + kTile <= last; word += kTile) {
      for (std::int64_t row = 0; row < width; row += kTile) {
        float* corner = (float*)panel + word * width + row;
        F16 lines[kTile];
        for (int i = 0; i < kTile; ++i) lines[i] = load(corner + i * width);
        transpose_to(lines, corner, width);
      }
    }
  }
}

}  // namespace

extern const Int8MatmulAmx int8_matmul_amx = {kAmxPanel, turn, tile};

}  // namespace ingot::cpu::INGOT_ISA
#else  // another kind of CPU, which never asks for it
namespace ingot::cpu::INGOT_ISA {
extern const Int8MatmulAmx int8_matmul_amx = {};
}
#endif
