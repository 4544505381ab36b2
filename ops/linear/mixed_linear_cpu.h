// The products of linear() where activations and weights differ in dtype: fp32 routers under bf16
// activations. Works in fp32 on a chunk of rows at a time, so that no fp32 copy of the activations
// ever exists whole.
#pragma once

#include <memory>

#include "backends/cpu/cpu_backend.h"

namespace ingot::cpu {

std::unique_ptr<Kernel> make_mixed_linear(const Program& program, const Op& op,
                                          const Context& context);
std::unique_ptr<Kernel> make_mixed_dgrad(const Program& program, const Op& op,
                                         const Context& context);
std::unique_ptr<Kernel> make_mixed_wgrad(const Program& program, const Op& op,
                                         const Context& context);

}  // namespace ingot::cpu
