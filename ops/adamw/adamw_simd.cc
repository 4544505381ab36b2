#include "ops/adamw/adamw_simd.h"

#include "backends/cpu/simd.h"

namespace ingot::cpu::INGOT_ISA {
namespace {

void update(const float* gradient, float* weight, float* first, float* second, int count,
            const AdamwStep& step) {
  for (int i = 0; i < count; i += kLanes) {
    const F16 g = load(gradient + i) * step.scale;
    const F16 m = load(first + i) * step.beta1 + g * (1.0f - step.beta1);
    const F16 v = load(second + i) * step.beta2 + g * g * (1.0f - step.beta2);
    const F16 root = sqrt(v * step.second_correction) + step.epsilon;
    const F16 w =
        load(weight + i) * step.keep - (m * step.first_correction / root) * step.learning_rate;
    store(first + i, m);
    store(second + i, v);
    store(weight + i, w);
  }
}

}  // namespace

extern const AdamwKernels adamw_kernels = {update};

}  // namespace ingot::cpu::INGOT_ISA
