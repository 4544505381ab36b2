// The eight tile registers as products use them: the sums of 32 x 32 elements in 0 to 3, 32 rows of
// A in 4 and 5, 32 columns of B in 6 and 7. For kernels that isa_library compiles for level amx.
//
// The compiler does not know what tiles read and write: fence() between its accesses and theirs.
#pragma once

#include "backends/cpu/simd.h"

#if defined(INGOT_ISA) && defined(__AMX_TILE__)

namespace ingot::cpu::INGOT_ISA {

constexpr int kTile = 16;             // rows, and words of a row
constexpr int kTileBytes = 16 * 64;   // of a full one
constexpr int kAmxPanel = 2 * kTile;  // columns of a panel of B, and rows of A, of one step

INGOT_SIMD void fence() { asm volatile("" ::: "memory"); }

// Gives this thread its tiles for a number of rows of A (1 to 32). What they held is lost.
INGOT_SIMD void configure_tiles(std::int64_t rows) {
  struct alignas(64) {
    std::uint8_t palette, start, reserved[14];
    std::uint16_t row_bytes[16];
    std::uint8_t rows[16];
  } config;
  __builtin_memset(&config, 0, sizeof config);
  config.palette = 1;
  const std::uint8_t upper = static_cast<std::uint8_t>(rows < kTile ? rows : kTile);
  const std::uint8_t lower = static_cast<std::uint8_t>(rows <= kTile ? kTile : rows - kTile);
  const std::uint8_t of_tile[8] = {upper, upper, lower, lower, upper, lower, kTile, kTile};
  for (int i = 0; i < 8; ++i) {
    config.row_bytes[i] = 64;
    config.rows[i] = of_tile[i];
  }
  fence();
  _tile_loadconfig(&config);
}

// sum += a b, of tiles by their numbers; kDepth: elements along the depth.
struct Bf16Product {
  static constexpr int kDepth = 32;
  template <int sum, int a, int b>
  INGOT_SIMD void add() {
    asm volatile("tdpbf16ps\t%%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(sum), "i"(a), "i"(b));
  }
};
struct Int8Product {  // signed bytes, 32-bit sums
  static constexpr int kDepth = 64;
  template <int sum, int a, int b>
  INGOT_SIMD void add() {
    asm volatile("tdpbssd\t%%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(sum), "i"(a), "i"(b));
  }
};

// Which of the four sums there are: one or two blocks of 16 rows and of 16 columns.
template <int row_blocks, int column_blocks>
INGOT_SIMD void clear_sums() {
  _tile_zero(0);
  if constexpr (column_blocks == 2) _tile_zero(1);
  if constexpr (row_blocks == 2) _tile_zero(2);
  if constexpr (row_blocks == 2 && column_blocks == 2) _tile_zero(3);
}

// sums: words, [32][stride] words.
template <int row_blocks, int column_blocks>
INGOT_SIMD void load_sums(const void* sums, std::int64_t stride) {
  const char* from = static_cast<const char*>(sums);
  _tile_loadd(0, from, stride * 4);
  if constexpr (column_blocks == 2) _tile_loadd(1, from + 64, stride * 4);
  from += kTile * stride * 4;
  if constexpr (row_blocks == 2) _tile_loadd(2, from, stride * 4);
  if constexpr (row_blocks == 2 && column_blocks == 2) _tile_loadd(3, from + 64, stride * 4);
}

template <int row_blocks, int column_blocks>
INGOT_SIMD void store_sums(void* sums, std::int64_t stride) {
  char* to = static_cast<char*>(sums);
  _tile_stored(0, to, stride * 4);
  if constexpr (column_blocks == 2) _tile_stored(1, to + 64, stride * 4);
  to += kTile * stride * 4;
  if constexpr (row_blocks == 2) _tile_stored(2, to, stride * 4);
  if constexpr (row_blocks == 2 && column_blocks == 2) _tile_stored(3, to + 64, stride * 4);
  fence();
}

// Sixteen words further along the depth: a and below, the rows of A 16 further down, in rows of
// a_bytes; b: [16 words][16 * column_blocks words].
template <class Product, int row_blocks, int column_blocks>
INGOT_SIMD void add_products(const char* a, const char* below, std::int64_t a_bytes,
                             const char* b) {
  constexpr std::int64_t kRowOfB = 64 * column_blocks;
  _tile_loadd(6, b, kRowOfB);
  if constexpr (column_blocks == 2) _tile_loadd(7, b + 64, kRowOfB);
  _tile_loadd(4, a, a_bytes);
  Product::template add<0, 4, 6>();
  if constexpr (column_blocks == 2) Product::template add<1, 4, 7>();
  if constexpr (row_blocks == 2) {
    _tile_loadd(5, below, a_bytes);
    Product::template add<2, 5, 6>();
    if constexpr (column_blocks == 2) Product::template add<3, 5, 7>();
  }
}

}  // namespace ingot::cpu::INGOT_ISA

#endif  // INGOT_ISA
