// Sixteen lanes of float or int32, for kernels compiled by isa_library: one source, compiled for
// SSE2 (base), AVX2 (v3) and AVX-512 (v4, v4_bf16). No headers with functions, nothing that leaks
// out of `namespace ingot::cpu::INGOT_ISA`; outside isa_library only the storage types are seen.
//
//   for (std::int64_t i = 0; i < count; i += kLanes) {     // T: float, BFloat16 or Half
//     const int n = lanes_left(count - i);                 // 16, fewer at the tail
//     store_partial(y + i, sigmoid(load_partial(x + i, n)), n);
//   }
//
// What differs between levels: a * b + c is one rounding from v3 on, two at base. So each level
// gives its own bits, always the same ones.
#pragma once

#include "backends/cpu/simd_lanes.h"   // arithmetic, comparison, sums over the lanes
#include "backends/cpu/simd_math.h"    // sqrt, exp, log, sigmoid, tanh
#include "backends/cpu/simd_memory.h"  // loads and stores of float, bf16 and half
