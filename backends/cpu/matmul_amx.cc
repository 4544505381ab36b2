#include "backends/cpu/matmul_amx.h"

#include "backends/cpu/amx_tiles.h"
#include "backends/cpu/matmul_output_lanes.h"
#include "backends/cpu/matmul_packing_lanes.h"
#include "backends/cpu/simd.h"

#if defined(__AMX_TILE__)
namespace ingot::cpu::INGOT_ISA {
namespace {

constexpr int kDepth = Bf16Product::kDepth;
static_assert(kCellColumns % kAmxPanel == 0);

// What of A's last step is there, in rows of kDepth elements.
using Tail = std::uint16_t[2 * kTile][kDepth];

struct Step {
  const char* a;
  std::int64_t a_bytes;   // from one row to the next
  std::int64_t a_step;    // from one step to the next
  std::int64_t a_blocks;  // from 16 rows to those below
  const char* b;
  std::int64_t steps;
  const Tail* tail;  // null: none
};

template <int row_blocks, int column_blocks>
void multiply(const Step& step, float* sums, std::int64_t sums_stride, bool first) {
  if (first) {
    clear_sums<row_blocks, column_blocks>();
  } else {
    load_sums<row_blocks, column_blocks>(sums, sums_stride);
  }
  const char* a = step.a;
  const char* b = step.b;
  for (std::int64_t k = 0; k < step.steps; ++k, a += step.a_step, b += column_blocks * kTileBytes) {
    add_products<Bf16Product, row_blocks, column_blocks>(a, a + step.a_blocks, step.a_bytes, b);
  }
  if (step.tail != nullptr) {
    const char* tail = (const char*)step.tail;
    add_products<Bf16Product, row_blocks, column_blocks>(tail, tail + kTileBytes, 64, b);
  }
  store_sums<row_blocks, column_blocks>(sums, sums_stride);
}

void choose_and_multiply(std::int64_t rows, std::int64_t columns, const Step& step, float* sums,
                         std::int64_t sums_stride, bool first) {
  const auto kernel = rows > kTile      ? columns > kTile ? multiply<2, 2> : multiply<2, 1>
                           : columns > kTile ? multiply<1, 2>
                                        : multiply<1, 1>;
  kernel(step, sums, sums_stride, first);
}

void tile(const MatmulTile& t) {
  const std::int64_t words = (t.depth + kDepth - 1) / kDepth * kTile;
  const std::int64_t tail_elements = t.a_packed ? 0 : t.depth % kDepth;
  alignas(64) float local[2 * kTile * kAmxPanel];
  alignas(64) Tail tail;
  std::int64_t configured = 0;  // for this many rows
  for (std::int64_t column = 0; column < t.columns; column += kAmxPanel) {
    const std::int64_t columns = t.columns - column < kAmxPanel ? t.columns - column : kAmxPanel;
    const std::int64_t width = columns > kTile ? kAmxPanel : kTile;
    for (std::int64_t row = 0; row < t.rows; row += 2 * kTile) {
      const std::int64_t rows = t.rows - row < 2 * kTile ? t.rows - row : 2 * kTile;
      if (rows != configured) configure_tiles(configured = rows);
      Step step;
      step.b = static_cast<const char*>(t.b) + column / kAmxPanel * t.panel_bytes +
               t.first_word * width * 4;
      step.steps = (tail_elements == 0 ? words : t.depth / 2) / kTile;
      step.tail = tail_elements == 0 ? nullptr : &tail;
      if (t.a_packed) {
        step.a = static_cast<const char*>(t.a) + row * words * 4;
        step.a_bytes = 64;
        step.a_step = kTileBytes;
        step.a_blocks = kTile * words * 4;
      } else {
        step.a = static_cast<const char*>(t.a) + row * t.a_row_bytes;
        step.a_bytes = t.a_row_bytes;
        step.a_step = 2 * kDepth;
        step.a_blocks = kTile * t.a_row_bytes;
        for (std::int64_t i = 0; tail_elements != 0 && i < rows; ++i) {
          const char* from = step.a + i * t.a_row_bytes + step.steps * step.a_step;
          const F16 words_of_tail =
              load_pairs((const std::uint16_t*)from, static_cast<int>(tail_elements));
          store((float*)tail[i], words_of_tail);
        }
      }
      float* sums = t.sums != nullptr ? t.sums + row * t.sums_stride + column : local;
      const std::int64_t stride = t.sums != nullptr ? t.sums_stride : kAmxPanel;
      const MatmulOutput output = part_of(t.output, row, column);
      if (t.last) prefetch(output, rows, columns);
      fence();
      choose_and_multiply(rows, columns, step, sums, stride, t.first);
      if (t.last) finish(sums, stride, rows, columns, output);
    }
    if (t.last && t.output.squares != nullptr) {
      add_squares_of_columns(t.output, t.rows, column, columns);
    }
  }
  _tile_release();
}

// Two rows of `source` become one of words; sixteen of these, transposed, a block.
void pack_a(const void* source, std::int64_t stride, std::int64_t depth, std::int64_t rows,
            void* to) {
  const std::uint16_t* from = static_cast<const std::uint16_t*>(source);
  const std::int64_t steps = (depth + kDepth - 1) / kDepth;
  for (std::int64_t step = 0; step < steps; ++step) {
    const std::int64_t k = step * kDepth;
    for (std::int64_t row = 0; row < rows; row += kTile) {
      const __mmask16 mask = static_cast<__mmask16>((1u << lanes_left(rows - row)) - 1u);
      F16 pairs[kTile];
      for (int i = 0; i < kTile; ++i) {
        const std::int64_t place = k + 2 * i;
        const std::uint16_t* corner = from + place * stride + row;
        const __m512i first =
            _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(place < depth ? mask : 0, corner));
        const __m512i second = _mm512_cvtepu16_epi32(
            _mm256_maskz_loadu_epi16(place + 1 < depth ? mask : 0, corner + stride));
        pairs[i].part[0] = (FloatPart)_mm512_or_si512(first, _mm512_slli_epi32(second, 16));
      }
      transpose_to(pairs, (float*)((char*)to + (row * steps + kTile * step) * 64), kTile);
    }
  }
}

}  // namespace

extern const MatmulAmx matmul_amx = {
    kAmxPanel, kTile, {pack_pairs_plain, pack_pairs_transposed}, pack_a, tile};

}  // namespace ingot::cpu::INGOT_ISA
#else  // another kind of CPU, which never asks for it
namespace ingot::cpu::INGOT_ISA {
extern const MatmulAmx matmul_amx = {};
}
#endif
