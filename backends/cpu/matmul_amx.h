// Products of bf16 by the matrix unit of AMX (Xeons since Sapphire Rapids): 16 x 16 sums, 32 along
// the depth, in one instruction.
//
// Panels of B are those of matmul_simd.h, 32 columns wide, their depth padded with zeros to whole
// steps of 32. A is used where it lies, or packed into blocks of 16 rows x 32 along the depth, each
// 1 KiB, padded likewise: [rows / 16][depth / 32][16][32].
// An element's sum takes 32 products at a time: those at even places, those at odd ones, then both
// are added to it. Subnormal numbers count as 0, as with vdpbf16ps.
#pragma once

#include <cstdint>

#include "backends/cpu/matmul_simd.h"

namespace ingot::cpu {

struct MatmulAmx {
  std::int64_t panel;       // columns of a full panel
  std::int64_t depth_unit;  // words of depth that panels are padded to
  // As MatmulKernels::pack_pairs; what pads the depth is the caller's.
  void (*pack_pairs[2])(const void* source, std::int64_t stride, std::int64_t depth,
                        std::int64_t columns, void* panel, std::int64_t width);
  // source [depth][rows] into blocks of A.
  void (*pack_a)(const void* source, std::int64_t stride, std::int64_t depth, std::int64_t rows,
                 void* to);
  // tile.a_packed: blocks of A; tile.pairs is not asked.
  void (*tile)(const MatmulTile& tile);
};

namespace amx {
extern const MatmulAmx matmul_amx;
}

}  // namespace ingot::cpu
