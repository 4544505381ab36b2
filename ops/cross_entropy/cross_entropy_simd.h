// One row of softmax cross entropy.
#pragma once

#include <cstdint>

#include "backends/cpu/isa.h"

namespace ingot::cpu {

struct CrossEntropyKernels {
  // -log softmax(logits)[target], from fp32 logits.
  float (*loss)(const float* logits, std::int64_t vocabulary, std::int32_t target);
  // The same, and (softmax - onehot(target)) * factor in place of the logits, from their first byte
  // on, by storage type (0 f32, 1 bf16, 2 f16).
  float (*gradient[3])(float* logits, std::int64_t vocabulary, std::int32_t target, float factor);
};

INGOT_KERNEL_TABLE(CrossEntropyKernels, cross_entropy_kernels)

}  // namespace ingot::cpu
