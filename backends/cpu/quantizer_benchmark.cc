// quantizer_benchmark   G elements/s of one core, bf16 with groups of 128: rows in cache, and a
// tensor far larger than it. CPU time, fastest of many runs; INGOT_ISA chooses the level.
#include <algorithm>
#include <cstdio>
#include <vector>

#include "backends/cpu/kernel_clock.h"
#include "backends/cpu/quantizer_simd.h"
#include "engine/numbers/quantizer.h"

namespace ingot::cpu {
namespace {

constexpr std::int64_t kColumns = 4096, kGroup = kQuantizerGroup;

const KernelClock kClock;

template <class Row>
void measure(const char* name, std::int64_t rows, const Row& row) {
  double best = 1e9;
  const std::int64_t calls = std::max<std::int64_t>(rows, 1024);
  for (const double end = kClock.seconds() + 0.5; kClock.seconds() < end;) {
    const double start = kClock.seconds();
    for (std::int64_t i = 0; i < calls; ++i) row(i % rows);
    best = std::min(best, kClock.seconds() - start);
  }
  std::printf("%-22s %5ld rows of %ld: %6.2f G elements/s\n", name, static_cast<long>(rows),
              static_cast<long>(kColumns), static_cast<double>(calls * kColumns) / best * 1e-9);
}

void run() {
  const QuantizerKernels& kernels = quantizer_kernels(isa());
  for (const std::int64_t rows : {1, 16 * 1024}) {
    std::vector<std::uint16_t> values(rows * kColumns);
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<std::uint16_t>(0x3f80 ^ (i * 40503 >> 7 & 0x80ff));
    }
    std::vector<std::int8_t> codes(rows * kColumns);
    std::vector<float> scales(rows * quantizer_groups(kColumns, kGroup));
    const auto groups = quantizer_groups(kColumns, kGroup);
    measure("quantize", rows, [&](std::int64_t i) {
      kernels.quantize[1](&values[i * kColumns], kColumns, kGroup, &codes[i * kColumns],
                          &scales[i * groups]);
    });
    measure("quantize, stochastic", rows, [&](std::int64_t i) {
      kernels.quantize_stochastic[1](&values[i * kColumns], kColumns, kGroup, &codes[i * kColumns],
                                     &scales[i * groups], rounding_row_key(1, i));
    });
    measure("dequantize", rows, [&](std::int64_t i) {
      kernels.dequantize[1](&codes[i * kColumns], &scales[i * groups], kColumns, kGroup,
                            &values[i * kColumns]);
    });
  }
}

}  // namespace
}  // namespace ingot::cpu

int main() { ingot::cpu::run(); }
