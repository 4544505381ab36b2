#include "ops/attention/peak_simd.h"

#include "ops/attention/flash_layout.h"

namespace ingot::cpu::INGOT_ISA {
namespace {

template <class Format>
double multiply_adds(std::int64_t rounds) {
  constexpr int kSums = kStripRows * kStripVectors;
  F16 sums[kSums];
  F16 a = zero(), b = zero();
#pragma GCC unroll 16
  for (F16& sum : sums) {  // each of unknown value, or the compiler would compute one for all
    sum = zero();
    touch(sum);
  }
  for (std::int64_t round = 0; round < rounds; ++round) {
    touch(a);
#pragma GCC unroll 16
    for (F16& sum : sums) sum = Format::multiply_add(a, b, sum);
  }
#pragma GCC unroll 16
  for (F16& sum : sums) touch(sum);
  return 2.0 * static_cast<double>(rounds) * kSums * kLanes * Format::kPerWord;
}

}  // namespace

const PeakKernels peak_kernels = {multiply_adds<Fp32>, multiply_adds<Bf16Format>};

}  // namespace ingot::cpu::INGOT_ISA
