#pragma once

#include <cstdint>

#include "backends/cpu/isa.h"
#include "backends/cpu/simd.h"

namespace ingot::cpu {

// The heads of one token, in place: `count` heads, `stride` elements apart, each rotates its first
// 2 * half elements. angles: half cosines, then half sines. sign: 1, or -1 to rotate back.
// The same heads of the token `ahead` elements later are fetched for a later call.
template <class T>
using RopeFunction = void (*)(T* x, std::int64_t count, std::int64_t stride, std::int64_t ahead,
                              const float* angles, std::int64_t half, float sign);

template <class T>
struct RopeFunctions {
  RopeFunction<T> adjacent;  // pairs (2i, 2i+1)
  RopeFunction<T> split;     // pairs (i, i + half)
};

struct RopeKernels {
  RopeFunctions<float> f32;
  RopeFunctions<BFloat16> bf16;
  RopeFunctions<Half> f16;
};

INGOT_KERNEL_TABLE(RopeKernels, rope_kernels)

}  // namespace ingot::cpu
