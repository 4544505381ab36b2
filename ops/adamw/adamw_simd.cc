#include "ops/adamw/adamw_simd.h"

#include "backends/cpu/simd.h"

namespace ingot::cpu::INGOT_ISA {
namespace {

template <class Copy, bool kHasCopy>
void update(const float* gradient, float* master, float* first, float* second, void* copy_,
            std::int64_t count, const AdamwStep& step) {
  Copy* copy = static_cast<Copy*>(copy_);
  for (std::int64_t i = 0; i < count; i += kLanes) {
    const int n = lanes_left(count - i);
    const F16 g = load_partial(gradient + i, n) * step.scale;
    const F16 m = load_partial(first + i, n) * step.beta1 + g * (1.0f - step.beta1);
    const F16 v = load_partial(second + i, n) * step.beta2 + g * g * (1.0f - step.beta2);
    const F16 root = sqrt(v * step.second_correction) + step.epsilon;
    const F16 w = load_partial(master + i, n) * step.keep -
                  (m * step.first_correction / root) * step.learning_rate;
    store_partial(first + i, m, n);
    store_partial(second + i, v, n);
    store_partial(master + i, w, n);
    if constexpr (kHasCopy) store_partial(copy + i, w, n);
  }
}

}  // namespace

extern const AdamwKernels adamw_kernels = {
    {update<float, false>, update<BFloat16, true>, update<Half, true>}};

}  // namespace ingot::cpu::INGOT_ISA
